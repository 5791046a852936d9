//! What outlives a restart: a counter in a few numbers.

use super::{
    Width,
    applied::CounterId,
    balance::{Credit, Quota, Rule},
    counters::Moment,
    period::Span,
    rate::Window,
};
use crate::time::Timestamp;

/// A counter as it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Which.
    pub counter: CounterId,
    /// What it counted.
    pub(super) state: SavedCounter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SavedCounter {
    Quota(Quota),
    Credit(Credit),
    /// All that a window holds, and when the last of it came.
    Window {
        width: Width,
        total: u64,
        newest: Timestamp,
    },
}

pub(super) enum Restored {
    Quota(Quota),
    Credit(Credit),
    Window(Window),
}

/// How many numbers a saved counter has, its kind included.
const NUMBERS: usize = 9;

impl Saved {
    /// As numbers, for the store.
    pub fn to_numbers(&self) -> [u64; NUMBERS] {
        match self.state {
            SavedCounter::Quota(Quota {
                rule, span, used, left: [(a, in_a), (b, in_b)], ..
            }) => [
                1,
                span.start.as_millis(),
                span.end.as_millis(),
                used,
                a.as_millis(),
                in_a,
                b.as_millis(),
                in_b,
                rule.0,
            ],
            SavedCounter::Credit(Credit { used, filled, span, leapt_from }) => {
                let leapt_from = leapt_from.as_millis();
                [2, span.start.as_millis(), span.end.as_millis(), used, filled, leapt_from, 0, 0, 0]
            }
            SavedCounter::Window { width, total, newest } => {
                [3, u64::from(width.micros()), newest.as_millis(), total, 0, 0, 0, 0, 0]
            }
        }
    }

    /// From the numbers it was saved as; `None` where these are none.
    pub fn from_numbers(counter: CounterId, numbers: [u64; NUMBERS]) -> Option<Self> {
        let at = Timestamp::from_millis;
        let state = match numbers {
            [1, start, end, used, a, in_a, b, in_b, rule] => SavedCounter::Quota(Quota {
                span: Span { start: at(start), end: at(end) },
                rule: Rule(rule),
                used,
                left: [(at(a), in_a), (at(b), in_b)],
                edited_from: Timestamp::NEVER,
                over_since: None,
            }),
            [2, start, end, used, filled, leapt_from, ..] => SavedCounter::Credit(Credit {
                used,
                filled,
                span: Span { start: at(start), end: at(end) },
                leapt_from: if leapt_from == 0 { Timestamp::NEVER } else { at(leapt_from) },
            }),
            [3, width, newest, total, ..] => SavedCounter::Window {
                width: Width::from_micros(width)?,
                total,
                newest: at(newest),
            },
            _ => return None,
        };
        Some(Self { counter, state })
    }

    /// When nothing of it counts any more: from then on it need not be kept.
    pub fn ends_at(&self) -> Timestamp {
        match self.state {
            SavedCounter::Quota(quota) => quota.span.end,
            SavedCounter::Credit(_) => Timestamp::NEVER,
            SavedCounter::Window { width, newest, .. } => newest.plus(width.whole()),
        }
    }
}

impl SavedCounter {
    /// What a window holds; `None` where that is nothing.
    pub(super) fn of_window(window: &mut Window, now: Moment) -> Option<Self> {
        window.advance(now.steady, window.width());
        let age = window.age(now.steady)?;
        Some(Self::Window {
            width: window.width(),
            total: window.total(),
            newest: now.wall.minus(age),
        })
    }

    /// The counter; a window has all of it where the last of it came.
    pub(super) fn restored(&self, now: Moment) -> Option<Restored> {
        match *self {
            Self::Quota(quota) => Some(Restored::Quota(quota)),
            Self::Credit(credit) => Some(Restored::Credit(credit)),
            Self::Window { width, total, newest } => {
                Window::restored(width, now.steady, now.wall.since(newest), total)
                    .map(Restored::Window)
            }
        }
    }
}
