//! What was used, told by a server and by the data folder.

use keyward_testkit::{Connection, wait};
use serde_json::{Value, json};

use crate::world::{World, text};

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
