//! Why: the same decision, with each step told.

use serde::Serialize;

use crate::{
    credential::Headers,
    decide::{Body, Check, Request, Trace, decide_recognized, decide_traced},
    key::Digest,
    snapshot::Snapshot,
    time::{self, Timestamp},
    verdict::Verdict,
};

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which check.
    pub check: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What was found.
    pub what: String,
}

/// A decision with its steps.
#[derive(Debug)]
pub struct Explanation {
    /// The checks that were made, in order. The last one refuses if the verdict does.
    pub steps: Vec<Step>,
    /// What is decided.
    pub verdict: Verdict,
}

#[derive(Default)]
struct Told {
    steps: Vec<Step>,
    failed: Option<Check>,
}

impl Trace for Told {
    fn passed(&mut self, check: Check, what: impl FnOnce() -> String) {
        self.steps.push(Step { check: check.name(), passed: true, what: what() });
    }

    fn failed(&mut self, check: Check) {
        self.failed = Some(check);
    }
}

/// Decides as the gateway would, and tells how.
pub fn explain<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    body: Body<'_>,
    now: Timestamp,
) -> Explanation {
    let mut told = Told::default();
    let verdict = decide_traced(snapshot, request, body, now, &mut told);
    told.explanation(verdict)
}

/// [`explain`] for a key that nobody here has in the clear, by the digest of one of its secrets: how it would be sent and
/// whether it is well formed is not told, all that follows is.
pub fn explain_recognized<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    digest: &Digest,
    body: Body<'_>,
    now: Timestamp,
) -> Explanation {
    let mut told = Told::default();
    let verdict = decide_recognized(snapshot, request, digest, body, now, &mut told);
    told.explanation(verdict)
}

impl Told {
    fn explanation(mut self, verdict: Verdict) -> Explanation {
        let what = match &verdict {
            Verdict::Permit(_) => None,
            Verdict::Denial(denial) => Some(denial.detail.to_string()),
            Verdict::Outage(outage) => {
                Some(format!("the last confirmed state is {} old", time::in_words(outage.age)))
            }
        };
        if let (Some(check), Some(what)) = (self.failed, what) {
            self.steps.push(Step { check: check.name(), passed: false, what });
        }
        Explanation { steps: self.steps, verdict }
    }
}
