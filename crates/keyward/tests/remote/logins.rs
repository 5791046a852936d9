//! Logins: kept for oneself, given from the environment, and ended.

use std::os::unix::fs::PermissionsExt as _;

use keyward_testkit::management::PASSWORD;
use serde_json::{Value, json};

use crate::world::{World, text};

#[test]
fn sessions_and_the_password_are_ones_own_to_see_to() {
    let world = World::logged_in("ada");
    let afar = world.management.log_in("ada");
    let sessions = world.json("sessions list");
    let other = sessions["items"].as_array().unwrap().iter().find(|one| one["current"] == false);
    let said = world.done(&format!("sessions end {}", text(&other.unwrap()["id"])));
    assert!(said.contains("has ended"), "{said}");
    assert_eq!(world.management.ask(&afar, "GET", "/v1/account", &Value::Null).0, 401);

    let wrong = world.run_in("account password", &[], "not the password\nanother good password\n");
    assert!(wrong.code == 1 && wrong.stderr.contains("old password"), "{}", wrong.stderr);
    world.done_with("account password", &format!("{PASSWORD}\nanother good password\n"));
    let whoami = world.done("whoami");
    assert!(whoami.contains("ada@example.com") && whoami.contains("login `ada`"), "{whoami}");
    let login = format!("login {} --email ada@example.com", world.management.url());
    assert_eq!(world.run_in(&login, &[], PASSWORD).code, 1);
    world.done_with(&login, "another good password");
}

#[test]
fn logins_are_kept_for_oneself_alone() {
    let world = World::new();
    let none = world.done("logins");
    assert!(none.starts_with("No logins."), "{none}");
    world.log_in("ops");
    world.management.sign_up("ada");
    world.log_in("ada");
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.logins()), 0o600);
    assert_eq!(mode(world.logins().parent().unwrap()), 0o700);
    let beside = std::fs::read_dir(world.logins().parent().unwrap()).unwrap().count();
    assert_eq!(beside, 1, "nothing is left beside it");

    let listed = world.json("logins");
    assert_eq!(
        (
            &listed["items"][0]["name"],
            &listed["items"][0]["current"],
            &listed["items"][1]["current"]
        ),
        (&json!("ada"), &json!(true), &json!(false))
    );
    assert_eq!(world.json("--login ops whoami")["user"]["operator"], true);
    let env = world.run_in("--json whoami", &[("KEYWARD_LOGIN", "ops")], "");
    assert!(env.stdout.contains("ops@example.com"), "{}", env.stderr);
    world.done("logins use ops");
    assert_eq!(world.json("whoami")["user"]["operator"], true);

    let file = std::fs::read_to_string(world.logins()).unwrap();
    let tokens: Vec<_> =
        file.split('"').filter(|part| part.starts_with("kwses_")).map(str::to_owned).collect();
    assert_eq!(tokens.len(), 2);
    let told =
        world.done("logins") + &world.done("--json logins") + &world.keyward.process.output();
    for secret in tokens.iter().map(String::as_str).chain([PASSWORD]) {
        assert!(!told.contains(secret), "a secret is told");
    }
    assert!(!file.contains(PASSWORD));

    std::fs::set_permissions(world.logins(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = world.refused("whoami");
    assert!(error.contains("chmod 600"), "{error}");
    std::fs::set_permissions(world.logins(), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(world.logins(), format!("token = {}", tokens[0])).unwrap();
    let error = world.refused("whoami");
    assert!(error.contains("damaged") && !error.contains(&tokens[0]), "{error}");
}

#[test]
fn who_logs_out_or_is_logged_out_is_nobody() {
    let world = World::logged_in("ada");
    let file = std::fs::read_to_string(world.logins()).unwrap();
    world.done("logout");
    assert!(world.refused("whoami").contains("nobody is logged in"));
    let token = file.split('"').find(|part| part.starts_with("kwses_")).unwrap();
    assert_eq!(world.management.ask(token, "GET", "/v1/account", &Value::Null).0, 401);

    // As where the session expired, or was ended from elsewhere.
    std::fs::write(world.logins(), &file).unwrap();
    let error = world.refused("--json keys list");
    assert!(error.contains(r#""code":"unauthenticated""#), "{error}");
    assert!(error.contains(&format!("keyward login {}", world.management.url())), "{error}");
    world.done("logout");
    assert!(!std::fs::read_to_string(world.logins()).unwrap().contains("kwses_"));
}

#[test]
fn a_wrong_password_logs_nobody_in() {
    let world = World::new();
    let login = format!("login {} --email ops@example.com", world.management.url());
    for input in ["wrong password\n", "\n", ""] {
        let said = world.run_in(&login, &[], input);
        assert_eq!((said.code, &*said.stdout), (1, ""));
        assert!(!world.logins().exists());
    }
    let said = world.run_in(&format!("--json {login}"), &[], "wrong password\n");
    assert!(said.stderr.contains(r#""code":"unauthenticated""#), "{}", said.stderr);
    // A password is no argument, and in the clear nothing leaves the machine.
    assert_eq!(world.run(&format!("{login} --password x")).code, 2);
    assert_eq!(world.run("login http://keys.example.com --email ops@example.com").code, 2);
}

#[test]
fn a_machine_has_its_server_and_token_in_the_environment() {
    let world = World::new();
    let (server, token) = (world.management.url(), world.management.log_in("ops"));
    let both = [("KEYWARD_SERVER", server.as_str()), ("KEYWARD_TOKEN", token.as_str())];
    let said = world.run_in("--json orgs create --id acme", &both, "");
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!world.logins().exists());
    let said = world.run_in("orgs list", &both[..1], "");
    assert!(said.code == 1 && said.stderr.contains("set KEYWARD_TOKEN too"), "{}", said.stderr);
    let config = world.keyward.config().display();
    assert_eq!(world.run_in(&format!("routes --config {config}"), &both, "").code, 0);
    assert_eq!(world.run_in("routes", &both, "").code, 1);
    let said = world.run_in("keys list --config x.toml", &both, "");
    assert!(said.code == 1 && said.stderr.contains("KEYWARD_SERVER"), "{}", said.stderr);
    // What holds a token logs in by it, as a management key does.
    let login = format!("login {server} --key --name ci");
    world.done_with(&login, &format!("{token}\n"));
    assert_eq!(world.done("orgs list"), world.locally("orgs list"));
    assert_eq!(world.run_in(&login, &[], "kwses_nonsense\n").code, 1);
}
