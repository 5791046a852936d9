//! Reload, drain, crash: what each signal does, and what is left.

use std::{
    net::TcpStream,
    sync::{Mutex, mpsc},
};

use keyward_testkit::{Serve, Upstream, keyward::text, wait};

use crate::{KEYWARD, accepted, api, bearer, connect, make_key, make_organization, status};

#[test]
fn a_reload_takes_a_new_route_and_refuses_a_wrong_configuration() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let (_, secret) = make_key(&keyward.cli, "one");
    accepted(&keyward, &secret);
    assert_eq!(status(&keyward, "/new", &secret), 404);

    let before = std::fs::read_to_string(keyward.config()).unwrap();
    let route = "\n[[apis.routes]]\nmethods = [\"GET\"]\npath = \"/new\"\npermission = \"read\"\n";
    std::fs::write(keyward.config(), format!("{before}{route}")).unwrap();
    keyward.reload();
    wait::until("the new route is there", wait::LONG, || {
        (status(&keyward, "/new", &secret) == 200).then_some(())
    });

    // A permission that the profile has not, in a line that is known.
    let wrong = route.replace("/new", "/newer").replace("\"read\"", "\"reed\"");
    std::fs::write(keyward.config(), format!("{before}{route}{wrong}")).unwrap();
    let lines = keyward.process.lines();
    keyward.reload();
    let named = keyward.process.line("line that refuses the configuration", lines, |line| {
        let (_, behind) = line.split_once("keyward.toml:")?;
        assert!(line.contains("reed"), "{line}");
        behind.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
    });
    let first = format!("{before}{route}").lines().count() + 1;
    let place = first..=first + wrong.lines().count();
    assert!(place.contains(&named), "line {named} is named, and the mistake is in {place:?}");
    assert_eq!(status(&keyward, "/new", &secret), 200, "the configuration before stays");
    assert_eq!(status(&keyward, "/newer", &secret), 404, "and nothing of the wrong one is taken");

    // It is no state to be stuck in: the next good one is taken.
    std::fs::write(keyward.config(), before).unwrap();
    keyward.reload();
    wait::until("the route is gone", wait::LONG, || {
        (status(&keyward, "/new", &secret) == 404).then_some(())
    });
}

#[test]
fn a_stop_lets_the_request_in_flight_end() {
    let (arrived, arrival) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let upstream = Upstream::start(move |mut exchange| {
        exchange.drain()?;
        exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?;
        arrived.send(()).unwrap();
        released.lock().unwrap().recv_timeout(wait::LONG).expect("the test releases the answer");
        exchange.write(b"-last")
    });
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let (_, secret) = make_key(&keyward.cli, "one");
    wait::until("the key is known", wait::LONG, || {
        (status(&keyward, "/nowhere", &secret) == 404).then_some(())
    });

    let mut connection = connect(&keyward);
    connection.send_head("GET", "/read/x", &[("Authorization", &bearer(&secret))]).unwrap();
    arrival.recv_timeout(wait::LONG).expect("the upstream gets the request");
    let head = connection.head().unwrap();
    assert_eq!(head.status(), 200);

    let address = keyward.address;
    keyward.process.signal(nix::sys::signal::Signal::SIGTERM);
    wait::until("nothing listens any more", wait::LONG, || {
        TcpStream::connect(address).is_err().then_some(())
    });
    release.send(()).unwrap();
    let mut body = String::new();
    std::io::Read::read_to_string(&mut connection.body(&head), &mut body).unwrap();
    assert_eq!(body, "first-last", "the answer that had begun is whole");
    let (ended, _) = keyward.wait();
    assert!(ended.success(), "{ended}");
}

#[test]
fn keys_survive_kill_9_and_usage_survives_a_stop() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let (id, secret) = make_key(&keyward.cli, "one");
    accepted(&keyward, &secret);

    let keyward = keyward.kill().start();
    assert_eq!(status(&keyward, "/read/x", &secret), 200, "known from the start");
    let before = requests(&keyward.cli.json(&format!("keys show {id}")));
    let (ended, stopped) = keyward.terminate();
    assert!(ended.success(), "{ended}");

    let keyward = stopped.start();
    for _ in 0..20 {
        assert_eq!(status(&keyward, "/read/x", &secret), 200);
    }
    let (_, stopped) = keyward.terminate();
    let shown = stopped.cli.json(&format!("keys show {id}"));
    let after = requests(&shown);
    // The one before the first stop may have been counted already when it was asked for.
    assert!(after == before + 20 || after == before + 21, "{before} and then {after}: {shown}");
    let used = text(&shown["secrets"][0], "last_used_at");
    assert!(used.ends_with('Z'), "the secret's last use is kept: {used}");
}

/// Requests that were answered with 200, by the key's usage.
fn requests(shown: &serde_json::Value) -> u64 {
    let usage = shown["usage"].as_array().expect("usage").iter();
    usage.filter(|one| one["status"] == 200).map(|one| one["requests"].as_u64().unwrap()).sum()
}
