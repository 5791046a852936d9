//! Limits to hold requests against.

use keyward_core::{
    limit::{
        Limit, LimitSource, Steady,
        applied::{Applied, CounterId, Place},
        counters::{Moment, Need},
    },
    time::Timestamp,
};

/// A limit at an organization, from its JSON without the name.
pub(crate) fn limit(name: &str, json: &str) -> Applied {
    let source: LimitSource =
        serde_json::from_str(&format!(r#"{{"name":"{name}",{json}}}"#)).unwrap();
    let limit: Limit = source.try_into().unwrap();
    Applied::new(&limit, Place::Organization(&"org".parse().unwrap()))
}

/// So much of a limit, counted under a number of its own.
pub(crate) fn need(limit: &Applied, counter: u8, amount: u64) -> Need<'_> {
    // The upper half chooses the table: some share one.
    let mut bytes = [counter; 16];
    bytes[0] = counter % 3;
    Need { limit, counter: CounterId::from_bytes(bytes), amount }
}

/// So many microseconds after some noon.
pub(crate) fn at(micros: u64) -> Moment {
    let noon: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    Moment {
        wall: Timestamp::from_millis(noon.as_millis() + micros / 1000),
        steady: Steady::from_micros(1_000_000_000_000 + micros),
    }
}

pub(crate) const SECOND: u64 = 1_000_000;
