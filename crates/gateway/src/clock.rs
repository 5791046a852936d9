//! The gateway's clock: the one place in this crate where the system's is read.

use std::time::SystemTime;

use keyward_core::time::Timestamp;

/// The moment, by the system's clock.
pub(crate) fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock is read here and handed on as an argument"
    )]
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
