//! Values as they are typed: what clap reads arguments with. What is wrong here is asked for wrongly, exit code 2.

use std::time::Duration;

use keyward_core::time::Timestamp;

use crate::config::units;

/// `90d`, `12h`: a time from now.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).ok_or_else(|| units::DURATION_REMEDY.to_owned())
}

/// A moment, or how long it is until then.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    In(Duration),
    At(Timestamp),
}

impl Moment {
    pub(super) fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Self::In(duration) => now.plus(duration),
            Self::At(moment) => moment,
        }
    }

    pub(super) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::In(duration) => now.minus(duration),
            Self::At(moment) => moment,
        }
    }
}

/// A moment that is over, or how long ago it was.
pub(super) fn past(text: &str) -> Result<Moment, String> {
    moment(text.strip_suffix("ago").map_or(text, str::trim_end))
}

pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Some(duration) = units::duration(text) {
        return Ok(Moment::In(duration));
    }
    text.parse().map(Moment::At).map_err(|_| {
        "write how long, like 90d or 12h and at most 1000 years, or when, like 2027-01-31T00:00:00Z"
            .to_owned()
    })
}

/// `name=value`.
pub(super) fn entry(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `Name: value`.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it like `Name: value`")?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("`{name}` is not a header's name: write it like `Name: value`"));
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}
