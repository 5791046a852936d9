//! Bodies that do not fit in memory, and streams in which each piece matters when it comes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    sync::{Mutex, mpsc},
    time::Instant,
};

use keyward_testkit::{Serve, Upstream, wait};

use crate::{KEYWARD, accepted, api, bearer, connect, make_key, make_organization};

const TWO_GIB: u64 = 2 << 30;
/// Resident memory that the gateway may ever have had, in kB.
const MOST_MEMORY: u64 = 64 * 1024;
const BLOCK: usize = 1 << 18;
const EVENTS: usize = 1000;

#[test]
fn two_gib_pass_in_both_directions_in_bounded_memory() {
    let upstream = Upstream::forgetful(|mut exchange| {
        if exchange.head.method() == "POST" {
            let count = exchange.drain()?;
            return exchange.json(200, &count.to_string());
        }
        let block = [b'x'; BLOCK];
        if exchange.head.target().ends_with("small") {
            return exchange.json(200, "{}");
        }
        if exchange.head.target().ends_with("chunked") {
            exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for _ in 0..TWO_GIB / BLOCK as u64 {
                exchange.write(format!("{BLOCK:x}\r\n").as_bytes())?;
                exchange.write(&block)?;
                exchange.write(b"\r\n")?;
            }
            return exchange.write(b"0\r\n\r\n");
        }
        exchange
            .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {TWO_GIB}\r\n\r\n").as_bytes())?;
        (0..TWO_GIB / BLOCK as u64).try_for_each(|_| exchange.write(&block))
    });
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let (_, secret) = make_key(&keyward.cli, "one");
    accepted(&keyward, &secret);
    let authorization = bearer(&secret);
    let authorization = ("Authorization", authorization.as_str());
    let started = Instant::now();

    let mut connection = connect(&keyward);
    let length = TWO_GIB.to_string();
    connection
        .send_head("POST", "/write/x", &[authorization, ("Content-Length", &length)])
        .unwrap();
    let block = [b'x'; BLOCK];
    for _ in 0..TWO_GIB / BLOCK as u64 {
        connection.stream().write_all(&block).unwrap();
    }
    let answer = connection.answer().unwrap();
    assert_eq!((answer.status(), answer.body), (200, length), "what the upstream counted");
    let uploaded = started.elapsed();

    for target in ["/read/whole", "/read/chunked"] {
        connection.send_head("GET", target, &[authorization]).unwrap();
        let head = connection.head().unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(connection.body(&head).drain().unwrap(), TWO_GIB, "{target}");
    }
    let most = keyward.process.memory_kb("VmHWM");
    println!("2 GiB up in {uploaded:?}, all in {:?}; VmHWM {} MiB", started.elapsed(), most / 1024);
    assert!(most < MOST_MEMORY, "{most} kB were resident");
}

#[test]
fn a_thousand_events_arrive_one_by_one() {
    let (sent, sent_at) = mpsc::channel::<Instant>();
    let (taken, wait_for_taken) = mpsc::channel::<()>();
    let wait_for_taken = Mutex::new(wait_for_taken);
    let upstream = Upstream::start(move |mut exchange| {
        exchange.drain()?;
        if !exchange.head.target().ends_with("events") {
            return exchange.json(200, "{}");
        }
        exchange.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        for number in 0..EVENTS {
            let event = format!("data: {number}\n\n");
            sent.send(Instant::now()).unwrap();
            exchange.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
            // The next is sent only when this one has arrived: a proxy that waits for more waits for ever.
            wait_for_taken.lock().unwrap().recv_timeout(wait::LONG).expect("the event arrives");
        }
        exchange.write(b"0\r\n\r\n")
    });
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let (_, secret) = make_key(&keyward.cli, "one");
    accepted(&keyward, &secret);

    let mut connection = connect(&keyward);
    let authorization = bearer(&secret);
    connection.send_head("GET", "/read/events", &[("Authorization", &authorization)]).unwrap();
    let head = connection.head().unwrap();
    assert_eq!((head.status(), head.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(head.header("x-accel-buffering"), Some("no"), "proxies before us are told, too");
    let mut events = BufReader::new(connection.body(&head));
    let mut delays = Vec::with_capacity(EVENTS);
    for number in 0..EVENTS {
        let mut event = String::new();
        events.read_line(&mut event).unwrap();
        events.read_line(&mut event).unwrap();
        let arrived = Instant::now();
        assert_eq!(event, format!("data: {number}\n\n"));
        delays.push(arrived - sent_at.recv_timeout(wait::LONG).unwrap());
        taken.send(()).unwrap();
    }
    assert_eq!(events.read(&mut [0]).unwrap(), 0, "the stream ends as the upstream's does");
    delays.sort();
    println!(
        "delay of {EVENTS} events: median {:?}, most {:?}",
        delays[EVENTS / 2],
        delays[EVENTS - 1]
    );
}
