//! Waiting for what cannot be awaited: a condition in another process. Asked again every two milliseconds, and never longer
//! than a bound, so that what does not come is a failed test and not a hang.

use std::time::{Duration, Instant};

const BETWEEN_TRIES: Duration = Duration::from_millis(2);

/// Long enough for anything here on a busy machine; what takes longer does not come.
pub const LONG: Duration = Duration::from_secs(30);

/// Asks until there is an answer, and gives it; panics naming `what` when `limit` has passed without one.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::park_timeout(BETWEEN_TRIES);
    }
}
