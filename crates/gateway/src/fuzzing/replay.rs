//! Runs the properties where no fuzzer is at hand: on the seeds in `fuzz/corpus`, and on changes of them that are random, but
//! the same in every run.
//!
//! Bounded by count, so that a failure comes again; and by time, so that a slow machine is not kept for long.

use std::{
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use proptest::{
    prelude::Rng as _,
    test_runner::{RngAlgorithm, TestRng},
};

/// Changed inputs, of each property.
const COUNT: u32 = 40_000;
const MOST_TIME: Duration = Duration::from_secs(20);
/// What one input may grow to.
const MOST_BYTES: usize = 8192;
/// Bytes that mean something to one reader or another.
const TELLING: &[u8] = b"\n\r\0 \t:,;0159afx/\"#\\\x0b\x7f\x80";

#[test]
fn answers() {
    replay("answer", super::answer);
}

#[test]
fn codings_of_answers() {
    replay("answer_coding", super::answer_coding);
}

#[test]
fn members_that_are_decided_on() {
    replay("body_binding", super::body_binding);
}

#[test]
fn chunked_bodies() {
    replay("chunked_body", super::chunked_body);
}

#[test]
fn connections() {
    replay("connection", super::connection);
}

#[test]
fn keys() {
    replay("key_format", super::key_format);
}

#[test]
fn what_tells_usage() {
    replay("metering_scan", super::metering_scan);
}

#[test]
fn paths() {
    replay("path", super::path);
}

#[test]
fn request_heads() {
    replay("request_head", super::request_head);
}

fn replay(target: &str, property: fn(&[u8])) {
    let seeds = seeds(target);
    let words = words();
    for seed in &seeds {
        run(property, seed);
    }
    let mut random = Random(TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let began = Instant::now();
    for _ in 0..COUNT {
        if began.elapsed() > MOST_TIME {
            break;
        }
        let mut input = random.one_of(&seeds).clone();
        for _ in 0..=random.below(4) {
            random.change(&mut input, &seeds, &words);
        }
        input.truncate(MOST_BYTES);
        run(property, &input);
    }
}

/// A failure shows the input as it can be put into a table, or a seed.
fn run(property: fn(&[u8]), input: &[u8]) {
    let outcome = catch_unwind(|| property(input));
    assert!(outcome.is_ok(), "it does not hold for b\"{}\"", input.escape_ascii());
}

struct Random(TestRng);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0.next_u32() as usize % end.max(1)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn part<'a>(&mut self, of: &'a [u8]) -> &'a [u8] {
        let start = self.below(of.len());
        let longest = (of.len() - start).min(64);
        &of[start..start + self.below(longest + 1)]
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[Vec<u8>]) {
        let place = self.below(input.len() + 1);
        let one = input.len().min(place + 1);
        match self.below(8) {
            0 => drop(input.splice(place..one, [*self.one_of(TELLING)])),
            1 => drop(input.splice(place..place, [*self.one_of(TELLING)])),
            2 => drop(input.splice(place..one, [self.below(256) as u8])),
            3 => drop(input.splice(place..one, [])),
            4 => {
                let end = place + self.part(&input[place..]).len();
                drop(input.drain(place..end));
            }
            5 => {
                let part = self.part(input).to_vec();
                drop(input.splice(place..place, part));
            }
            6 => {
                let other = self.one_of(seeds);
                let part = self.part(other).to_vec();
                drop(input.splice(place..place, part));
            }
            _ => drop(input.splice(place..place, self.one_of(words).clone())),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// In an order that is the same everywhere.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = folder().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// The words of `fuzz/words.dict`.
fn words() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder().join("words.dict")).unwrap();
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescaped).collect()
}

/// Without libFuzzer's escapes: `\xAB`, and a backslash before a quote or itself.
fn unescaped(word: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (vec![], word.as_bytes());
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    loop {
        let (byte, behind) = match rest {
            [b'\\', b'x', high, low, behind @ ..] => ((digit(*high) << 4) + digit(*low), behind),
            [b'\\', byte, behind @ ..] | [byte, behind @ ..] => (*byte, behind),
            [] => return bytes,
        };
        bytes.push(byte);
        rest = behind;
    }
}
