//! Limits to hold requests against.

use keyward_core::{
    limit::{
        Limit, LimitSource, Steady,
        applied::{Applied, CounterId, Place},
        counters::{Counters, Moment, Need, Reservation, Standing},
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
    // The upper half says whose they are: some are of one.
    let mut bytes = [counter; 16];
    bytes[..8].fill(counter % 3);
    Need::new(limit, CounterId::from_bytes(bytes), amount)
}

/// Reserves, and says how the limits stand then.
pub(crate) fn reserve(
    counters: &Counters,
    needs: &[Need<'_>],
    now: Moment,
) -> (Option<Reservation>, Vec<Standing>) {
    let mut needs = needs.to_vec();
    let reservation = counters.reserve(&mut needs, now);
    (reservation, needs.iter().map(|need| need.standing).collect())
}

/// How limits stand.
pub(crate) fn look(counters: &Counters, needs: &[Need<'_>], now: Moment) -> Vec<Standing> {
    let mut needs = needs.to_vec();
    counters.look(&mut needs, now);
    needs.iter().map(|need| need.standing).collect()
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
