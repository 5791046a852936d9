//! What is asked of usage, and what is answered.
//!
//! Each request counts in one row of each grain, minutes, hours and days, written in one transaction: the grains never disagree, and a
//! question walks over the coarsest rows that tell what it asks. Rejected: rolling minutes up later. It would be fewer writes, but a
//! moment up to which it is done, rows that come late, and two places to look for one figure.

use keyward_core::{
    id::KeyId,
    usage::{Latencies, UsageSums},
    verdict::Reason,
};

/// For how long the rows of a grain are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageGrain {
    /// One minute.
    Minute,
    /// One hour.
    Hour,
    /// One day, in UTC.
    Day,
}

impl UsageGrain {
    /// Finest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// How many minutes.
    pub const fn minutes(self) -> u64 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }

    /// The begin of the one that a minute since the Unix epoch is in.
    pub const fn floor(self, minute: u64) -> u64 {
        minute - minute % self.minutes()
    }

    /// The begin of the first that does not begin before the minute.
    pub const fn ceil(self, minute: u64) -> u64 {
        self.floor(minute.saturating_add(self.minutes() - 1))
    }

    const fn finer(self) -> Self {
        match self {
            Self::Day => Self::Hour,
            Self::Hour | Self::Minute => Self::Minute,
        }
    }
}

/// What totals may be told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageBy {
    /// The organization.
    Organization,
    /// The API.
    Api,
    /// The route.
    Route,
    /// The key.
    Key,
    /// The model.
    Model,
    /// The status.
    Status,
    /// Why Keyward answered itself.
    Reason,
}

/// Which usage to add up, and how; what is `None` does not narrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageFilter {
    /// From this minute since the Unix epoch on.
    pub from_minute: u64,
    /// Until before this one.
    pub until_minute: u64,
    /// How finely the range is cut: where it begins or ends inside of one, that one is added up as a whole.
    pub finest: UsageGrain,
    /// Of this organization; empty for what no key was recognized of.
    pub organization: Option<String>,
    /// Of this key.
    pub key: Option<KeyId>,
    /// At this API.
    pub api: Option<String>,
    /// Of this route.
    pub route: Option<String>,
    /// Of this model; empty for none.
    pub model: Option<String>,
    /// With this status.
    pub status: Option<u16>,
    /// Refused for this reason.
    pub reason: Option<Reason>,
    /// A total for each of these.
    pub by: Vec<UsageBy>,
    /// A total for each of these, in order; the range is cut no finer.
    pub grain: Option<UsageGrain>,
    /// Only totals behind this one.
    pub after: Option<UsageGroup>,
    /// At most so many totals, 1 to 100,000.
    pub limit: u32,
    /// What is made of more rows than this is refused.
    pub most_read: u64,
}

impl UsageFilter {
    /// Everything in these minutes, by API, route, key and status.
    pub fn minutes(from: u64, until: u64) -> Self {
        Self {
            from_minute: from,
            until_minute: until,
            finest: UsageGrain::Minute,
            organization: None,
            key: None,
            api: None,
            route: None,
            model: None,
            status: None,
            reason: None,
            by: vec![UsageBy::Api, UsageBy::Route, UsageBy::Key, UsageBy::Status],
            grain: None,
            after: None,
            limit: 100_000,
            most_read: u64::MAX,
        }
    }

    /// The minutes that are added up.
    pub fn covered(&self) -> (u64, u64) {
        let finest = self.grain.map_or(self.finest, |grain| grain.max(self.finest));
        (finest.floor(self.from_minute), finest.ceil(self.until_minute))
    }

    /// Which rows make up the range: each minute of it once, by the coarsest rows that fit.
    pub(crate) fn walks(&self) -> Vec<Walk> {
        let (from, until) = self.covered();
        let mut walks = Vec::new();
        match self.grain {
            Some(grain) => push(&mut walks, grain, from, until),
            None => cut(&mut walks, UsageGrain::Day, from, until),
        }
        walks
    }
}

/// The rows of one grain in a range of minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    pub(crate) grain: UsageGrain,
    pub(crate) from: u64,
    pub(crate) until: u64,
}

fn push(walks: &mut Vec<Walk>, grain: UsageGrain, from: u64, until: u64) {
    if from < until {
        walks.push(Walk { grain, from, until });
    }
}

fn cut(walks: &mut Vec<Walk>, grain: UsageGrain, from: u64, until: u64) {
    let (first, end) = (grain.ceil(from), grain.floor(until));
    if grain == UsageGrain::Minute {
        push(walks, grain, from, until);
    } else if first < end {
        cut(walks, grain.finer(), from, first);
        push(walks, grain, first, end);
        cut(walks, grain.finer(), end, until);
    } else {
        cut(walks, grain.finer(), from, until);
    }
}

/// What a total is of. What it is not told apart by is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsageGroup {
    /// The minute in which its time begins.
    pub start: Option<u64>,
    /// The organization; empty where no key was recognized.
    pub organization: Option<String>,
    /// The API's name; empty where no API was at the address.
    pub api: Option<String>,
    /// The route's pattern; empty where none matched.
    pub route: Option<String>,
    /// The key, where one was recognized.
    pub key: Option<Option<KeyId>>,
    /// The model; empty where none was named.
    pub model: Option<String>,
    /// The status that was answered.
    pub status: Option<u16>,
    /// Why Keyward answered itself, where it did.
    pub reason: Option<Option<Reason>>,
}

/// The sums of one group over the range that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageTotal {
    /// Of what.
    pub group: UsageGroup,
    /// The first minute in which there was any.
    pub first_minute: u64,
    /// The last.
    pub last_minute: u64,
    /// The sums.
    pub sums: UsageSums,
    /// Of them, the requests that got an answer of 400 or more.
    pub errors: u64,
    /// Of them, the requests that Keyward answered itself.
    pub refusals: u64,
    /// How long each took.
    pub latencies: Latencies,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(from: u64, until: u64, finest: UsageGrain) -> UsageFilter {
        UsageFilter { finest, ..UsageFilter::minutes(from, until) }
    }

    proptest! {
        #[test]
        fn every_minute_of_a_range_is_walked_once(from in 0..20_000_u64, length in 0..20_000_u64, finest in 0..3_usize) {
            let finest = UsageGrain::ALL[finest];
            let filter = filter(from, from + length, finest);
            let (mut at, end) = filter.covered();
            for Walk { grain, from, until } in filter.walks() {
                prop_assert_eq!(from, at, "no gap and no minute twice");
                prop_assert_eq!((from % grain.minutes(), until % grain.minutes()), (0, 0));
                prop_assert!(grain >= finest);
                at = until;
            }
            prop_assert_eq!(at, end);
            prop_assert!(filter.walks().len() <= 5);
        }

        #[test]
        fn a_range_by_a_grain_is_one_walk(from in 0..20_000_u64, length in 1..20_000_u64, grain in 0..3_usize) {
            let grain = UsageGrain::ALL[grain];
            let filter = UsageFilter { grain: Some(grain), ..filter(from, from + length, UsageGrain::Minute) };
            let (from, until) = filter.covered();
            prop_assert_eq!(filter.walks(), vec![Walk { grain, from, until }]);
        }
    }
}
