//! An acknowledged change survives `kill -9` at any instant, and nothing is ever half there.
//!
//! A process of our own (the victim) does every kind of change there is, several at a time, and says of each that it was told is
//! durable; it is killed after a random number of them and a random part of a millisecond. Then the folder is opened as a start
//! does, and all that stands in it is held against all that was done: what was acknowledged is there, what was on its way is
//! there whole or not at all, and nothing else is there. What it does comes from a seed, so nothing but "so far" has to be told.
//!
//! `KEYWARD_CRASH_TRIALS` says how often, `KEYWARD_CRASH_SEED` from where on: a failure names the seed of one life, and without
//! its last three digits that is the seed of its folder. The deeds are the same then, the instant of a kill never is. That
//! acknowledged changes survive power loss rests on `synchronous=FULL`, which no kill can test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail where it stands, and says what it measured"
)]

mod deeds;
mod lane;
mod people;
mod plans;
mod told;
mod truth;

use std::{
    collections::HashSet,
    hint::spin_loop,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use deeds::{KINDS, Step, kind};
use keyward_store::{AuditEntry, DataFolder};
use lane::{Lane, Random};
use tokio::task::JoinSet;
use truth::{Facts, Truth};

const VICTIMS_FOLDER: &str = "KEYWARD_VICTIMS_FOLDER";
const VICTIMS_SEED: &str = "KEYWARD_VICTIMS_SEED";
/// What stands before each line of a victim, to be found among what others print.
const DONE: &str = "done ";
/// How many changes are on their way at once, so that a kill finds groups of several.
const LANES: u64 = 8;
/// How often a folder is killed in: each life begins from what the one before left behind.
const LIVES: u32 = 5;

#[test]
#[ignore = "the process that the trials kill"]
fn the_victim() {
    let folder = std::env::var_os(VICTIMS_FOLDER).unwrap();
    let seed = std::env::var(VICTIMS_SEED).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let folder = DataFolder::open(Path::new(&folder)).await.unwrap();
        let sets_up = !folder.store().has_operator().await.unwrap();
        let mut lanes = JoinSet::new();
        for number in 0..LANES {
            let store = folder.store();
            let mut lane = Lane::new(seed, number, sets_up);
            lanes.spawn(async move {
                loop {
                    let step = lane.step();
                    let told = format!("{step:?}");
                    match step.run(&*store).await {
                        Ok(revision) => {
                            writeln!(std::io::stdout(), "{DONE}{number} {revision}").unwrap();
                        }
                        Err(error) => panic!("{told} was refused: {error}"),
                    }
                }
            });
        }
        lanes.join_next().await.unwrap().unwrap();
    });
}

/// What the victim was told is durable: of each lane, the revisions of its steps, as far as it came.
type Acknowledged = Vec<Vec<u64>>;

/// Runs the victim in `folder`, and kills it at a random instant.
fn kill_at_random(folder: &Path, seed: u64, instant: &mut Random) -> Acknowledged {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_victim", "--ignored", "--nocapture"])
        .env(VICTIMS_FOLDER, folder)
        .env(VICTIMS_SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(victim.stdout.take().unwrap());
    let mut acknowledged = vec![vec![]; usize::try_from(LANES).unwrap()];
    let mut take = |line: &str| {
        // A line without an end was cut off by the kill: nobody was told.
        let Some((_, done)) = line.strip_suffix('\n').and_then(|line| line.split_once(DONE)) else {
            return;
        };
        let (lane, revision) = done.split_once(' ').unwrap();
        acknowledged[lane.parse::<usize>().unwrap()].push(revision.parse().unwrap());
    };
    // One time in ten it does not come to its first change: it dies while the folder is made or opened.
    let lines = if instant.below(10) == 0 { 0 } else { instant.below(120) + 2 };
    let mut line = String::new();
    for _ in 0..lines {
        line.clear();
        assert_ne!(
            said.read_line(&mut line).unwrap(),
            0,
            "the victim of seed {seed} ended by itself"
        );
        take(&line);
    }
    let (start, wait) = (Instant::now(), Duration::from_micros(instant.below(1000)));
    let wait = if lines == 0 { wait * 20 } else { wait };
    while start.elapsed() < wait {
        spin_loop();
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    line.clear();
    while said.read_line(&mut line).unwrap() != 0 {
        take(&line);
        line.clear();
    }
    acknowledged
}

/// What must stand in a folder, by all that was done in it so far.
#[derive(Default)]
struct Expected {
    facts: Facts,
    /// How many revisions there are.
    revisions: usize,
    has_operator: bool,
}

fn tells_of(entry: &AuditEntry, step: &Step) -> bool {
    let (action, subject) = step.trace.as_ref().unwrap();
    entry.action == *action && entry.subject == *subject && entry.actor.name == step.actor.name
}

impl Expected {
    fn take(&mut self, step: Step) {
        for (thing, stands) in step.facts {
            match stands {
                Some(stands) => self.facts.insert(thing, stands),
                None => self.facts.remove(&thing),
            };
        }
    }

    /// Holds what stands against one more life, and what was acknowledged in it.
    fn hold(&mut self, truth: &Truth, seed: u64, acknowledged: &Acknowledged) -> u64 {
        let (mut under_way, mut told, mut count) = (vec![], HashSet::new(), 0);
        for (number, revisions) in (0..).zip(acknowledged) {
            let mut lane = Lane::new(seed, number, !self.has_operator);
            for revision in revisions {
                let step = lane.step();
                if step.trace.is_some() {
                    let place = usize::try_from(*revision).unwrap() - 1;
                    let entry = truth.audit.get(place);
                    let is_there = entry.is_some_and(|entry| tells_of(entry, &step));
                    assert!(is_there, "seed {seed}: {step:?} was acknowledged; there is {entry:?}");
                    assert!(place >= self.revisions && told.insert(place), "{place} twice");
                }
                self.take(step);
                count += 1;
            }
            under_way.push(lane.step());
        }
        // What nobody was told of is what was on its way: each of it whole, or not at all.
        let untold = truth.audit.iter().enumerate().skip(self.revisions);
        let mut untold: Vec<_> =
            untold.filter(|(place, _)| !told.contains(place)).map(|(_, entry)| entry).collect();
        for step in under_way {
            let is_done = if step.trace.is_some() {
                let entry = untold.iter().position(|entry| tells_of(entry, &step));
                entry.map(|place| untold.swap_remove(place)).is_some()
            } else {
                step.facts.iter().all(|(thing, stands)| truth.facts.get(thing) == stands.as_ref())
            };
            if is_done {
                self.take(step);
            }
        }
        assert!(untold.is_empty(), "seed {seed}: nobody did {untold:?}");
        self.revisions = truth.audit.len();
        for (thing, stands) in &self.facts {
            assert_eq!(truth.facts.get(thing), Some(stands), "seed {seed}: {thing}");
        }
        for thing in truth.facts.keys() {
            assert!(self.facts.contains_key(thing), "seed {seed}: nobody made {thing}");
        }
        count
    }
}

#[derive(Default)]
struct Found {
    kills: u32,
    acknowledged: u64,
    revisions: usize,
    slowest: Duration,
}

/// One folder, killed in again and again.
async fn trial(seed: u64, lives: u32, found: &mut Found) {
    let folder = tempfile::tempdir().unwrap();
    let mut instant = Random::of(seed);
    let mut expected = Expected::default();
    for life in 0..lives {
        let seed = seed.wrapping_mul(1000).wrapping_add(u64::from(life));
        let acknowledged = kill_at_random(folder.path(), seed, &mut instant);
        let start = Instant::now();
        let opened = DataFolder::open(folder.path()).await.unwrap();
        opened.store().check().await.unwrap();
        opened.store().load(&mut |_| ()).await.unwrap();
        found.slowest = found.slowest.max(start.elapsed());
        let truth = truth::read(&opened, life + 1 == lives).await;
        found.acknowledged += expected.hold(&truth, seed, &acknowledged);
        expected.has_operator = opened.store().has_operator().await.unwrap();
        found.kills += 1;
    }
    found.revisions += expected.revisions;
}

fn asked<N: std::str::FromStr>(variable: &str) -> Option<N> {
    let said = std::env::var(variable).ok()?;
    Some(said.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[test]
fn no_acknowledged_change_is_lost_and_none_is_half_there() {
    let kills: u32 = asked("KEYWARD_CRASH_TRIALS").unwrap_or(40);
    let first: u64 = asked("KEYWARD_CRASH_SEED").unwrap_or_else(|| getrandom::u64().unwrap() >> 20);
    let (start, next) = (Instant::now(), AtomicU32::new(0));
    let folders = kills.div_ceil(LIVES);
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut found = Found::default();
        loop {
            let folder = next.fetch_add(1, Relaxed);
            if folder >= folders {
                return found;
            }
            let lives = LIVES.min(kills - folder * LIVES);
            runtime.block_on(trial(first + u64::from(folder), lives, &mut found));
            if folder % 100 == 99 {
                println!("{} kills after {:?}", (folder + 1) * LIVES, start.elapsed());
            }
        }
    };
    let found = std::thread::scope(|scope| {
        let workers = [(); 2].map(|()| scope.spawn(work));
        workers.map(|worker| worker.join().unwrap())
    });
    let sum = |of: fn(&Found) -> u64| found.iter().map(of).sum::<u64>();
    let slowest = found.iter().map(|one| one.slowest).max().unwrap();
    let acknowledged = sum(|one| one.acknowledged);
    println!(
        "{} kills from seed {first}: {acknowledged} changes of {} kinds acknowledged, {} revisions \
         found, 0 lost, 0 half there; slowest return {slowest:?}; {:?} in all",
        sum(|one| u64::from(one.kills)),
        KINDS.len(),
        sum(|one| one.revisions as u64),
        start.elapsed(),
    );
    assert!(acknowledged > 0 || kills == 0, "no change was acknowledged: nothing was tested");
    assert!(slowest < Duration::from_secs(2), "it took {slowest:?} to come back");
}

/// Each kind of change is done, and soon enough to be done before the kill comes.
#[test]
fn every_kind_of_change_is_among_those_that_are_killed() {
    let mut done = HashSet::new();
    for seed in 0..40 {
        for number in 0..LANES {
            let mut lane = Lane::new(seed, number, true);
            done.extend((0..15).map(|_| kind(&lane.step().deed)));
        }
    }
    let missing: Vec<_> = KINDS.iter().filter(|kind| !done.contains(**kind)).collect();
    assert!(missing.is_empty(), "no lane does {missing:?}");
}

/// What the victim does is refused nowhere, and is as the facts say, where nobody is killed.
#[tokio::test]
async fn what_is_done_undisturbed_is_as_it_is_expected() {
    let folder = tempfile::tempdir().unwrap();
    let opened = DataFolder::open(folder.path()).await.unwrap();
    let (mut expected, mut done) = (Expected::default(), vec![]);
    for number in 0..LANES {
        let (mut lane, mut revisions) = (Lane::new(7, number, true), vec![]);
        for _ in 0..120 {
            let step = lane.step();
            let told = format!("{step:?}");
            let revision = step.run(&*opened.store()).await;
            revisions.push(revision.unwrap_or_else(|error| panic!("{told}: {error}")).get());
        }
        done.push(revisions);
    }
    let truth = truth::read(&opened, true).await;
    assert_eq!(expected.hold(&truth, 7, &done), LANES * 120);
}
