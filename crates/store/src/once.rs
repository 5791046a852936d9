//! Requests that are done once, however often they are sent: what is kept of them.
//!
//! A client that lost an answer repeats its request under the same key. What is kept is written in the transaction of the change:
//! a crash leaves both or neither, so a repeat finds the answer or does the change, and never does it twice. The answer may hold a
//! secret: it is sealed, and only for some minutes.

use keyward_core::{key::Digest, time::Timestamp};

use crate::{change::Revision, error::StoreError, seal::SealedBytes};

/// Makes the answer to a change that made this revision, sealed under [`crate::SealContext::answer`]. It runs in the change's
/// transaction: an answer names the revision, and nothing may stand between the two.
pub type Answering = Box<dyn FnOnce(Revision) -> Result<SealedBytes, StoreError> + Send>;

/// By what a repeat is known: who asks, and under which key. Nobody meets another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// The id of the person or key that asks.
    pub caller: String,
    /// The SHA-256 of the key that they chose.
    pub key: [u8; 32],
}

/// A request, and the answer it gets from now on.
pub struct Once {
    /// Whose, and under which key.
    pub request: RequestKey,
    /// What was asked for, digested under a pepper: the request may hold a secret too.
    pub asked: Digest,
    /// The id of what is made.
    pub made: String,
    /// The answer.
    pub answer: Answering,
    /// From when on the answer is gone.
    pub answered_until: Timestamp,
    /// From when on the request is forgotten.
    pub kept_until: Timestamp,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What was asked for.
    pub asked: Digest,
    /// The id of what was made.
    pub made: String,
    /// The answer, while its time lasts.
    pub answer: Option<SealedBytes>,
}
