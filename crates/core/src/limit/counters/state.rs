//! What a counter counts, by the kind of its limit.

use std::time::Duration;

use super::{HeldIn, Moment, Need, Standing, Wait};
use crate::{
    limit::{
        Bound,
        applied::Applied,
        balance::{Credit, Quota},
        rate::Window,
        saved::{Restored, SavedCounter},
    },
    time::Timestamp,
};

/// A quota whose period has ended is kept so long, lest a clock that is put back finds it gone.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Nobody knows when a request in progress ends.
const SOON: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) enum State {
    Window(Window),
    Progress(u64),
    /// On the heap, as the next: they are larger than the others, and few requests meet one.
    Quota(Box<Quota>),
    Credit(Box<Credit>),
}

impl State {
    pub(super) fn new(limit: &Applied) -> Self {
        match limit.limit().bound {
            Bound::Rate { .. } => Self::Window(Window::new(limit.width())),
            Bound::Concurrency { .. } => Self::Progress(0),
            Bound::Quota { .. } => Self::Quota(Box::new(Quota::new())),
            Bound::Credit { .. } => Self::Credit(Box::new(Credit::new())),
        }
    }

    pub(super) fn advance(&mut self, limit: &Applied, now: Moment) {
        match (self, &limit.limit().bound) {
            (Self::Window(window), Bound::Rate { .. }) => window.advance(now.steady, limit.width()),
            (Self::Quota(quota), Bound::Quota { period, zone, .. }) => {
                quota.advance(now.wall, limit.rule(), *period, zone);
            }
            (Self::Credit(credit), Bound::Credit { amount, refill }) => {
                credit.advance(now.wall, *amount, refill.as_ref());
            }
            (Self::Progress(_), Bound::Concurrency { .. }) => {}
            // Its number says which kind it is; what was saved under it may have been damaged.
            (state, _) => *state = Self::new(limit),
        }
    }

    /// Counts a need if there is room, unless it is refused already. How it stands then is noted with it.
    pub(super) fn take(
        &mut self,
        need: &mut Need<'_>,
        now: Moment,
        is_refused: bool,
    ) -> Option<HeldIn> {
        let most = need.limit.limit().bound.amount();
        let has_room = self.left(most) >= need.amount;
        let refused = if has_room { None } else { Some(self.wait(need, now, most)) };
        let place = (has_room && !is_refused).then(|| self.count(need.amount, now));
        need.standing = Standing {
            amount: most,
            left: self.left(most),
            whole_in: self.whole_in(now, need.limit),
            refused,
            is_newly_half_used: false,
        };
        place
    }

    /// Gives back what was set aside and not used, and counts now what was used beyond it.
    pub(super) fn settle(&mut self, place: HeldIn, amount: u64, used: u64, now: Moment) {
        let (unused, more) = (amount.saturating_sub(used), used.saturating_sub(amount));
        match (self, place) {
            (Self::Window(window), HeldIn::Window(part)) => {
                window.take_back(part, unused);
                if more > 0 {
                    window.add(now.steady, more);
                }
            }
            (Self::Progress(count), HeldIn::Progress) => *count = count.saturating_sub(1),
            (Self::Quota(quota), HeldIn::Quota(began)) => {
                quota.take_back(began, unused);
                quota.used = quota.used.saturating_add(more);
            }
            (Self::Credit(credit), HeldIn::Credit) => {
                credit.take_back(unused);
                credit.used = credit.used.saturating_add(more);
            }
            _ => {}
        }
    }

    /// Whether people are told how far it is used: how many requests are in progress changes too fast for that.
    pub(super) const fn is_told(&self) -> bool {
        !matches!(self, Self::Progress(_))
    }

    fn left(&self, most: u64) -> u64 {
        match self {
            Self::Window(window) => most.saturating_sub(window.total()),
            Self::Progress(count) => most.saturating_sub(*count),
            Self::Quota(quota) => most.saturating_sub(quota.used),
            Self::Credit(credit) => credit.left(most),
        }
    }

    fn count(&mut self, amount: u64, now: Moment) -> HeldIn {
        match self {
            Self::Window(window) => HeldIn::Window(window.add(now.steady, amount)),
            Self::Progress(count) => {
                *count += 1;
                HeldIn::Progress
            }
            Self::Quota(quota) => {
                quota.used = quota.used.saturating_add(amount);
                HeldIn::Quota(quota.span.start)
            }
            Self::Credit(credit) => {
                credit.used = credit.used.saturating_add(amount);
                HeldIn::Credit
            }
        }
    }

    fn wait(&self, need: &Need<'_>, now: Moment, most: u64) -> Wait {
        match self {
            _ if need.amount > most.max(need.limit.limit().bound.fills_up_to()) => Wait::Never,
            Self::Window(window) => {
                window.wait_for(now.steady, need.amount, most).map_or(Wait::Never, Wait::For)
            }
            Self::Progress(_) => Wait::For(SOON),
            Self::Quota(quota) if quota.span.end == Timestamp::NEVER => Wait::Never,
            Self::Quota(quota) => Wait::For(quota.span.end.since(now.wall)),
            Self::Credit(credit) => {
                credit.wait_for(now.wall, need.amount, most, &need.limit.limit().bound)
            }
        }
    }

    fn whole_in(&self, now: Moment, limit: &Applied) -> Option<Duration> {
        match self {
            Self::Window(window) => Some(window.whole_in(now.steady)),
            Self::Progress(count) => Some(if *count == 0 { Duration::ZERO } else { SOON }),
            Self::Quota(quota) if quota.span.end == Timestamp::NEVER => None,
            Self::Quota(quota) => Some(quota.span.end.since(now.wall)),
            Self::Credit(credit) => match &limit.limit().bound {
                Bound::Credit { refill: Some(_), .. } => Some(credit.span.end.since(now.wall)),
                _ => None,
            },
        }
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_over(&mut self, now: Moment) -> bool {
        match self {
            Self::Window(window) => {
                window.advance(now.steady, window.width());
                window.is_empty()
            }
            Self::Progress(count) => *count == 0,
            Self::Quota(quota) => quota.is_over_for(KEPT, now),
            Self::Credit(_) => false,
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Window(window) => window.heap_bytes(),
            Self::Quota(_) => size_of::<Quota>(),
            Self::Credit(_) => size_of::<Credit>(),
            Self::Progress(_) => 0,
        }
    }

    /// What outlives a restart.
    pub(super) fn saved(&self) -> Option<SavedCounter> {
        match self {
            Self::Quota(quota) => Some(SavedCounter::Quota(**quota)),
            Self::Credit(credit) => Some(SavedCounter::Credit(**credit)),
            Self::Window(_) | Self::Progress(_) => None,
        }
    }
}

impl From<Restored> for State {
    fn from(restored: Restored) -> Self {
        match restored {
            Restored::Window(window) => Self::Window(window),
            Restored::Quota(quota) => Self::Quota(Box::new(quota)),
            Restored::Credit(credit) => Self::Credit(Box::new(credit)),
        }
    }
}
