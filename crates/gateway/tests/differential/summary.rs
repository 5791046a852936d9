//! What came of all cases: findings in full, and in figures what the gateway is stricter in than others.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use crate::{
    SHOWN,
    case::Case,
    peers::Kind,
    strict::{End, Stream},
    verdict::{self, Made},
};

/// How many requests one server passed, and refused.
#[derive(Default)]
struct Figures {
    passed: usize,
    refused: usize,
}

pub struct Summary {
    seed: u64,
    cases: u64,
    pub findings: Vec<String>,
    /// The gateway's, then those of [`Kind::ALL`].
    servers: [Figures; 3],
    /// Cases in which all three passed every request.
    agreed: u64,
    /// What the gateway said when it refused, how often, and how often the others passed that request.
    refusals: BTreeMap<String, [u64; 3]>,
    /// What the others refused though the gateway passed it.
    others_refused: [u64; 2],
}

impl Summary {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            cases: 0,
            findings: Vec::new(),
            servers: Default::default(),
            agreed: 0,
            refusals: BTreeMap::new(),
            others_refused: [0; 2],
        }
    }

    pub fn add(&mut self, number: u64, case: &Case, sent: &Stream, made: &[Made; 3]) {
        self.cases += 1;
        for (figures, made) in self.servers.iter_mut().zip(made) {
            figures.passed += made.passes();
            figures.refused += made.talk.answers.len() - made.passes();
        }
        let [ours, theirs @ ..] = made;
        let of_peers = Kind::ALL.iter().zip(theirs);
        let of_peers = of_peers.map(|(kind, theirs)| verdict::of_peer(*kind, sent, ours, theirs));
        for found in std::iter::once(verdict::of_keyward(sent, ours)).chain(of_peers) {
            if let Err(found) = found {
                let bytes = case.bytes.escape_ascii();
                let statuses = made.each_ref().map(|made| {
                    made.talk.answers.iter().map(|answer| answer.status).collect::<Vec<_>>()
                });
                self.findings.push(format!(
                    "case {number} of seed {}: {found}\n  answered: {statuses:?}, cut at {:?}{}\n  sent: {bytes}",
                    self.seed,
                    case.cuts,
                    if case.waits { ", the last piece sent after an answer" } else { "" },
                ));
            }
        }
        let all_pass = |made: &Made| made.passes() == sent.requests.len();
        if sent.end == End::Clean && made.iter().all(all_pass) {
            self.agreed += 1;
        }
        for (n, answer) in ours.talk.answers.iter().enumerate() {
            if answer.serial.is_some() {
                for (refused, theirs) in self.others_refused.iter_mut().zip(theirs) {
                    let answer = theirs.talk.answers.get(n);
                    *refused += u64::from(answer.is_some_and(|answer| answer.serial.is_none()));
                }
                continue;
            }
            let counts = self.refusals.entry(words(answer.status, &answer.body)).or_default();
            counts[0] += 1;
            for (count, theirs) in counts[1..].iter_mut().zip(theirs) {
                *count += u64::from(theirs.passed(n).is_some());
            }
            // What follows a refusal stands elsewhere in each server's stream.
            break;
        }
    }

    /// What shows at the end of a lane; no one case is to blame.
    pub fn late(&mut self, findings: Vec<String>) {
        self.findings
            .extend(findings.into_iter().map(|found| format!("seed {}: {found}", self.seed)));
    }

    /// Whether there was enough of both to prove something.
    pub fn assert_worth(&self) {
        let refused: u64 = self.refusals.values().map(|counts| counts[0]).sum();
        assert!(
            self.agreed > self.cases / 20,
            "all three passed only {} of {}",
            self.agreed,
            self.cases
        );
        assert!(refused > self.cases / 10, "only {refused} of {} were refused", self.cases);
    }
}

/// What the gateway said of a refusal.
fn words(status: u16, body: &[u8]) -> String {
    let said = serde_json::from_slice::<serde_json::Value>(body).ok();
    let said = said.as_ref().and_then(|said| said.pointer("/error/message")?.as_str());
    format!("{status} {}", said.unwrap_or("(no words)"))
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for found in self.findings.iter().take(SHOWN) {
            writeln!(f, "FOUND {found}\n")?;
        }
        writeln!(
            f,
            "{} cases from seed {}; all three passed all of {}",
            self.cases, self.seed, self.agreed
        )?;
        let names = std::iter::once("Keyward").chain(Kind::ALL.map(Kind::name));
        for (name, figures) in names.zip(&self.servers) {
            writeln!(
                f,
                "{name:>8}: {:>7} requests passed, {:>7} refused",
                figures.passed, figures.refused
            )?;
        }
        for (kind, refused) in Kind::ALL.iter().zip(self.others_refused) {
            writeln!(f, "{} refused {refused} that the gateway passed", kind.name())?;
        }
        writeln!(f, "refused here, and of these passed by nginx and by HAProxy:")?;
        let mut refusals: Vec<_> = self.refusals.iter().collect();
        refusals.sort_by_key(|(_, counts)| std::cmp::Reverse(counts[1..].iter().sum::<u64>()));
        for (words, [count, nginx, haproxy]) in refusals {
            writeln!(f, "{count:>7} {nginx:>7} {haproxy:>7}  {words}")?;
        }
        Ok(())
    }
}
