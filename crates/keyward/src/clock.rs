//! The one place of the binary that asks the system for the time. Everything else takes it as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use keyward_core::time::Timestamp;

/// Now.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the clock the ban points to")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is a clock that was never set.
    let millis = since_epoch.unwrap_or_default().as_millis();
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
