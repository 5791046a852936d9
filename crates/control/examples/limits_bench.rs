//! What limits cost: nanoseconds to reserve in four of them and to settle, bytes for each active key, and the time in which what was
//! counted is saved and taken over at a start. `cargo xtask bench limits`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench tells its figures, and may fail where it stands"
)]

use std::{sync::Arc, time::Instant};

use keyward_control::{Counting, Keeper};
use keyward_core::{
    limit::{
        Limit,
        applied::{Applied, CounterId, Place},
        counters::{Counters, Moment, Need},
    },
    time::Timestamp,
};
use keyward_store::DataFolder;

const KEYS: u64 = 1_000_000;
const ROUNDS: u64 = 2_000_000;

/// Requests and tokens a minute, tokens a month, requests at once: each key's own.
const LIMITS: [&str; 4] = [
    r#"{"name":"requests","kind":"rate","amount":4000000000,"window_seconds":60}"#,
    r#"{"name":"tokens","kind":"rate","unit":"tokens","amount":4000000000,"window_seconds":60}"#,
    r#"{"name":"month","kind":"quota","unit":"tokens","amount":9000000000000,"period":"month"}"#,
    r#"{"name":"at-once","kind":"concurrency","amount":1000}"#,
];

/// SplitMix64, so that counters are met in no order.
fn scrambled(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn needs(limits: &[Applied], key: u64) -> Vec<Need<'_>> {
    let need = |(number, limit): (u64, _)| {
        // The upper half says whose it is.
        let halves = [scrambled(key), scrambled(!(key * 4 + number))];
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&halves[0].to_be_bytes());
        bytes[8..].copy_from_slice(&halves[1].to_be_bytes());
        Need::new(limit, CounterId::from_bytes(bytes), 1)
    };
    (0..).zip(limits).map(need).collect()
}

/// One request of each of `keys`, again and again; nanoseconds for each.
fn requests(counters: &Counters, limits: &[Applied], keys: u64, now: impl Fn() -> Moment) -> f64 {
    let mut all: Vec<_> =
        (0..10_000.min(keys)).map(|at| needs(limits, scrambled(at) % keys)).collect();
    let began = Instant::now();
    for round in 0..ROUNDS {
        let at = usize::try_from(round % all.len() as u64).unwrap();
        let now = now();
        let held = counters.reserve(&mut all[at], now);
        counters.settle(held.unwrap(), |_| 1, now);
    }
    began.elapsed().as_nanos() as f64 / ROUNDS as f64
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let clock = || Timestamp::from_secs(1_795_000_000);
    let limits: Vec<Applied> = LIMITS
        .iter()
        .map(|json| serde_json::from_str::<Limit>(json).unwrap())
        .map(|limit| Applied::new(&limit, Place::Organization(&"org".parse().unwrap())))
        .collect();
    let counting = Counting::new(Arc::new(clock));
    for keys in [1, 10_000] {
        let taken = requests(&counting.counters, &limits, keys, || counting.now());
        println!("reserve in four limits and settle, {keys} keys: {taken:.0} ns");
    }
    for key in 0..KEYS {
        let now = counting.now();
        for _ in 0..3 {
            let held = counting.counters.reserve(&mut needs(&limits, key), now);
            counting.counters.settle(held.unwrap(), |_| 1, now);
        }
    }
    let bytes = counting.counters.heap_bytes() as f64 / KEYS as f64;
    println!("{KEYS} active keys with four limits each: {bytes:.0} bytes a key");
    let taken = requests(&counting.counters, &limits, KEYS, || counting.now());
    println!("reserve in four limits and settle, 10,000 of {KEYS} keys: {taken:.0} ns");

    let directory = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(&directory.path().join("data")).await.unwrap();
    let began = Instant::now();
    for handful in counting.counters.take_unsaved().chunks(2_000) {
        folder.store().save_counters(handful.to_vec()).await.unwrap();
    }
    println!("saved in {:.1} s", began.elapsed().as_secs_f64());
    let again = Counting::new(Arc::new(clock));
    let began = Instant::now();
    let (keeper, restored) = Keeper::start(folder.store(), again).await.unwrap();
    println!("{restored} counters are taken over in {:.2} s", began.elapsed().as_secs_f64());
    std::thread::spawn(move || keeper.finish()).join().unwrap();
}
