//! The port to what takes too long for a request's way: checking a presented secret against bcrypt hashes.

use crate::directory::Candidate;

/// Checks secrets of which only a bcrypt hash is known. Called on threads that may be kept busy.
pub trait SlowCheck: Send + Sync {
    /// Whether `presented` is the candidate's secret. A hash that cannot be opened is nobody's.
    fn is(&self, candidate: &Candidate, presented: &[u8]) -> bool;
}

/// Where nothing was imported: no candidate is anybody's.
pub struct Nothing;

impl SlowCheck for Nothing {
    fn is(&self, _: &Candidate, _: &[u8]) -> bool {
        false
    }
}
