//! Periods of the calendar, and where days begin.

use std::{fmt, str::FromStr};

use jiff::{ToSpan as _, Unit, Zoned, civil::Weekday};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A period of the calendar. Weeks begin on Mondays (ISO 8601).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Period {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Period {
    /// The word it is written by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The first moment of the period in which `now` lies, and the first of the next. Where clocks are put back, the hour that comes
    /// twice is two hours; a day that a zone skips is nobody's.
    pub fn around(self, now: Timestamp, zone: &TimeZone) -> Span {
        let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        let local = moment.to_zoned(zone.0.clone());
        let start = self.start(&local);
        let next = start.as_ref().and_then(|start| self.next(start));
        let millis = |moment: Option<Zoned>| {
            moment.and_then(|moment| u64::try_from(moment.timestamp().as_millisecond()).ok())
        };
        Span {
            start: Timestamp::from_millis(millis(start).unwrap_or_default()),
            end: millis(next).map_or(Timestamp::NEVER, Timestamp::from_millis),
        }
    }

    fn start(self, local: &Zoned) -> Option<Zoned> {
        let day = || local.start_of_day();
        match self {
            // Not rounded: where clocks are put back, that would lead into the other of two hours.
            Self::Hour => {
                let into = local.round(Unit::Nanosecond).ok()?;
                let passed = i64::from(into.minute()) * 60 + i64::from(into.second());
                let passed = passed.seconds().nanoseconds(i64::from(into.subsec_nanosecond()));
                into.checked_sub(passed).ok()
            }
            Self::Day => day().ok(),
            Self::Week => {
                let back = i64::from(local.weekday().since(Weekday::Monday));
                local.date().checked_sub(back.days()).ok()?.to_zoned(local.time_zone().clone()).ok()
            }
            Self::Month => local.first_of_month().ok()?.start_of_day().ok(),
            Self::Year => local.first_of_year().ok()?.start_of_day().ok(),
        }
    }

    fn next(self, start: &Zoned) -> Option<Zoned> {
        let span = match self {
            Self::Hour => 1.hour(),
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
            Self::Year => 1.year(),
        };
        let next = start.checked_add(span).ok()?;
        if self == Self::Hour { Some(next) } else { next.start_of_day().ok() }
    }
}

/// From its start, inclusive, to its end, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub start: Timestamp,
    /// The first moment that is not in it.
    pub end: Timestamp,
}

impl Span {
    /// Whether the moment lies in it.
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.start <= moment && moment < self.end
    }
}

/// Where days begin. Rules come with Keyward, not from the machine, so that two machines agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZone(jiff::tz::TimeZone);

/// The text names no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time zone: write its IANA name, like Europe/Zurich or UTC")]
pub struct NotATimeZone(String);

impl TimeZone {
    /// Coordinated universal time.
    pub const fn utc() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }
}

impl FromStr for TimeZone {
    type Err = NotATimeZone;

    fn from_str(text: &str) -> Result<Self, NotATimeZone> {
        if text.eq_ignore_ascii_case("utc") {
            return Ok(Self::utc());
        }
        let zone = jiff::tz::TimeZone::get(text);
        zone.map(Self).map_err(|_| NotATimeZone(text.chars().take(60).collect()))
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn periods_begin_and_end_where_the_calendar_of_their_zone_says() {
        for (period, zone, now, start, end) in [
            (
                Period::Hour,
                "UTC",
                "2026-03-01T10:59:59Z",
                "2026-03-01T10:00:00Z",
                "2026-03-01T11:00:00Z",
            ),
            (
                Period::Hour,
                "Asia/Kolkata",
                "2026-03-01T10:20:00Z",
                "2026-03-01T09:30:00Z",
                "2026-03-01T10:30:00Z",
            ),
            (
                Period::Day,
                "Europe/Zurich",
                "2026-03-29T12:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            (
                Period::Day,
                "America/Santiago",
                "2026-09-06T12:00:00Z",
                "2026-09-06T04:00:00Z",
                "2026-09-07T03:00:00Z",
            ),
            (
                Period::Week,
                "UTC",
                "2026-11-22T23:59:59Z",
                "2026-11-16T00:00:00Z",
                "2026-11-23T00:00:00Z",
            ),
            (
                Period::Month,
                "America/New_York",
                "2026-03-01T03:00:00Z",
                "2026-02-01T05:00:00Z",
                "2026-03-01T05:00:00Z",
            ),
            (
                Period::Month,
                "UTC",
                "2024-02-29T12:00:00Z",
                "2024-02-01T00:00:00Z",
                "2024-03-01T00:00:00Z",
            ),
            (
                Period::Year,
                "UTC",
                "2026-11-22T12:00:00Z",
                "2026-01-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
        ] {
            let span = period.around(moment(now), &zone.parse().unwrap());
            let expected = Span { start: moment(start), end: moment(end) };
            assert_eq!(span, expected, "{period:?} in {zone} around {now}");
        }
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_hours() {
        let zone: TimeZone = "Europe/Zurich".parse().unwrap();
        let first = Period::Hour.around(moment("2026-10-25T00:30:00Z"), &zone);
        let second = Period::Hour.around(moment("2026-10-25T01:30:00Z"), &zone);
        assert_eq!(first.end, second.start);
        assert_eq!(first.end, moment("2026-10-25T01:00:00Z"));
    }

    #[test]
    fn what_is_no_zone_says_what_would_be_right() {
        let error = "Mars/Olympus".parse::<TimeZone>().unwrap_err().to_string();
        assert!(error.contains("Europe/Zurich"), "{error}");
    }

    proptest! {
        #[test]
        fn every_moment_lies_in_one_period_and_the_next_begins_where_it_ends(
            millis in 0..4_102_444_800_000_u64,
            period in prop::sample::select(vec![Period::Hour, Period::Day, Period::Week, Period::Month, Period::Year]),
            zone in prop::sample::select(vec!["UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]),
        ) {
            let zone: TimeZone = zone.parse().unwrap();
            let now = Timestamp::from_millis(millis);
            let span = period.around(now, &zone);
            prop_assert!(span.contains(now), "{span:?}");
            let next = period.around(span.end, &zone);
            prop_assert_eq!(next.start, span.end);
        }
    }
}
