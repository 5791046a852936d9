//! What limits have counted outlives a stop whole, and a kill -9 up to what was counted in the last seconds.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use keyward_testkit::{Api, Cli, Keyward, Serve, Upstream, wait};

use crate::{KEYWARD, accepted, api, bearer, connect, make_organization};

/// Of how long a time a kill may lose what was counted: [`keyward_control::keeper::SAVED_EVERY`], the time that saving takes, and more
/// for a machine whose disk others keep busy: a durable write has been seen to take four seconds there.
const LOSS: Duration = Duration::from_secs(6);
const LOAD: Duration = Duration::from_secs(9);

fn key(cli: &Cli, limits: &str) -> (String, String) {
    let key = "--api main --organization acme --name limited --permission read";
    cli.create_key(&format!("{key} {limits}"))
}

/// What is used of the first limit on a key, where that is known.
fn known(cli: &Cli, key: &str) -> Option<u64> {
    cli.json(&format!("keys limits {key}"))["items"][0]["used"].as_u64()
}

fn used(cli: &Cli, key: &str) -> u64 {
    known(cli, key).unwrap()
}

fn get(keyward: &Keyward, secret: &str) -> u16 {
    let bearer = bearer(secret);
    connect(keyward).get("/read/x", &[("Authorization", &bearer)]).unwrap().status()
}

#[test]
fn a_stop_loses_nothing_and_neither_do_windows() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let (id, secret) = key(&keyward.cli, "--limit requests=3/1h");
    accepted(&keyward, &secret);
    assert_eq!(get(&keyward, &secret), 200);
    assert_eq!(known(&keyward.cli, &id), None, "only the gateway knows");
    let explain = format!("explain --api main --path /read/x --key-id {id}");
    let explained = keyward.cli.json(&explain).to_string();
    assert!(explained.contains("the running gateway knows what is left"), "{explained}");
    let (_, stopped) = keyward.terminate();
    assert_eq!(used(&stopped.cli, &id), 2);
    let explained = stopped.cli.json(&explain).to_string();
    assert!(explained.contains("1 left of 3 requests"), "{explained}");
    let keyward = stopped.start();
    assert_eq!([get(&keyward, &secret), get(&keyward, &secret)], [200, 429]);
}

#[test]
fn a_kill_9_loses_only_what_was_counted_in_the_last_seconds() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let file = keyward.data().join("limits.toml");
    let quota = r#"[[limits]]
        name = "year"
        kind = "quota"
        amount = 1000000
        period = "year""#;
    std::fs::write(&file, quota).unwrap();
    let (id, secret) = key(&keyward.cli, &format!("--limits-file {}", file.display()));
    accepted(&keyward, &secret);
    let (mut connection, bearer) = (connect(&keyward), bearer(&secret));
    // Somewhere within a second, so that it is another moment between two savings each time.
    let length = LOAD + Duration::from_millis(u64::from(std::process::id()) % 1000);
    let (began, mut answered) = (Instant::now(), vec![Instant::now()]);
    while began.elapsed() < length {
        let answer = connection.get("/read/x", &[("Authorization", &bearer)]).unwrap();
        assert_eq!(answer.status(), 200);
        answered.push(Instant::now());
    }
    let stopped = keyward.kill();
    let (used, all) = (used(&stopped.cli, &id), answered.len() as u64);
    let safe = answered.iter().filter(|at| **at + LOSS < began + length).count() as u64;
    println!("{used} of {all} requests are counted after the kill, {safe} had to be");
    assert!((safe..=all).contains(&used), "{used} are counted, {safe} to {all} are right");
    let keyward = stopped.start();
    accepted(&keyward, &secret);
    let (_, stopped) = keyward.terminate();
    assert!(self::used(&stopped.cli, &id) > used, "it goes on where it stood");
}

#[test]
fn a_budget_is_spent_by_what_answers_tell_where_the_profile_says_nothing_of_usage() {
    let upstream = Upstream::json(r#"{"usage":{"prompt_tokens":30,"completion_tokens":7}}"#);
    let mine = Api::new("mine", upstream.address()).profile("generic");
    let keyward = Serve::new(KEYWARD).api(mine).start();
    make_organization(&keyward.cli);
    keyward.cli.json("prices set large* --input 2 --output 10");
    let file = keyward.data().join("limits.toml");
    let budget = r#"[[limits]]
        name = "spend"
        kind = "budget"
        amount = "1.00"
        period = "year""#;
    std::fs::write(&file, budget).unwrap();
    let key = "--api mine --organization acme --name limited --permission read";
    let (id, secret) = keyward.cli.create_key(&format!("{key} --limits-file {}", file.display()));
    let body = r#"{"model":"large-1","prompt":"Hello"}"#;
    let (bearer, length) = (bearer(&secret), body.len().to_string());
    let post = || {
        let mut connection = connect(&keyward);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Content-Length", &length),
        ];
        connection.send_head("POST", "/v1/generate", &headers).unwrap();
        connection.stream().write_all(body.as_bytes()).unwrap();
        connection.answer().unwrap().status()
    };
    wait::until("key and price reach the gateway", wait::LONG, || (post() == 200).then_some(()));
    let (_, stopped) = keyward.terminate();
    let limits = stopped.cli.json(&format!("keys limits {id}"));
    assert_eq!(limits["items"][0]["used"], "0.00013", "{limits}");
}
