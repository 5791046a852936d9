//! Organizations from afar: their people and models, plans, prices and limits.

use serde_json::{Value, json};

use crate::world::{World, text};

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
