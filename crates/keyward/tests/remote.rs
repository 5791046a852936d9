//! The command line over the management API: real processes, a server here and commands that have nothing but its address.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail where it stands"
)]

use std::{
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use keyward_testkit::{
    Connection, Keyward, Managed, Management, Upstream, management::PASSWORD, wait,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");

/// What a command came to.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

/// A server, and somebody's home on another machine.
struct World {
    keyward: Keyward,
    management: Management,
    home: TempDir,
    _upstream: Upstream,
}

impl World {
    fn new() -> Self {
        let Managed { keyward, management, upstream } = Managed::start(KEYWARD, "aiaas");
        Self { keyward, management, home: TempDir::new().unwrap(), _upstream: upstream }
    }

    /// With somebody logged in as `name@example.com`.
    fn logged_in(name: &str) -> Self {
        let world = Self::new();
        if name != "ops" {
            world.management.sign_up(name);
        }
        world.log_in(name);
        world
    }

    fn log_in(&self, name: &str) -> String {
        let login =
            format!("login {} --email {name}@example.com --name {name}", self.management.url());
        self.done_with(&login, &format!("{PASSWORD}\n"))
    }

    fn run_in(&self, arguments: &str, environment: &[(&str, &str)], input: &str) -> Said {
        let mut command = Command::new(KEYWARD);
        command.args(arguments.split_whitespace()).current_dir(self.home.path());
        command.env_clear().env("HOME", self.home.path());
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn run(&self, arguments: &str) -> Said {
        self.run_in(arguments, &[], "")
    }

    fn done_with(&self, arguments: &str, input: &str) -> String {
        let said = self.run_in(arguments, &[], input);
        assert_eq!(said.code, 0, "keyward {arguments}: {}", said.stderr);
        assert_eq!(said.stderr, "", "keyward {arguments}");
        said.stdout
    }

    fn done(&self, arguments: &str) -> String {
        self.done_with(arguments, "")
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.done(&format!("--json {arguments}"))).unwrap()
    }

    /// What a command that has to fail says of it.
    fn refused(&self, arguments: &str) -> String {
        let said = self.run(arguments);
        assert_eq!((said.code, &*said.stdout), (1, ""), "keyward {arguments}: {}", said.stderr);
        said.stderr
    }

    /// The same command where the data folder is.
    fn locally(&self, arguments: &str) -> String {
        let config = self.keyward.config().display();
        self.done(&format!("--config {config} {arguments}"))
    }

    fn logins(&self) -> PathBuf {
        self.home.path().join(".config/keyward/logins.toml")
    }

    fn organization(&self) -> String {
        text(&self.json("orgs list")["items"][0]["id"])
    }

    fn key(&self, organization: &str, name: &str) -> Value {
        self.json(&format!(
            "keys create --api main --organization {organization} --name {name} --permission read"
        ))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

#[test]
fn plans_prices_and_limits_are_the_same_both_ways() {
    let world = World::logged_in("ops");
    world.done("orgs create --id acme --name Acme");
    world.done("plans set Premium --requests-per-minute 1000");
    world.done("orgs update acme --plan premium --limit at-once=8/60s");
    world.done("prices set org/large* --input 2.50 --output 10");
    let key = world.json(
        "keys create --api main --organization acme --name a --permission read --limit requests=5/1h",
    );
    let key = text(&key["id"]);
    for command in [
        "plans list",
        "plans list --organization acme",
        "plans show PREMIUM",
        "prices list",
        "--json orgs show acme",
        &format!("keys show {key}"),
    ] {
        let (there, here) = (world.done(command), world.locally(command));
        assert_eq!(there, here, "{command}");
    }
    assert!(world.done("plans list").contains("requests=1000 requests/60s"));
    assert!(world.done(&format!("keys show {key}")).contains("requests=5 requests/3600s"));
    let in_use = world.refused("plans delete Premium");
    assert_eq!(
        in_use,
        world
            .run(&format!("--config {} plans delete Premium", world.keyward.config().display()))
            .stderr
    );
    assert!(in_use.contains("1 organization(s) are on plan `Premium`"), "{in_use}");
    world.done(&format!("keys update {key} --no-limits"));
    assert_eq!(world.json(&format!("keys show {key}"))["limits"], json!([]));
    world.done("orgs update acme --no-plan --no-limits");
    world.done("plans delete Premium");
    world.done("prices delete org/large*");
    assert_eq!(world.json("prices list")["items"], json!([]));
}

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
fn usage_is_told_the_same_both_ways() {
    const REQUESTS: u64 = 7;
    let world = World::logged_in("ops");
    world.done("orgs create --id acme --name Acme");
    world.done("orgs create --id other");
    let made = world.key("acme", "one");
    let (key, secret) = (text(&made["id"]), text(&made["secret"]));
    let ask = |path: &str| {
        let mut connection = Connection::open(world.keyward.address, "localhost").unwrap();
        let bearer = format!("Bearer {secret}");
        connection.get(path, &[("Authorization", &bearer)]).unwrap().status()
    };
    wait::until("the key is known", wait::LONG, || (ask("/nowhere") == 404).then_some(()));
    for _ in 0..REQUESTS {
        assert_eq!(ask("/read"), 200);
    }
    let read = "usage --organization acme --route /read --since 2h";
    wait::until("the requests are recorded", wait::LONG, || {
        let told = world.json(read);
        (told["items"][0]["requests"].as_u64() == Some(REQUESTS)).then_some(())
    });
    let items = |told: String| serde_json::from_str::<Value>(&told).unwrap()["items"].clone();
    for command in [
        read,
        &format!("usage --key {key} --by status,reason"),
        "usage --by organization,key,api --grain hour --from 2h",
        "usage --organization other",
        "usage --reason unknown_route --status 404",
    ] {
        let json = format!("--json {command}");
        assert_eq!(items(world.done(&json)), items(world.locally(&json)), "{command}");
        let csv = format!("{command} --csv");
        assert_eq!(world.done(&csv), world.locally(&csv), "{command}");
    }
    // A member sees their own organization without naming it, and no other.
    world.management.sign_up("ada");
    world.log_in("ada");
    assert_eq!(world.json("usage")["items"], json!([]));
    assert!(world.refused("usage --organization acme").contains("there is no organization `acme`"));
    assert!(world.refused(&format!("usage --key {key}")).contains("there is no key"));
}

#[test]
fn a_key_is_made_used_up_and_ended_from_afar() {
    let world = World::logged_in("ada");
    let organization = world.organization();
    let said = world.done(&format!(
        "keys create --api main --organization {organization} --name ci --permission read --expires 30d --allow-network 10.0.0.0/8"
    ));
    assert!(said.contains("This is the only time it is shown."), "{said}");
    let made = world.key(&organization, "second");
    let account = world.json("account show");
    let ada = text(&account["user"]["id"]);
    assert_eq!(
        world.json(&format!("keys list --owner {ada}"))["items"].as_array().unwrap().len(),
        2
    );
    let (key, secret) = (text(&made["id"]), text(&made["secret_id"]));
    let rotated = world.done(&format!("keys rotate {key} --overlap 1h"));
    assert!(rotated.contains(&format!("keyward keys retire {key} {secret}")), "{rotated}");
    assert!(world.done(&format!("keys retire {key} {secret}")).contains("no longer opens"));
    for (verb, state) in [("disable", "disabled"), ("enable", "active"), ("revoke", "revoked")] {
        assert_eq!(world.json(&format!("keys {verb} {key}"))["state"], state);
    }
    let error = world.refused(&format!("--json keys enable {key}"));
    assert!(error.contains(r#""code":"conflict""#), "{error}");
    let many = format!("keys create --api main --organization {organization} --name n --count 2");
    assert!(world.refused(&many).contains("data folder only"));
}

#[test]
fn what_stands_on_a_key_is_changed_from_afar_as_it_was_seen() {
    let world = World::logged_in("ada");
    let organization = world.organization();
    let made = world.key(&organization, "first");
    let (key, seen) = (text(&made["id"]), made["revision"].as_u64().unwrap());
    let changed = world.json(&format!(
        "keys update {key} --if-revision {seen} --name second --environment staging --permission write --allow-network 10.0.0.0/8 \
         --allow-model small --expires 2100-01-01T00:00:00Z --tag billing --metadata team=core --rotate-after-days 90"
    ));
    let told = |view: &Value| {
        let fields = [
            "name",
            "environment",
            "permissions",
            "allowed_networks",
            "allowed_models",
            "expires_at",
            "tags",
            "metadata",
            "rotation",
            "owner_id",
        ];
        fields.map(|field| view[field].clone())
    };
    assert_eq!(
        told(&changed),
        [
            json!("second"),
            json!("staging"),
            json!(["write"]),
            json!(["10.0.0.0/8"]),
            json!(["small"]),
            json!("2100-01-01T00:00:00Z"),
            json!(["billing"]),
            json!({ "team": "core" }),
            json!({ "after_days": 90, "required": false }),
            made["owner_id"].clone(),
        ]
    );
    let shown = world.done(&format!("keys show {key}"));
    assert_eq!(shown, world.locally(&format!("keys show {key}")));
    assert!(shown.contains("tags          billing"), "{shown}");
    let error =
        world.refused(&format!("--json keys update {key} --if-revision {seen} --name third"));
    assert!(error.contains(r#""code":"outdated""#), "{error}");
    // What is not said stays; what is taken away goes.
    let changed = world.json(&format!(
        "keys update {key} --from-everywhere --every-model --never-expires --no-tags --no-metadata --rotate-as-profile"
    ));
    assert_eq!(
        told(&changed),
        [
            json!("second"),
            json!("staging"),
            json!(["write"]),
            json!([]),
            json!(null),
            json!(null),
            json!([]),
            json!({}),
            json!(null),
            made["owner_id"].clone(),
        ]
    );
    assert_eq!(world.run(&format!("keys update {key}")).code, 2, "nothing is said");
    assert_eq!(world.run(&format!("keys update {key} --tag a --no-tags")).code, 2, "both are said");

    let receipt = world.json(&format!("keys receipt {key}"));
    assert_eq!(receipt["revision"], changed["revision"]);
    assert_eq!(receipt["nodes"].as_array().unwrap().len(), 1, "{receipt}");
    assert!(world.done(&format!("keys receipt {key}")).contains("GATEWAY"));
}

#[test]
fn many_keys_are_ended_at_once_whosever_they_are() {
    let world = World::logged_in("ops");
    for organization in ["acme", "other"] {
        world.done(&format!("orgs create --id {organization}"));
    }
    let none = "key_00000000000000000000000000";
    let key = |organization, name| text(&world.key(organization, name)["id"]);
    let (first, second, third) = (key("acme", "one"), key("other", "two"), key("acme", "three"));
    let all = format!("{first} {none} {second} {third}");
    let done = world.run(&format!("--json keys disable {all}"));
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("1 of 4 keys were refused"), "{}", done.stderr);
    let items: Value = serde_json::from_str(&done.stdout).unwrap();
    let told: Vec<_> = items["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (text(&item["id"]), item["state"].clone(), item["error"]["code"].clone()))
        .collect();
    let disabled = |id: &String| (id.clone(), json!("disabled"), Value::Null);
    let expected = [
        disabled(&first),
        (none.to_owned(), Value::Null, json!("not_found")),
        disabled(&second),
        disabled(&third),
    ];
    assert_eq!(told, expected);
    let here = format!("--config {} keys enable {all}", world.keyward.config().display());
    let (here, afar) = (world.run(&here), world.run(&format!("keys disable {all}")));
    assert_eq!(here.code, 1);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&here.stdout.replace(" active ", " disabled ")), words(&afar.stdout));
    let revoked = world.json(&format!("keys revoke {first} {second} {first}"));
    assert_eq!(revoked["items"].as_array().unwrap().len(), 3);
    assert!(revoked["items"].as_array().unwrap().iter().all(|one| one["state"] == "revoked"));
}

#[test]
fn keys_move_in_and_out_from_afar() {
    let world = World::logged_in("ada");
    let organization = world.organization();
    let rows =
        "name,plaintext,permissions\nold,a-key-of-another-system-9f8e7d6c5b4a,read\nbad,x,fly\n";
    let file = world.home.path().join("rows.csv");
    std::fs::write(&file, rows).unwrap();
    let import = format!("--json keys import --api main --organization {organization} rows.csv");
    for (arguments, kept) in [(format!("{import} --dry-run"), 0), (import, 1)] {
        let said = world.run(&arguments);
        assert_eq!(said.code, 1, "{}", said.stderr);
        assert!(said.stderr.contains("1 of 2 rows were refused"), "{}", said.stderr);
        let report: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!((&report["imported"], &report["refused"]), (&json!(1), &json!(1)), "{report}");
        let keys = world.json("keys list");
        assert_eq!(keys["items"].as_array().unwrap().len(), kept);
    }
    let exported = world.done("keys export");
    assert_eq!(exported.lines().count(), 2, "{exported}");
    assert!(exported.contains(",old,main,") && !exported.contains("9f8e7d"), "{exported}");
    assert_eq!(exported, world.locally(&format!("keys export --organization {organization}")));
    // Which one is meant is not guessed.
    world.log_in("ops");
    world.done("--login ops orgs create --id acme");
    assert!(world.refused("--login ops keys export").contains("`--organization`"));
}

#[test]
fn a_key_is_asked_for_decided_on_and_claimed_from_afar() {
    let world = World::logged_in("ada");
    let organization = world.organization();
    let ask = |name: &str| {
        text(&world.json(&format!(
            "requests ask --api inference --organization {organization} --name {name} --permission inference:read \
             --permission inference:write --reason nightly --lifetime 30d"
        ))["id"])
    };
    let (taken_back, denied, granted) = (ask("one"), ask("two"), ask("three"));
    assert!(world.done(&format!("requests withdraw {taken_back}")).contains("is taken back"));
    assert!(world.done(&format!("requests deny {denied} --reason no")).contains("is denied"));
    let said = world.done(&format!(
        "requests approve {granted} --permission inference:write --lifetime 7d --note enough"
    ));
    assert!(said.contains("is approved: ada@example.com can claim"), "{said}");
    for command in
        ["requests list", "requests list --state denied", &format!("requests show {granted}")]
    {
        assert_eq!(world.done(command), world.locally(command), "{command}");
    }
    let claimed = world.json(&format!("requests claim {granted}"));
    assert_eq!(claimed["permissions"], json!(["inference:write"]));
    assert!(text(&claimed["secret"]).len() > 20);
    assert!(world.refused(&format!("--json requests claim {granted}")).contains("conflict"));
    // Who runs this Keyward asks for nothing and claims nothing.
    let config = world.keyward.config().display();
    assert!(
        world.refused(&format!("--config {config} requests claim {granted}")).contains("log in")
    );
}

#[test]
fn organizations_and_their_models_are_seen_to_from_afar() {
    let world = World::logged_in("ops");
    world.done("orgs create --id acme");
    let revision = world.json("orgs show acme")["revision"].as_u64().unwrap();
    let update =
        format!("orgs update acme --name Acme --allow-model small --if-revision {revision}");
    let updated = world.json(&update);
    assert_eq!((&updated["name"], &updated["allowed_models"]), (&json!("Acme"), &json!(["small"])));
    assert!(world.refused(&format!("--json {update}")).contains(r#""code":"outdated""#));
    assert_eq!(world.json("orgs update acme --every-model")["allowed_models"], Value::Null);
    assert_eq!(world.run("orgs update acme").code, 2, "nothing is said");
    let allowed = world.done("models allow --organization acme small large");
    assert_eq!(allowed, "Keys of organization `acme` may ask for small, large.\n");
    let model = text(&world.json("models assign --organization acme")["id"]);
    let withdrawn = world.done(&format!("models withdraw --organization acme --id {model}"));
    assert_eq!(
        withdrawn,
        format!("Model id `{model}` no longer belongs to organization `acme`.\n")
    );
    assert_eq!(world.json("orgs suspend acme")["state"], "suspended");
    assert_eq!(world.json("orgs resume acme")["state"], "active");
    assert_eq!(world.done("orgs show acme"), world.locally("orgs show acme"));

    let head = text(&world.json("audit verify")["head"]);
    world.done("orgs update acme --name Again");
    let said = world.done(&format!("audit verify --noted {head}"));
    assert!(said.contains("is whole and holds what was noted"), "{said}");
    let other = format!("{}:{}", head.split(':').next().unwrap(), "0".repeat(64));
    let said = world.run(&format!("audit verify --noted {other}"));
    assert!(said.code == 1 && said.stderr.contains("the audit log is broken"), "{}", said.stderr);
}

#[test]
fn people_are_invited_come_change_and_go() {
    let world = World::logged_in("ada");
    let (organization, server) = (world.organization(), world.management.url());
    let invite = format!(
        "--json invitations create --organization {organization} --email bob@example.com --role viewer"
    );
    let invited: Value = serde_json::from_str(&world.done(&invite)).unwrap();
    let accepted = world.done_with(
        &format!("invitations accept --server {server} --name Bob"),
        &format!("{}\nanother good password\n", text(&invited["token"])),
    );
    assert!(accepted.contains("bob@example.com"), "{accepted}");
    let members = world.json(&format!("members list --organization {organization}"));
    let bob = text(&members["items"][1]["id"]);
    let changed =
        world.done(&format!("members change --organization {organization} {bob} --role developer"));
    assert_eq!(
        changed,
        format!("bob@example.com is developer of organization `{organization}`.\n")
    );
    world.done(&format!("members remove --organization {organization} {bob}"));

    // Somebody who is known accepts as who they are.
    let again = invite.replace("viewer", "administrator");
    let invited: Value = serde_json::from_str(&world.done(&again)).unwrap();
    let login = format!("login {server} --email bob@example.com --name bob");
    world.done_with(&login, "another good password\n");
    world.done_with("--login bob invitations accept", &format!("{}\n", text(&invited["token"])));
    let account = world.json("--login bob account show");
    assert_eq!(account["places"][0]["role"], "administrator");

    let third = invite.replace("bob@", "eve@");
    let invited: Value = serde_json::from_str(&world.done(&third)).unwrap();
    world.done(&format!("invitations withdraw {}", text(&invited["id"])));
    let listed = world.done(&format!("invitations list --organization {organization}"));
    assert!(listed.contains("withdrawn"), "{listed}");
}

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
