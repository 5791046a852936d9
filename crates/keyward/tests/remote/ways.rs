//! Which way a command goes, and that both ways tell the same.

use std::process::Command;

use crate::world::{KEYWARD, World, text};

#[test]
fn what_a_server_tells_looks_like_what_the_data_folder_tells() {
    let world = World::logged_in("ops");
    world.done("orgs create --id acme --name Acme");
    world.done("orgs create --id other");
    let key = text(&world.key("acme", "one")["id"]);
    world.key("other", "two");
    world.done(&format!("keys rotate {key} --overlap 2h"));
    world.done("invitations create --organization acme --email bob@example.com --role viewer");
    world.done("models assign --organization acme");
    for command in [
        "orgs list",
        "orgs show acme",
        "keys list",
        "keys list --organization acme --state active --api main",
        &format!("keys show {key}"),
        "members list --organization acme",
        "invitations list --organization acme",
        "keys export --organization acme",
        "keys export --organization acme --api main --format jsonl",
        "models list",
        "models list --organization acme",
        "requests list",
        "requests list --organization acme --state open",
        "audit --limit 3",
        "audit list --organization acme --action key. --from 1h",
        &format!("audit list --subject {key} --until 2100-01-01T00:00:00Z"),
        "audit verify",
    ] {
        assert_eq!(world.done(command), world.locally(command), "{command}");
        let command = format!("--json {command}");
        assert_eq!(world.done(&command), world.locally(&command), "{command}");
    }
    // Refusals as well.
    for command in [
        "keys show key_00000000000000000000000000",
        "keys update key_00000000000000000000000000 --name none",
        "keys receipt key_00000000000000000000000000",
        "requests show krq_00000000000000000000000000",
        "models list --organization nowhere",
        "orgs show nowhere",
        "orgs suspend nowhere",
        "orgs update other --name x --if-revision 1",
    ] {
        let here = world.run(&format!("--config {} {command}", world.keyward.config().display()));
        assert_eq!((here.code, here.stderr), (1, world.refused(command)), "{command}");
    }
}

#[test]
fn a_server_that_is_away_is_named() {
    let world = World::logged_in("ops");
    let server = world.management.url();
    let World { keyward, home, management, _upstream } = world;
    let (status, stopped) = keyward.terminate();
    assert!(status.success());
    let run = |arguments: &str| {
        let mut command = Command::new(KEYWARD);
        command.args(arguments.split_whitespace()).current_dir(home.path()).env_clear();
        let output = command.env("HOME", home.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run("--json keys list");
    assert_eq!(code, Some(1));
    assert!(said.contains(r#""code":"unavailable""#) && said.contains(&server), "{said}");
    let (code, said) = run("logout");
    assert!(code == Some(1) && said.contains("--forget"), "{said}");
    assert_eq!(run("logout --forget").0, Some(0));
    assert!(run("whoami").1.contains("nobody is logged in"));
    drop((stopped, management));
}

#[test]
fn which_way_a_command_goes_is_never_guessed() {
    let world = World::logged_in("ops");
    let config = world.keyward.config().display().to_string();
    for arguments in [
        format!("--config {config} --login ops keys list"),
        format!("--config {config} --login ops models list"),
    ] {
        let error = world.refused(&arguments);
        assert!(error.contains("both login `ops` and the configuration"), "{error}");
    }
    let named =
        world.run_in(&format!("--config {config} keys list"), &[("KEYWARD_LOGIN", "ops")], "");
    assert!(named.code == 1 && named.stderr.contains("KEYWARD_LOGIN"), "{}", named.stderr);
    // A named configuration stands above the login in use, and what is local only says so.
    world.done(&format!("--config {config} keys list"));
    for arguments in ["upstreams list", "config check", "--login ops routes"] {
        let error = world.refused(arguments);
        assert!(
            error.contains(
                "works on a configuration and its data folder only, not over login `ops`"
            ),
            "{error}"
        );
    }
    assert!(world.refused(&format!("--config {config} whoami")).contains("leave out `--config`"));
    // A configuration in this folder and a login in use: either could be meant.
    std::fs::copy(world.keyward.config(), world.home.path().join("keyward.toml")).unwrap();
    let error = world.refused("keys list");
    assert!(error.contains("say `--login ops` or `--config keyward.toml`"), "{error}");
    world.done("--login ops keys list");
    world.done("--config keyward.toml keys list");
    world.done("routes");
    assert!(world.refused("--login gone keys list").contains("use one of ops"));
    world.done("logout");
    world.done("keys list");
}
