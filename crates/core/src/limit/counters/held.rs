//! What is set aside for a request until it is settled.

use smallvec::SmallVec;

use super::super::{
    Unit,
    applied::CounterId,
    rate::{FORGOTTEN, Part},
};
use crate::time::Timestamp;

/// What is set aside of one counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) counter: CounterId,
    pub(super) unit: Unit,
    pub(super) amount: u64,
    pub(super) place: HeldIn,
}

/// Where it is counted until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldIn {
    Window(Part),
    Progress,
    /// In the period that began then.
    Quota(Timestamp),
    Credit,
}

impl HeldIn {
    /// Whether what counts there outlives a restart.
    pub(super) const fn is_saved(self) -> bool {
        matches!(self, Self::Quota(_) | Self::Credit)
    }
}

/// What is set aside for a request until it is settled. Dropped without that it stays counted.
#[derive(Debug, Default)]
#[must_use = "what is set aside has to be settled"]
pub struct Reservation(SmallVec<[Held; 4]>);

impl Reservation {
    pub(super) fn push(&mut self, held: Held) {
        self.0.push(held);
    }

    /// All of it, in the order it was set aside in.
    pub(super) fn held(&self) -> &[Held] {
        &self.0
    }

    /// Takes what was set aside for the same request later. A stream takes more again and again, and most of it where it took
    /// the last.
    pub fn join(&mut self, later: Self) {
        for more in later.0 {
            let last = self.0.iter_mut().rev().find(|held| held.counter == more.counter);
            match last.filter(|held| held.place == more.place) {
                Some(held) => held.amount = held.amount.saturating_add(more.amount),
                None => {
                    self.join_forgotten(more.counter);
                    self.0.push(more);
                }
            }
        }
    }

    /// Joins the two oldest parts of a window of which there are more than it remembers: both have left it, and nothing is given back
    /// to them. So what a stream holds has a bound, however long it goes on.
    fn join_forgotten(&mut self, counter: CounterId) {
        let is_part =
            |held: &Held| held.counter == counter && matches!(held.place, HeldIn::Window(_));
        let mut parts = self.0.iter().enumerate().filter(|(_, held)| is_part(held));
        let (Some((oldest, _)), Some((next, held))) = (parts.next(), parts.next()) else { return };
        let (amount, others) = (held.amount, parts.count());
        if others + 2 <= usize::try_from(FORGOTTEN).unwrap_or(usize::MAX) {
            return;
        }
        self.0.remove(next);
        if let Some(oldest) = self.0.get_mut(oldest) {
            oldest.amount = oldest.amount.saturating_add(amount);
        }
    }

    /// What of `used` one of its parts stands for: parts of one counter are used up in their order, and the last has the rest.
    pub(super) fn part(&self, at: usize, used: u64) -> u64 {
        let Some(own) = self.0.get(at) else { return 0 };
        let same = |held: &&Held| held.counter == own.counter;
        let before: u64 = self.0.iter().take(at).filter(same).map(|held| held.amount).sum();
        let left = used.saturating_sub(before);
        let is_last = !self.0.iter().skip(at + 1).any(|held| held.counter == own.counter);
        if is_last { left } else { left.min(own.amount) }
    }

    /// Whether nothing is set aside.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::super::rate::{Steady, Width, Window},
        *,
    };

    fn held(counter: u8, amount: u64, began: u64) -> Held {
        Held {
            counter: CounterId::from_bytes([counter; 16]),
            unit: Unit::Tokens,
            amount,
            place: HeldIn::Quota(Timestamp::from_secs(began)),
        }
    }

    /// Taken in this second of a window of 64.
    fn taken_in(window: &mut Window, second: u64) -> Held {
        let (now, width) = (Steady::from_micros(second * 1_000_000), window.width());
        window.advance(now, width);
        Held { place: HeldIn::Window(window.add(now, 1)), ..held(1, 1, 0) }
    }

    #[test]
    fn a_stream_holds_no_more_parts_than_its_window_remembers_and_gives_back_what_it_always_would()
    {
        let mut window = Window::new(Width::of(Duration::from_secs(64)));
        let mut all = Reservation([held(2, 10, 0)].into_iter().collect());
        let mut log = Reservation::default();
        for second in 0..1000 {
            let taken = taken_in(&mut window, second);
            all.join(Reservation([taken].into_iter().collect()));
            log.push(taken);
        }
        assert_eq!(all.held().len(), 1 + 1 + 65);
        let returned = |all: &Reservation, used| {
            let mut window = window.clone();
            for (at, held) in all.held().iter().enumerate() {
                if let HeldIn::Window(part) = held.place {
                    window.take_back(part, held.amount.saturating_sub(all.part(at, used)));
                }
            }
            window.total()
        };
        for (used, left) in [(0, 0), (934, 0), (935, 0), (936, 1), (990, 55), (1000, 65)] {
            assert_eq!((returned(&all, used), returned(&log, used)), (left, left), "{used}");
        }
    }

    #[test]
    fn what_a_stream_takes_again_and_again_is_held_together_where_it_counts_together() {
        let mut all = Reservation([held(1, 10, 0), held(2, 10, 0)].into_iter().collect());
        for took in 0..1000 {
            let more = [held(1, 1, took / 500), held(2, 1, 0)];
            all.join(Reservation(more.into_iter().collect()));
        }
        let amounts: Vec<_> = all.held().iter().map(|held| held.amount).collect();
        assert_eq!(amounts, [510, 1010, 500]);
        let parts = |used| [0, 1, 2].map(|at| all.part(at, used));
        assert_eq!(parts(600), [510, 600, 90]);
        assert_eq!(parts(2000), [510, 2000, 1490]);
    }
}
