//! The differential test of the wire: slightly broken HTTP/1.1, sent as the same bytes to the gateway, to nginx and to HAProxy,
//! each in front of an upstream that keeps what it gets.
//!
//! A request is smuggled where two servers disagree on what one stream of bytes says. So for thousands of streams, from a seed:
//!
//! - What reaches the gateway's upstream is exactly the requests that it answered from there, and each is what a strict reader of
//!   its own (`strict`) makes of the client's bytes. What was refused never arrives as a whole request.
//! - Where nginx or HAProxy pass what the gateway passes, they make the same of it.
//! - What the gateway refuses and the others pass is no finding: it is counted and shown.
//!
//! `KEYWARD_CASES` says how many cases there are, `KEYWARD_SEED` from which seed. Requests that never end are ended by the servers'
//! own deadlines.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test may fail where it stands, and uses a part of the world"
)]

mod case;
mod mutation;
mod peers;
mod recorder;
mod strict;
mod summary;
mod talk;
mod verdict;
#[path = "../world/mod.rs"]
mod world;

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use case::{Case, case};
use peers::{Front, Peers};
use recorder::Recorder;
use strict::Stream;
use summary::Summary;
use talk::{Talk, say};
use tokio::{
    net::{TcpStream, UnixStream},
    task::LocalSet,
};
use verdict::Made;
use world::World;

/// Connections to each server at a time; each has an upstream to itself.
const LANES: usize = 24;
/// How long the servers wait for the rest of a request.
const PATIENCE: Duration = Duration::from_millis(200);
const CASES: u64 = 4000;
const SEED: u64 = 1;
/// How often a case is sent whose connection met a deadline before all of it was answered: on a busy machine, any can.
const TRIES: usize = 10;
/// How many findings are shown in full.
const SHOWN: usize = 20;

/// A lane of the gateway's: one with an upstream of its own.
struct Lane {
    world: World,
    address: SocketAddr,
    recorder: Recorder,
    peers: [Front; 2],
    /// Numbers of the requests that were answered from upstream, and of those that were refused.
    passed: u64,
    refused: HashSet<String>,
    answers: u64,
}

impl Lane {
    async fn start(peers: [Front; 2]) -> Self {
        let (recorder, upstream) = Recorder::on_port().await;
        let world = World::with(upstream, |setup| {
            let deadlines = &mut setup.settings.deadlines;
            for deadline in [&mut deadlines.head, &mut deadlines.idle, &mut deadlines.stall] {
                *deadline = PATIENCE;
            }
        })
        .await;
        let address = world.address;
        Self { world, address, recorder, peers, passed: 0, refused: HashSet::new(), answers: 0 }
    }

    /// Sends a case to all three. Gives what the client's bytes say, and what each server made of them.
    async fn ask(&mut self, case: &Case) -> (Stream, [Made; 3]) {
        let bytes = case.with_key(self.world.key("bearer"));
        let ours = async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            made(&self.recorder, say(stream, case, &bytes)).await
        };
        let theirs = |front: &Front| {
            let (front, bytes) = (front.clone(), &bytes);
            async move {
                let stream = UnixStream::connect(&front.socket).await.unwrap();
                made(&front.recorder, say(stream, case, bytes)).await
            }
        };
        let [nginx, haproxy] = &self.peers;
        let (ours, nginx, haproxy) = tokio::join!(ours, theirs(nginx), theirs(haproxy));
        for answer in &ours.talk.answers {
            self.answers += 1;
            match (answer.serial, &answer.id) {
                (Some(_), _) => self.passed += 1,
                (None, Some(id)) => drop(self.refused.insert(id.clone())),
                (None, None) => {}
            }
        }
        (strict::read_all(&bytes), [ours, nginx, haproxy])
    }

    /// The same, until no deadline came in between.
    async fn ask_again(&mut self, case: &Case) -> (Stream, [Made; 3]) {
        for _ in 1..TRIES {
            let (sent, made) = self.ask(case).await;
            if !verdict::ended_early(&sent, &made[0]) {
                return (sent, made);
            }
        }
        self.ask(case).await
    }

    /// What holds only when all is over: what was counted, and what arrived upstream in part.
    async fn end(self) -> Vec<String> {
        let mut findings = Vec::new();
        let told = self.world.drain().await;
        let passed: u64 = told
            .rows
            .iter()
            .filter(|(scope, _)| scope.reason.is_none())
            .map(|(_, sums)| sums.requests)
            .sum();
        let counted = (told.requests(), passed);
        if counted != (self.answers, self.passed) {
            let got = (self.answers, self.passed);
            findings
                .push(format!("it counted {counted:?} answers and passes, its clients {got:?}"));
        }
        for cut in self.recorder.with(|seen| std::mem::take(&mut seen.cut)) {
            let head = strict::read_head(&cut).map(|(head, _)| head);
            let id = |head: &strict::Request| head.header("x-request-id").map(<[u8]>::to_vec);
            let is_known = head.as_ref().is_some_and(|head| {
                let id = id(head).and_then(|id| String::from_utf8(id).ok()).unwrap_or_default();
                verdict::streams(head) && self.refused.contains(&id)
            });
            if !is_known {
                findings.push(format!("its upstream got {:?}", String::from_utf8_lossy(&cut)));
            }
        }
        findings
    }
}

async fn made(recorder: &Recorder, talk: impl Future<Output = Vec<u8>>) -> Made {
    let first = recorder.with(|seen| seen.whole.len());
    let talk = Talk::of(&talk.await);
    let received = recorder.with(|seen| seen.whole[first..].to_vec());
    Made { talk, received, first }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text}, which is no number")),
        Err(_) => otherwise,
    }
}

#[tokio::test]
async fn what_passes_means_the_same_to_everybody_and_what_is_refused_never_arrives() {
    let cases = from_environment("KEYWARD_CASES", CASES);
    let seed = from_environment("KEYWARD_SEED", SEED);
    let peers = Peers::start(LANES, PATIENCE);
    let next = Rc::new(Cell::new(0));
    let summary = Rc::new(RefCell::new(Summary::new(seed)));
    let mut lanes = Vec::new();
    for fronts in &peers.lanes {
        lanes.push(Lane::start(fronts.clone()).await);
    }
    let set = LocalSet::new();
    let work = lanes.into_iter().map(|mut lane| {
        let (next, summary) = (next.clone(), summary.clone());
        set.spawn_local(async move {
            while next.get() < cases {
                let number = next.replace(next.get() + 1);
                let case = case(seed, number, lane.world.key("bearer").len());
                let (sent, made) = lane.ask_again(&case).await;
                summary.borrow_mut().add(number, &case, &sent, &made);
            }
            let late = lane.end().await;
            summary.borrow_mut().late(late);
        })
    });
    let work: Vec<_> = work.collect();
    set.await;
    for lane in work {
        lane.await.unwrap();
    }
    let summary = summary.borrow();
    eprintln!("{summary}");
    assert!(summary.findings.is_empty(), "{} findings, seed {seed}", summary.findings.len());
    summary.assert_worth();
}
