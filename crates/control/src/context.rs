//! Who acts, and when: the first argument of every operation.

use std::sync::Arc;

use keyward_core::time::Timestamp;
use keyward_store::Actor;

/// Who acts, and when. The audit log says both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Who, and from where.
    pub actor: Actor,
    /// When. Expiry is judged by it too.
    pub now: Timestamp,
}

/// The clock, for what runs on by itself. Operations take the time from their [`Context`].
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
