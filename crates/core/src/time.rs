//! A moment, as an argument: the core never asks a clock.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A moment in milliseconds since the Unix epoch, UTC. Written as RFC 3339 in whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Later than every moment anything can happen: the expiry of what does not expire.
    pub const NEVER: Self = Self(u64::MAX);

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the Unix epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Whole minutes since the Unix epoch, rounded down: the grain in which usage is kept.
    pub const fn as_minutes(self) -> u64 {
        self.0 / 60_000
    }

    /// How long ago `earlier` was, zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment moved back by `by`, to the epoch at the earliest.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This moment moved ahead by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Timestamp {
    /// As RFC 3339 in milliseconds, for what is measured in them.
    pub fn to_precise_text(self) -> String {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(moment) => format!("{moment:.3}"),
            Err(_) => "never".to_owned(),
        }
    }
}

/// A duration as people say it: the largest unit that fits and the one below it, `2 days 4 hours`. What is less is left out.
pub fn in_words(duration: Duration) -> String {
    const UNITS: [(&str, u64); 4] =
        [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let mut rest = duration.as_secs();
    let counts = UNITS.map(|(name, seconds)| {
        let count = rest / seconds;
        rest %= seconds;
        (name, count)
    });
    let words: Vec<_> = counts
        .into_iter()
        .skip_while(|(_, count)| *count == 0)
        .take(2)
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}{}", if count == 1 { "" } else { "s" }))
        .collect();
    if words.is_empty() { "less than a second".to_owned() } else { words.join(" ") }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = i64::try_from(self.as_secs()).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_second(secs) {
            Ok(moment) => write!(f, "{moment}"),
            Err(_) => f.write_str("never"),
        }
    }
}

/// The text is not a moment.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a moment: write it as RFC 3339 with an offset, like 2027-01-31T00:00:00Z")]
pub struct NotAMoment(String);

impl FromStr for Timestamp {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| NotAMoment(text.to_owned()))?;
        u64::try_from(moment.as_millisecond()).map(Self).map_err(|_| NotAMoment(text.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_as_it_was_written() {
        let moment: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(moment.as_secs(), 1_704_067_200);
        assert_eq!(moment.to_string(), "2024-01-01T00:00:00Z");
        assert_eq!("2024-01-01T02:00:00+02:00".parse::<Timestamp>().unwrap(), moment);
    }

    #[test]
    fn a_moment_can_be_told_in_milliseconds() {
        assert_eq!(
            Timestamp::from_millis(1_704_067_200_040).to_precise_text(),
            "2024-01-01T00:00:00.040Z"
        );
        assert_eq!(Timestamp::NEVER.to_precise_text(), "never");
    }

    #[test]
    fn a_duration_is_told_in_its_two_largest_units() {
        for (millis, words) in [
            (0, "less than a second"),
            (999, "less than a second"),
            (1_000, "1 second"),
            (59_999, "59 seconds"),
            (60_000, "1 minute"),
            (119_000, "1 minute 59 seconds"),
            (3_601_000, "1 hour"),
            (2 * 3_600_000 + 60_000, "2 hours 1 minute"),
            (86_400_000, "1 day"),
            (400 * 86_400_000 + 3_600_000, "400 days 1 hour"),
        ] {
            assert_eq!(in_words(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn what_is_no_moment_says_what_would_be_right() {
        let error = "tomorrow".parse::<Timestamp>().unwrap_err().to_string();
        assert!(error.contains("RFC 3339"), "{error}");
    }
}
