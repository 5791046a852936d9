//! The gateway's clock: the one place in this crate where the system's is read.

use std::time::{Duration, SystemTime};

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

/// The moment as a Date header tells it, made once a second.
#[derive(Default)]
pub(crate) struct HttpDate {
    second: u64,
    text: String,
}

impl HttpDate {
    /// The text for now (RFC 9110, 5.6.7).
    pub(crate) fn now(&mut self) -> &str {
        let second = now().as_millis() / 1000;
        if second != self.second || self.text.is_empty() {
            self.second = second;
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            self.text = httpdate::fmt_http_date(moment);
        }
        &self.text
    }
}
