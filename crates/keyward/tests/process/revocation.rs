//! A revocation by another process reaches the running gateway, and is final.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use keyward_testkit::{Keyward, Serve, Upstream};

use crate::{KEYWARD, api, bearer, connect, make_key, make_organization};

/// How long after the command has returned the last request may still be accepted. The figure that is promised is smaller, and
/// belongs to the bench.
const BOUND: Duration = Duration::from_secs(2);
/// Refusals that each client wants to see, to be sure that none is followed by an acceptance.
const REFUSALS: usize = 50;

struct Tried {
    began: Instant,
    ended: Instant,
    status: u16,
}

/// Asks without a pause, on one connection, until the key was refused often enough or the bound has passed.
fn ask(keyward: &Keyward, secret: &str, give_up: &AtomicBool) -> Vec<Tried> {
    let mut connection = connect(keyward);
    let authorization = bearer(secret);
    let mut tried = Vec::new();
    let mut refused = 0;
    while refused < REFUSALS && !give_up.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = connection.get("/read/x", &[("Authorization", &authorization)]);
        let status = answer.expect("an answer on a connection that is kept").status();
        refused += usize::from(status == 401);
        tried.push(Tried { began, ended: Instant::now(), status });
    }
    tried
}

#[test]
fn after_the_first_refused_request_none_is_accepted() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let (revoked_id, secret) = make_key(&keyward.cli, "revoked");
    let (_, other) = make_key(&keyward.cli, "other");
    crate::accepted(&keyward, &secret);

    let give_up = AtomicBool::new(false);
    let (returned, tried) = std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..4).map(|_| scope.spawn(|| ask(&keyward, &secret, &give_up))).collect();
        keyward.cli.json(&format!("keys revoke {revoked_id}"));
        let returned = Instant::now();
        while clients.iter().any(|client| !client.is_finished()) && returned.elapsed() < BOUND {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        give_up.store(true, Ordering::Relaxed);
        let tried: Vec<_> =
            clients.into_iter().flat_map(|client| client.join().expect("a client")).collect();
        (returned, tried)
    });

    assert!(tried.iter().all(|one| matches!(one.status, 200 | 401)));
    let refused = tried.iter().filter(|one| one.status == 401);
    let first = refused.clone().map(|one| one.ended).min().expect("the key is refused in time");
    assert!(refused.count() >= 4 * REFUSALS, "every client is refused within {BOUND:?}");
    let late = tried.iter().filter(|one| one.status == 200 && one.began > first).count();
    assert_eq!(late, 0, "requests that were accepted after another was refused");
    let last = tried.iter().filter(|one| one.status == 200).map(|one| one.began).max();
    let after = last.map(|last| last.saturating_duration_since(returned)).unwrap_or_default();
    println!("last accepted request began {after:?} after `keys revoke` had returned");
    assert_eq!(crate::status(&keyward, "/read/x", &other), 200, "another key is still good");
}

#[test]
fn a_disabled_key_comes_back_and_a_retired_secret_does_not() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let (id, old) = make_key(&keyward.cli, "one");
    crate::accepted(&keyward, &old);
    keyward.cli.json(&format!("keys disable {id}"));
    crate::refused(&keyward, &old);
    keyward.cli.json(&format!("keys enable {id}"));
    crate::accepted(&keyward, &old);

    let rotated = keyward.cli.json(&format!("keys rotate {id} --overlap 24h"));
    let new = keyward_testkit::keyward::text(&rotated, "secret");
    crate::accepted(&keyward, &new);
    crate::accepted(&keyward, &old);
    let old_id = keyward_testkit::keyward::text(&rotated["secrets"][0], "id");
    keyward.cli.json(&format!("keys retire {id} {old_id}"));
    crate::refused(&keyward, &old);
    crate::accepted(&keyward, &new);
}
