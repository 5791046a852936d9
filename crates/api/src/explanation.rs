//! Why a request would be refused, step by step.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Which.
    pub check: String,
    /// Whether it passed.
    pub passed: bool,
    /// What was found.
    pub what: String,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictView {
    /// It would be forwarded.
    Permit,
    /// It would be refused, and the caller can mend it.
    Denial,
    /// It could not be decided.
    Outage,
}

/// A header of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeaderView {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The answer a client would see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusalView {
    /// Keyward's name of the reason, like `expired_key`.
    pub reason: String,
    /// The status code.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<HeaderView>,
    /// Its body.
    pub body: String,
}

/// A decision with its steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplanationView {
    /// The checks that were made, in order; the last one refuses if the verdict does.
    pub steps: Vec<StepView>,
    /// What is decided.
    pub verdict: VerdictView,
    /// What the client would see, unless the request would be forwarded.
    pub refusal: Option<RefusalView>,
    /// What people should know beside the decision.
    pub notes: Vec<String>,
}
