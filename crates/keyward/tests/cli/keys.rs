//! The life of a key, as the command line tells it.

use insta::assert_snapshot;

use crate::place::{Place, same, text};

#[test]
fn a_created_key_is_printed_once_with_how_to_use_it() {
    let place = Place::with_organization();
    let said = place.done(
        "keys create --api main --organization acme --name first --preset production --expires 90d",
    );
    assert_snapshot!(same(&said), @r"
    key_xxxxxxxxxxxxxxxxxxxxxxxxxx `first` opens API `main` for organization `acme`, with write until 20xxxxxxxxxxxxxxxxxx:

        kw_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx

    This is the only time it is shown. Keep it like a password. Use it like this:

        curl --connect-to ::127.0.0.1:8080 http://api.test/v1/models -H 'Authorization: Bearer kw_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'
    ");
    let key = said.lines().find(|line| line.trim().starts_with("kw_")).unwrap().trim();
    let list = place.done("keys list");
    assert!(!list.contains(key) && list.contains("first"), "{list}");
}

#[test]
fn json_has_the_key_and_its_secret() {
    let place = Place::with_organization();
    let made = place.done("--json keys create --api main --organization acme --name a --permission read --permission write --environment staging --allow-network 10.0.0.0/8 --allow-model m1 --expires 2100-01-01T00:00:00Z");
    assert_snapshot!(same(&made), @r#"{"secret":"kw_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","secret_id":"sec_xxxxxxxxxxxxxxxxxxxxxxxxxx","id":"key_xxxxxxxxxxxxxxxxxxxxxxxxxx","name":"a","api":"main","organization_id":"acme","environment":"staging","permissions":["read","write"],"allowed_networks":["10.0.0.0/8"],"allowed_models":["m1"],"owner_id":null,"tags":[],"metadata":{},"limits":[],"rotation":null,"state":"active","revision":2,"created_at":"20xxxxxxxxxxxxxxxxxx","expires_at":"2100-01-01T00:00:00Z","secrets":[{"id":"sec_xxxxxxxxxxxxxxxxxxxxxxxxxx","hint":"kw_xxxxxxx","state":"current","created_at":"20xxxxxxxxxxxxxxxxxx","expires_at":null,"last_used_at":null,"last_used_from":null}]}"#);
}

#[test]
fn keys_are_listed_and_narrowed() {
    let place = Place::with_organization();
    assert_snapshot!(place.done("keys list"), @r"No keys. Make one with `keyward keys create`.");
    let (first, _) = place.key("first");
    place.key("second");
    place.done("keys create --api other --organization acme --name third --permission speak");
    place.done(&format!("keys disable {first}"));
    assert_snapshot!(same(&place.done("keys list")), @r"
    ID                              NAME    API    ORGANIZATION  ENVIRONMENT  PERMISSIONS  STATE     EXPIRES  LAST USED  SECRET
    key_xxxxxxxxxxxxxxxxxxxxxxxxxx  first   main   acme          production   write        disabled  never    never      kw_xxxxxxx
    key_xxxxxxxxxxxxxxxxxxxxxxxxxx  second  main   acme          production   write        active    never    never      kw_xxxxxxx
    key_xxxxxxxxxxxxxxxxxxxxxxxxxx  third   other  acme          production   speak        active    never    never      one_xxxxxx
    ");
    let names = |arguments: &str| {
        let list = place.json(&format!("keys list {arguments}"));
        list["items"].as_array().unwrap().iter().map(|key| text(&key["name"])).collect::<Vec<_>>()
    };
    assert_eq!(names("--state active"), ["second", "third"]);
    assert_eq!(names("--state disabled"), ["first"]);
    assert_eq!(names("--api other --organization acme"), ["third"]);
    place.done("orgs create --id empty");
    assert_eq!(names("--organization empty --api main"), Vec::<String>::new());
    assert_snapshot!(place.refused("keys list --organization nobody"), @r"error: there is no organization `nobody`: `keyward orgs list` shows which there are");
    assert_snapshot!(place.refused("keys list --api zz"), @r"error: there is no API `zz`: use one of main, other, keyward");
}

#[test]
fn a_key_is_shown_with_its_secrets() {
    let place = Place::with_organization();
    let (id, secret) = place.key("shown");
    let shown = place.done(&format!("keys show {id}"));
    assert!(!shown.contains(&secret));
    assert_snapshot!(same(&shown), @r"
    key           key_xxxxxxxxxxxxxxxxxxxxxxxxxx
    name          shown
    api           main
    organization  acme
    environment   production
    permissions   write
    networks      everywhere
    models        every
    limits        none
    owner         nobody
    tags          none
    metadata      none
    rotation      as the profile says
    state         active
    created       20xxxxxxxxxxxxxxxxxx
    expires       never
    revision      2

    SECRET                          HINT        STATE    CREATED               EXPIRES       LAST USED  FROM  REQUESTS
    sec_xxxxxxxxxxxxxxxxxxxxxxxxxx  kw_xxxxxxx  current  20xxxxxxxxxxxxxxxxxx  with the key  never      -     0

    No requests yet.
    ");
    assert_snapshot!(same(&place.done(&format!("--json keys show {id}"))), @r#"{"id":"key_xxxxxxxxxxxxxxxxxxxxxxxxxx","name":"shown","api":"main","organization_id":"acme","environment":"production","permissions":["write"],"allowed_networks":[],"allowed_models":null,"owner_id":null,"tags":[],"metadata":{},"limits":[],"rotation":null,"state":"active","revision":2,"created_at":"20xxxxxxxxxxxxxxxxxx","expires_at":null,"secrets":[{"id":"sec_xxxxxxxxxxxxxxxxxxxxxxxxxx","hint":"kw_xxxxxxx","state":"current","created_at":"20xxxxxxxxxxxxxxxxxx","expires_at":null,"last_used_at":null,"last_used_from":null,"requests":0}],"usage":[],"notes":[]}"#);
}

#[test]
fn rotation_overlaps_and_retiring_ends_the_overlap() {
    let place = Place::with_organization();
    let (id, old) = place.key("turning");
    let said = place.done(&format!("keys rotate {id} --overlap 2h"));
    assert!(!said.contains(&old));
    assert_snapshot!(same(&said), @r"
    key_xxxxxxxxxxxxxxxxxxxxxxxxxx `turning` has a new secret:

        kw_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx

    This is the only time it is shown. Keep it like a password. Use it like this:

        curl --connect-to ::127.0.0.1:8080 http://api.test/v1/models -H 'Authorization: Bearer kw_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'

    The old secret sec_xxxxxxxxxxxxxxxxxxxxxxxxxx (kw_xxxxxxx) is good until 20xxxxxxxxxxxxxxxxxx; end it earlier with

        keyward keys retire key_xxxxxxxxxxxxxxxxxxxxxxxxxx sec_xxxxxxxxxxxxxxxxxxxxxxxxxx
    ");
    let secrets = place.json(&format!("keys show {id}"))["secrets"].clone();
    assert_eq!(
        (&secrets[0]["state"], &secrets[1]["state"]),
        (&"retiring".into(), &"current".into())
    );
    let (first, second) = (text(&secrets[0]["id"]), text(&secrets[1]["id"]));
    assert_snapshot!(same(&place.done(&format!("keys retire {id} {first}"))), @r"sec_xxxxxxxxxxxxxxxxxxxxxxxxxx no longer opens key_xxxxxxxxxxxxxxxxxxxxxxxxxx `turning`.");
    let secrets = place.json(&format!("keys show {id}"))["secrets"].clone();
    assert_eq!(secrets[0]["state"], "expired");
    assert_snapshot!(same(&place.refused(&format!("keys retire {id} {second}"))), @r"error: sec_xxxxxxxxxxxxxxxxxxxxxxxxxx is the last secret that opens key_xxxxxxxxxxxxxxxxxxxxxxxxxx: rotate the key first to get a new one, or disable or revoke the key");
}

#[test]
fn a_key_is_disabled_enabled_and_revoked() {
    let place = Place::with_organization();
    let (id, _) = place.key("short-lived");
    for command in ["disable", "disable", "enable", "revoke"] {
        place.done(&format!("keys {command} {id}"));
    }
    assert_snapshot!(same(&place.refused(&format!("keys enable {id}"))), @r"error: key key_xxxxxxxxxxxxxxxxxxxxxxxxxx is revoked, which is final: make a new key");
    assert_eq!(place.json(&format!("keys show {id}"))["state"], "revoked");
    // Its name is free again.
    place.key("short-lived");
}

#[test]
fn mistakes_are_told_with_what_would_be_right() {
    let place = Place::with_organization();
    place.key("taken");
    let create = |arguments: &str| {
        let error =
            place.refused(&format!("keys create --organization acme --name taken {arguments}"));
        same(&error)
    };
    assert_snapshot!(create("--api gone --permission read"), @r"error: there is no API `gone`: use one of main, other, keyward");
    assert_snapshot!(create("--api main --permission fly"), @r"error: API `main` has no permission `fly`: use some of read, write, admin");
    assert_snapshot!(create("--api main"), @r"error: the key would be allowed nothing: give it permissions of read, write, admin, or a preset of Development, Production, Read-only, Admin");
    assert_snapshot!(create("--api main --preset admin --permission read"), @r"error: permissions and the preset `Admin` are both given: give one of them: a preset is a bundle of permissions");
    assert_snapshot!(create("--api main --preset best"), @r"error: API `main` has no preset `best`: use one of Development, Production, Read-only, Admin");
    assert_snapshot!(create("--api main --permission read"), @r"error: the name `taken` is taken by key key_xxxxxxxxxxxxxxxxxxxxxxxxxx: choose another name, or revoke that key");
    assert_snapshot!(create("--api main --permission read --expires 2001-01-01T00:00:00Z"), @r"error: the key would expire at 20xxxxxxxxxxxxxxxxxx, and it is 20xxxxxxxxxxxxxxxxxx already: choose a later moment, or leave it out for a key without an end");
    let other = "keys create --api other --organization acme --permission speak --name";
    place.done(&format!("{other} one"));
    assert_snapshot!(place.refused(&format!("{other} two")), @r"error: organization `acme` may have 1 key(s) at API `other` and has them: revoke one that is no longer used, or rotate it to get a new secret");
    let missing = "keys show key_00000000000000000000000000";
    assert_snapshot!(place.refused(missing), @r"error: there is no key key_00000000000000000000000000: `keyward keys list` shows which there are");
    assert_snapshot!(place.refused(&format!("--json {missing}")), @r#"{"error":{"code":"not_found","message":"there is no key key_00000000000000000000000000: `keyward keys list` shows which there are"}}"#);
}

#[test]
fn what_is_typed_wrongly_is_exit_code_two() {
    let place = Place::with_organization();
    for wrong in [
        "keys create --api main --organization acme",
        "keys create --api main --organization acme --name a --expires soon",
        "keys create --api main --organization acme --name a --allow-network 10.0.0.0/99",
        "keys create --api main --organization acme --name a --permission read --expires 99999999999d",
        "keys create --api main --organization acme --name a --permission read --expires 99999999999999999999d",
        "audit --limit 0",
        "keys show nonsense",
        "keys list --state lost",
        "keys rotate key_00000000000000000000000000 --overlap 5",
        "nothing",
    ] {
        let said = place.run(wrong);
        assert_eq!((said.code, &*said.stdout), (2, ""), "keyward {wrong}");
        assert!(said.stderr.starts_with("error: "), "keyward {wrong}: {}", said.stderr);
    }
}

#[test]
fn many_keys_are_made_as_json_lines() {
    let place = Place::with_organization();
    let said = place.done(
        "keys create --api main --organization acme --name load --permission read --count 300",
    );
    let made: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: std::collections::BTreeSet<_> = made.iter().map(|key| text(&key["name"])).collect();
    let secrets: std::collections::BTreeSet<_> =
        made.iter().map(|key| text(&key["secret"])).collect();
    assert_eq!((names.len(), secrets.len()), (300, 300));
    assert!(names.contains("load-1") && names.contains("load-300"));
}

#[test]
fn an_end_that_nobody_lives_to_see_is_refused() {
    let place = Place::with_organization();
    let ending = |when: &str| {
        format!(
            "keys create --api main --organization acme --name a --permission read --expires {when}"
        )
    };
    assert_snapshot!(place.refused(&ending("9000-01-01T00:00:00Z")), @r"error: the key would expire more than 1,000 years from now: choose an earlier moment, or leave it out for a key without an end");
    let said = place.run(&ending("365251d"));
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("at most 1000 years"), "{}", said.stderr);
    place.done(&ending("365250d"));
}

#[test]
fn a_name_that_does_not_fit_is_told_without_the_id_of_a_key_that_is_not() {
    let place = Place::with_organization();
    let named = |name: &str| {
        format!("keys create --api main --organization acme --permission read --name {name}")
    };
    assert_snapshot!(place.refused(&named(&"n".repeat(113))), @r"error: the name has 113 characters, at most 100: choose a shorter one");
    assert_snapshot!(place.refused(&named("a\u{7}b")), @r"error: the name holds a control character: leave out line breaks, tabs and their like");
}
