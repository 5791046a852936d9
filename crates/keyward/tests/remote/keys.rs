//! Keys from afar: made, changed, ended, moved and asked for.

use serde_json::{Value, json};

use crate::world::{World, text};

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
