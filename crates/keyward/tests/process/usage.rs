//! What was used is counted exactly, and a kill -9 loses no more than it says.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use keyward_testkit::{Cli, Keyward, Serve, Upstream};
use serde_json::Value;

use crate::{KEYWARD, accepted, api, bearer, connect, make_key, make_organization};

const CLIENTS: usize = 4;
const EACH: usize = 500;
/// Of how long a time a kill may lose the counts here: [`keyward_control::recorder::ORDINARY_LOSS`], and as much again and more for a
/// machine that others use as well.
const LOSS: Duration = Duration::from_secs(5);
const LOAD: Duration = Duration::from_secs(8);

/// Key, route, status and reason, as texts.
type Group = [String; 4];

/// One kind of request, and what it counts to.
struct Kind {
    target: &'static str,
    secret: String,
    status: u16,
    group: Group,
}

fn kinds(keys: &[(String, String)]) -> Vec<Kind> {
    let kind = |target, secret: &str, key: &str, route: &str, status: u16, reason: &str| Kind {
        target,
        secret: secret.to_owned(),
        status,
        group: [key.to_owned(), route.to_owned(), status.to_string(), reason.to_owned()],
    };
    let of_key = |(id, secret): &(String, String)| {
        [
            kind("/read/x", secret, id, "/read/{rest...}", 200, ""),
            kind("/nowhere", secret, id, "", 404, "unknown_route"),
        ]
    };
    let mut kinds: Vec<_> = keys.iter().flat_map(of_key).collect();
    kinds.push(kind("/read/x", "wrong", "", "/read/{rest...}", 401, "malformed_key"));
    kinds
}

/// Asks for one kind after the other until `enough` says so, each client from another one on. Gives what was answered, and when.
fn load(
    keyward: &Keyward,
    kinds: &[Kind],
    enough: &(dyn Fn(usize) -> bool + Sync),
) -> Vec<(Group, Instant)> {
    let answered = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let answered = &answered;
            scope.spawn(move || {
                let mut connection = connect(keyward);
                for number in 0.. {
                    if enough(number) {
                        return;
                    }
                    let kind = &kinds[(client + number) % kinds.len()];
                    let headers = [("Authorization", bearer(&kind.secret))];
                    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
                    // Whoever is killed answers no more.
                    let Ok(answer) = connection.get(kind.target, &headers) else { return };
                    assert_eq!(answer.status(), kind.status, "{}", kind.target);
                    answered.lock().unwrap().push((kind.group.clone(), Instant::now()));
                }
            });
        }
    });
    answered.into_inner().unwrap()
}

fn counted(answered: &[(Group, Instant)]) -> BTreeMap<Group, u64> {
    let mut counts = BTreeMap::new();
    answered.iter().for_each(|(group, _)| *counts.entry(group.clone()).or_default() += 1);
    counts
}

/// What the statistics say, at each grain the same.
fn told(cli: &Cli) -> BTreeMap<Group, u64> {
    let by = "usage --since 2h --by key,route,status,reason";
    let sums = |usage: &Value| {
        let mut sums = BTreeMap::<Group, u64>::new();
        for item in usage["items"].as_array().unwrap() {
            let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
            let group = [text("key_id"), text("route"), item["status"].to_string(), text("reason")];
            *sums.entry(group).or_default() += item["requests"].as_u64().unwrap();
        }
        sums
    };
    let whole = sums(&cli.json(by));
    for grain in ["minute", "hour", "day"] {
        assert_eq!(sums(&cli.json(&format!("{by} --grain {grain}"))), whole, "by {grain}");
    }
    whole
}

fn with_keys(upstream: &Upstream) -> (Keyward, Vec<(String, String)>) {
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let keys: Vec<_> = ["one", "two", "three"].map(|name| make_key(&keyward.cli, name)).into();
    (keyward, keys)
}

/// The keys' first requests, by which it is seen that they are known, are not among what is counted.
fn known(keyward: &Keyward, keys: &[(String, String)]) {
    keys.iter().for_each(|(_, secret)| accepted(keyward, secret));
}

#[test]
fn statistics_equal_what_the_clients_counted() {
    let upstream = Upstream::json("{}");
    let (keyward, keys) = with_keys(&upstream);
    known(&keyward, &keys);
    let (_, stopped) = keyward.terminate();
    let before = told(&stopped.cli);
    let keyward = stopped.start();
    let kinds = kinds(&keys);
    let answered = load(&keyward, &kinds, &|number| number == EACH);
    assert_eq!(answered.len(), CLIENTS * EACH);
    let (ended, stopped) = keyward.terminate();
    assert!(ended.success(), "{ended}");
    let mut expected = counted(&answered);
    for (group, requests) in before {
        *expected.entry(group).or_default() += requests;
    }
    assert_eq!(told(&stopped.cli), expected);
}

#[test]
fn a_kill_9_loses_only_what_was_answered_in_the_last_seconds() {
    let upstream = Upstream::json("{}");
    let (keyward, keys) = with_keys(&upstream);
    known(&keyward, &keys);
    let (_, stopped) = keyward.terminate();
    let before: u64 = told(&stopped.cli).values().sum();
    let keyward = stopped.start();
    let kinds = kinds(&keys);
    let (began, killed) = (Instant::now(), AtomicBool::new(false));
    // Somewhere within a second, so that it is another moment of the recorder's round each time.
    let length = LOAD + Duration::from_millis(u64::from(std::process::id()) % 1000);
    let id = nix::unistd::Pid::from_raw(i32::try_from(keyward.process.id()).unwrap());
    let answered = load(&keyward, &kinds, &|_| {
        if began.elapsed() >= length && !killed.swap(true, Ordering::SeqCst) {
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        killed.load(Ordering::SeqCst)
    });
    let end = began + length;
    let stopped = keyward.kill();
    let told: u64 = told(&stopped.cli).values().sum::<u64>() - before;
    let safe = answered.iter().filter(|(_, at)| *at + LOSS < end).count() as u64;
    // What a client had not read to its end when it was killed may have been counted.
    let all = answered.len() as u64 + CLIENTS as u64;
    println!("{told} of {} requests are told after the kill, {safe} had to be", answered.len());
    assert!((safe..=all).contains(&told), "{told} are told, {safe} to {all} are right");
    assert!(safe > 0);
}
