//! The gateway's clock: the one place in this crate where the system's is read.

use std::time::{Duration, Instant, SystemTime};

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

/// The system's clock as it was read last, beside the clock that is never put back: of the two, a request reads one.
#[derive(Clone, Copy)]
pub(crate) struct Wall {
    read: Instant,
    /// What it told then.
    pub(crate) told: Timestamp,
}

impl Wall {
    /// Reads the system's clock.
    pub(crate) fn read() -> Self {
        Self { read: Instant::now(), told: now() }
    }

    /// What it tells at that moment, as long as nobody sets it.
    pub(crate) fn at(&self, moment: Instant) -> Timestamp {
        self.told.plus(moment.saturating_duration_since(self.read))
    }
}

/// The moment as a Date header tells it (RFC 9110, 5.6.7), made once a second.
#[derive(Default)]
pub(crate) struct HttpDate {
    second: u64,
    text: String,
}

impl HttpDate {
    /// It is now.
    pub(crate) fn turn(&mut self, now: Timestamp) {
        let second = now.as_millis() / 1000;
        if second != self.second || self.text.is_empty() {
            self.second = second;
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            self.text = httpdate::fmt_http_date(moment);
        }
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}
