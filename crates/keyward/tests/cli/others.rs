//! Organizations, models, upstreams, profiles, routes, configuration, completions.

use insta::assert_snapshot;

use crate::place::{Place, same, text};

#[test]
fn organizations_are_made_listed_shown_suspended_and_resumed() {
    let place = Place::new();
    assert_snapshot!(place.done("orgs list"), @r"No organizations. Make one with `keyward orgs create`.");
    assert_snapshot!(place.done("orgs create --id acme --name Acme"), @r#"Organization `acme` ("Acme") is made."#);
    let made = place.json("orgs create --name Unnamed");
    assert!(text(&made["id"]).starts_with("org_"), "{made}");
    assert_eq!(place.json("orgs create --id bench")["name"], "bench");
    assert_snapshot!(same(&place.done("orgs list")), @r"
    ID                    NAME     STATE   MODEL IDS  MODELS  CREATED
    acme                  Acme     active  0          every   20xxxxxxxxxxxxxxxxxx
    org_xxxxxxxxxxxxxxxx  Unnamed  active  0          every   20xxxxxxxxxxxxxxxxxx
    bench                 bench    active  0          every   20xxxxxxxxxxxxxxxxxx
    ");
    assert_snapshot!(place.done("orgs suspend acme"), @r"Organization `acme` is suspended: none of its keys works until it is resumed.");
    assert_snapshot!(same(&place.done("orgs show acme")), @r"
    organization  acme
    name          Acme
    state         suspended
    model ids     none
    models        every
    plan          the default one
    limits        none
    created       20xxxxxxxxxxxxxxxxxx
    ");
    assert_snapshot!(place.done("orgs resume acme"), @r"Organization `acme` is active.");
    assert_snapshot!(place.refused("orgs create --id acme"), @r"error: organization `acme` exists already: choose another id, or change that one");
    assert_snapshot!(place.refused("orgs show nobody"), @r"error: there is no organization `nobody`: `keyward orgs list` shows which there are");
}

#[test]
fn model_ids_are_assigned_and_withdrawn_and_models_allowed() {
    let place = Place::with_organization();
    let assigned = place.json("models assign --organization acme");
    let id = text(&assigned["id"]);
    assert_eq!((id.len(), id.find('x')), (18, Some(9)));
    assert_snapshot!(place.done("models assign --organization acme --id m-1"), @r"Model id `m-1` belongs to organization `acme`.");
    place.done("orgs create --id other");
    assert_snapshot!(place.refused("models assign --organization other --id m-1"), @r"error: model id `m-1` is taken: choose another");
    place.done(&format!("models withdraw --organization acme --id {id}"));
    assert_snapshot!(place.done("models list"), @r"
    MODEL ID  ORGANIZATION
    m-1       acme
    ");
    assert_snapshot!(place.refused("models withdraw --organization other --id m-1"), @r"error: model id `m-1` is not assigned to organization `other`");
    assert_snapshot!(place.done("models allow --organization acme a b"), @r"Keys of organization `acme` may ask for a, b.");
    assert_eq!(place.json("orgs show acme")["allowed_models"], serde_json::json!(["a", "b"]));
    assert_snapshot!(place.done("models allow --organization acme --all"), @r"Keys of organization `acme` may ask for every model.");
    assert_eq!(place.run("models allow --organization acme").code, 2);
}

#[test]
fn an_upstream_s_credential_is_set_from_standard_input_and_never_shown() {
    let place = Place::new();
    let set = place.run_with("upstreams set-credential models", "sk-upstream\n");
    assert_snapshot!(set.stdout, @r"Upstream `models` is called with this credential from now on.");
    let list = place.done("upstreams list");
    assert!(!list.contains("sk-upstream"));
    assert_snapshot!(same(&list), @r"
    NAME    URL                 CREDENTIAL  SET
    models  http://127.0.0.1:9  store       20xxxxxxxxxxxxxxxxxx
    ");
    place.done("upstreams remove-credential models");
    assert_snapshot!(place.done("upstreams list"), @r"
    NAME    URL                 CREDENTIAL  SET
    models  http://127.0.0.1:9  store       never: requests to it are refused
    ");
    assert_snapshot!(place.run_with("upstreams set-credential gone", "x").stderr, @r"error: there is no upstream `gone`: use one of models");
    assert_snapshot!(place.run_with("upstreams set-credential models", "two\nlines").stderr, @r"error: the credential has characters that cannot stand in a header, or spaces around it: give visible ASCII characters, as the upstream's operator handed them out");
}

#[test]
fn routes_are_listed_with_what_they_ask_for() {
    let place = Place::new();
    assert_snapshot!(place.done("routes"), @r"
    API    METHODS  PATH        PERMISSION  BINDINGS
    main   GET      /v1/models  read
    main   POST     /v1/run     write       model in body /model, organization? in query organization
    other  GET      /speak      speak
    ");
    assert_snapshot!(place.done("--json routes --api other"), @r#"{"items":[{"api":"other","methods":["GET","HEAD"],"path":"/speak","permission":"speak","bindings":[],"body_limit":null}],"next":null}"#);
    assert_snapshot!(place.refused("routes --api gone"), @r"error: there is no API `gone`: use one of main, other");
}

#[test]
fn profiles_are_checked_and_listed() {
    let place = Place::new();
    assert!(place.done("profiles check").contains("✓ single"));
    let listed = place.json("profiles list");
    let own =
        listed["items"].as_array().unwrap().iter().find(|one| one["name"] == "single").unwrap();
    assert_snapshot!(own.to_string(), @r#"{"name":"single","title":"One key each","source":"profiles/single.toml","slots":["X-API-Key: …"],"key_prefix":"one_","key_length":28,"permissions":["speak"],"presets":[]}"#);
    assert_snapshot!(place.refused("profiles check nofile.toml"), @r"error: nofile.toml: No such file or directory (os error 2); name an existing TOML file");
    assert_snapshot!(place.refused("--config profiles serve"), @r"error: profiles: Is a directory (os error 21); name an existing TOML file");
    place.write("bad.toml", "[refusals.status.777]\nmessage = \"x\"\n");
    let said = place.run("profiles check bad.toml");
    assert_eq!(said.code, 1);
    assert_snapshot!(said.stdout + &said.stderr, @r"
    ✗ bad
      bad.toml:1: `777` is not the status of a refusal; use a number from 400 to 599
    error: 1 of 1 profiles do not load: mend what is said above
    ");
}

#[test]
fn the_configuration_is_checked() {
    let place = Place::new();
    assert_snapshot!(place.done("config check"), @r"
    keyward.toml is sound.
    Listeners: http://127.0.0.1:8080
    Upstreams: models
    APIs: main, other
    Data folder: keyward-data
    ");
    place.write("keyward.toml", "data_dir = \"d\"\nlisteners = 5\n");
    assert_snapshot!(place.refused("config check"), @r"error: keyward.toml:2: invalid type: integer `5`, expected a sequence; correct this line");
    assert_snapshot!(place.refused("--json --config nowhere.toml keys list"), @r#"{"error":{"code":"configuration","message":"there is no configuration at nowhere.toml: write one (keyward.example.toml shows every setting), name another with --config, or run `keyward demo`, which needs none"}}"#);
    assert_eq!(place.run_in("config check", ("KEYWARD_CONFIG", "other.toml")).code, 1);
}

#[test]
fn requests_that_are_not_there_are_told_of() {
    let place = Place::new();
    assert_snapshot!(place.done("requests list"), @"No key requests.");
    assert_snapshot!(place.done("--json requests list --state open"), @r#"{"items":[],"next":null}"#);
    let nothing = "krq_00000000000000000000000000";
    for command in ["show", "approve", "deny --reason no"] {
        let said = place.refused(&format!("requests {command} {nothing}"));
        assert_eq!(
            said,
            format!("error: there is no key request {nothing}: list them to see which there are\n")
        );
    }
    assert_snapshot!(place.refused("requests list --organization gone"), @"error: there is no organization `gone`: `keyward orgs list` shows which there are");
    assert_eq!(place.run(&format!("requests deny {nothing}")).code, 2, "it takes a reason");
}

#[test]
fn every_shell_gets_completions() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(place.done(&format!("completions {shell}")).contains("keyward"), "{shell}");
    }
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    let place = Place::with_organization();
    let keyward = env!("CARGO_BIN_EXE_keyward");
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(place.file("."));
    let script = format!("{keyward} completions bash | head -c 1");
    let output = shell.arg("-c").arg(script).output().unwrap();
    assert_eq!(output.stdout.len(), 1);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
