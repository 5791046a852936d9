//! Restarts that nobody notices: the listening socket is handed from one process to the next.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use keyward_testkit::{Connection, Serve, Upstream, wait};

use crate::{KEYWARD, accepted, api, bearer, make_key, make_organization};

/// How often Keyward is started anew; the bench asks for more.
fn restarts() -> u64 {
    let asked = std::env::var("KEYWARD_RESTARTS").ok().and_then(|count| count.parse().ok());
    asked.unwrap_or(3)
}

const CLIENTS: usize = 16;

#[test]
fn no_request_fails_while_keyward_is_restarted_under_load() {
    let upstream = Upstream::json("{}");
    let mut keyward = Serve::new(KEYWARD).api(api(upstream.address())).handed().start();
    make_organization(&keyward.cli);
    let (_, secret) = make_key(&keyward.cli, "one");
    accepted(&keyward, &secret);

    let (address, credential) = (keyward.address, bearer(&secret));
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    // Requests on connections that are kept as long as Keyward keeps them; any that fails ends the test.
    let ask = || -> io::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let mut connection = Connection::open(address, "localhost")?;
            while !stop.load(Ordering::Relaxed) {
                let answer = connection.get("/read/x", &[("Authorization", &credential)])?;
                assert_eq!(answer.status(), 200);
                answered.fetch_add(1, Ordering::Relaxed);
                if answer.head.header("connection") == Some("close") {
                    break;
                }
            }
        }
        Ok(())
    };
    let (restarts, mut longest) = (restarts(), std::time::Duration::ZERO);
    thread::scope(|scope| {
        let asking: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        for _ in 0..restarts {
            let before = answered.load(Ordering::Relaxed);
            wait::until("requests are answered", wait::LONG, || {
                (answered.load(Ordering::Relaxed) > before + 100).then_some(())
            });
            let began = std::time::Instant::now();
            let (status, stopped) = keyward.terminate();
            assert!(status.success(), "{status}");
            keyward = stopped.start();
            longest = longest.max(began.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        for one in asking {
            one.join().unwrap().expect("no request fails");
        }
    });
    println!(
        "{restarts} restarts, {} requests, none failed; from one process to the next at most {longest:?}",
        answered.load(Ordering::Relaxed)
    );
}

#[test]
fn a_socket_that_nothing_is_configured_for_is_named() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).handed().start();
    let (config, address) = (keyward.config().to_owned(), keyward.address);
    let (status, stopped) = keyward.terminate();
    assert!(status.success(), "{status}");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&address.to_string(), "127.0.0.1:0")).unwrap();
    let refused = stopped.start_refused();
    let expected = format!("a socket at {address} was handed over");
    assert!(refused.contains(&expected), "{refused}");
}
