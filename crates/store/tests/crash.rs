//! An acknowledged change survives `kill -9` at any instant, and nothing is ever half there.
//!
//! A process of our own makes keys and says each one it was told is durable; it is killed after a random number of them and a
//! random part of a millisecond; then every acknowledged key must be there whole. `KEYWARD_CRASH_TRIALS` says how often.
//! (That acknowledged changes survive power loss rests on `synchronous=FULL`, which no kill can test.)
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail where it stands, and says what it measured"
)]

#[path = "../examples/key_maker.rs"]
#[allow(dead_code, reason = "the example's main")]
mod key_maker;

use std::{
    collections::{HashMap, HashSet},
    hint::spin_loop,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use key_maker::{MADE, NOW, request};
use keyward_core::id::KeyId;
use keyward_store::{
    AuditEntry, AuditFilter, AuditProof, DataFolder, Feed, KeyFilter, KeyRecord, Page, Revision,
    Store, Subject,
};

const VICTIMS_FOLDER: &str = "KEYWARD_VICTIMS_FOLDER";

#[test]
#[ignore = "the process that the trials kill"]
fn the_victim() {
    let folder = std::env::var_os(VICTIMS_FOLDER).unwrap();
    key_maker::make_keys(Path::new(&folder)).unwrap();
}

fn below(most: u64) -> u64 {
    getrandom::u64().unwrap() % most
}

/// Runs the victim in `folder`, kills it at a random instant, and returns what it was told is durable.
fn kill_at_random(folder: &Path) -> HashMap<KeyId, Revision> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_victim", "--ignored", "--nocapture"])
        .env(VICTIMS_FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(victim.stdout.take().unwrap());
    let mut acknowledged = HashMap::new();
    let mut take = |line: &str| {
        // A line without an end was cut off by the kill: nobody was told.
        let Some((_, made)) = line.strip_suffix('\n').and_then(|line| line.split_once(MADE)) else {
            return;
        };
        let (key, revision) = made.split_once(' ').unwrap();
        let revision = Revision::new(revision.parse().unwrap());
        assert!(acknowledged.insert(key.parse().unwrap(), revision).is_none());
    };
    let (mut line, wanted) = (String::new(), below(100));
    // One time in ten it does not come to its first key: it dies while the folder is made.
    let lines = if below(10) == 0 { 0 } else { wanted + 2 };
    for _ in 0..lines {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "the victim ended by itself");
        take(&line);
    }
    let (start, instant) = (Instant::now(), Duration::from_micros(below(1000)));
    let instant = if lines == 0 { instant * 20 } else { instant };
    while start.elapsed() < instant {
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

async fn all_keys(store: &dyn Store) -> Vec<KeyRecord> {
    let (mut keys, mut page) = (vec![], Page::first(1000));
    loop {
        let found = store.keys(&KeyFilter::default(), page).await.unwrap();
        let Some(last) = found.last() else { return keys };
        page = Page::after(last.key.id, 1000);
        keys.extend(found);
    }
}

async fn whole_audit(store: &dyn Store) -> Vec<AuditEntry> {
    let (mut entries, mut page) = (vec![], Page::first(1000));
    loop {
        let found = store.audit(&AuditFilter::default(), page).await.unwrap();
        let Some(last) = found.last() else { return entries };
        page = Page::after(last.id, 1000);
        entries.extend(found);
    }
}

/// Every key whole, every acknowledged key among them; gives how many keys there are.
async fn verify(folder: &DataFolder, acknowledged: &HashMap<KeyId, Revision>) -> usize {
    let store = folder.store();
    let keys = all_keys(&*store).await;
    let Feed::Entries(feed) = store.changes_since(Revision::ZERO, 100_000).await.unwrap() else {
        panic!("the feed has a gap");
    };
    let audit = whole_audit(&*store).await;
    let revision = store.revision().await.unwrap();
    assert_eq!(feed.last().map_or(Revision::ZERO, |entry| entry.revision), revision);
    assert_eq!(audit.len() as u64, revision.get(), "one audit entry for each revision");
    let told: HashSet<(Revision, &Subject)> =
        feed.iter().map(|entry| (entry.revision, &entry.subject)).collect();
    for entry in &audit {
        assert!(told.contains(&(entry.revision.unwrap(), &entry.subject)), "{entry:?}");
    }
    let proof = store.verify_audit(None).await.unwrap();
    assert!(matches!(proof, AuditProof::Whole { .. }), "{proof:?}");
    let made = audit.iter().filter(|entry| entry.action == "key.create").count();
    assert_eq!(made, keys.len(), "a key for each entry, an entry for each key");
    let there: HashSet<KeyId> = keys.iter().map(|record| record.key.id).collect();
    // A repeat finds each key that was made, and none that was not: as many requests are known as there are keys.
    let database = rusqlite::Connection::open(folder.path().join("keyward.db")).unwrap();
    let known: i64 =
        database.query_row("SELECT count(*) FROM answers", [], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(known).unwrap(), keys.len(), "a request for each key");
    for record in &keys {
        let answered = store.answer(&request(record.key.id), NOW).await.unwrap().unwrap();
        assert_eq!(answered.made, record.key.id.to_string());
        assert_eq!(answered.answer.unwrap().as_bytes(), record.key.id.bits());
    }
    for record in &keys {
        assert_eq!(record.key.name, record.key.id.to_string());
        assert_eq!(record.secrets.len(), 1, "{} lacks its secret", record.key.id);
        assert_eq!(record.secrets[0].key, record.key.id);
    }
    for (key, revision) in acknowledged {
        assert!(there.contains(key), "{key} was acknowledged and is lost");
        assert!(told.contains(&(*revision, &Subject::Key(*key))), "{key} at {revision}");
    }
    keys.len()
}

#[tokio::test]
async fn no_acknowledged_key_is_lost_and_none_is_half_there() {
    let trials: u32 = std::env::var("KEYWARD_CRASH_TRIALS")
        .map_or(40, |trials| trials.parse().expect("KEYWARD_CRASH_TRIALS is a number"));
    let (mut acknowledged, mut found, mut slowest) = (0, 0, Duration::ZERO);
    for _ in 0..trials {
        let folder = tempfile::tempdir().unwrap();
        // Twice in one folder: the second life begins from what the first left behind.
        let mut told = kill_at_random(folder.path());
        told.extend(kill_at_random(folder.path()));
        let start = Instant::now();
        let opened = DataFolder::open(folder.path()).await.unwrap();
        opened.store().check().await.unwrap();
        slowest = slowest.max(start.elapsed());
        found += verify(&opened, &told).await;
        acknowledged += told.len();
    }
    println!(
        "{} kills: {acknowledged} keys acknowledged, {found} found, 0 lost, 0 half there; \
         slowest return {slowest:?}",
        trials * 2
    );
    assert!(acknowledged > 0 || trials == 0, "no key was acknowledged: nothing was tested");
    assert!(slowest < Duration::from_secs(2), "it took {slowest:?} to come back");
}
