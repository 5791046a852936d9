//! The counts behind all limits, in memory, shared by all cores.
//!
//! What a request needs is reserved in all its limits or in none, in one step: the counters are locked in one order, so that no two
//! requests wait for each other, and whoever is refused has taken nothing away from anybody, not even for a moment. What was set aside
//! is settled once, by what was really used.
//!
//! Counters are found by numbers that say nothing of what is allowed ([`CounterId`]); what is allowed comes with each request. So an
//! edit holds at once and resets nothing. Many small tables, each with its own lock, keep cores out of each other's way.
//!
//! Rejected: counts without locks (all or nothing over several needs them, or gives room back that another was refused for), and
//! counts of each core's own (a limit of one could not be held).

use std::{
    hash::{BuildHasherDefault, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{
    Bound, Steady, Unit,
    applied::{Applied, CounterId},
    balance::{Credit, Quota},
    rate::{Part, Window},
    saved::{Saved, SavedCounter},
};
use crate::{directory::OrganizationSlot, id::KeyId, time::Timestamp};

const SHARDS: usize = 1024;
/// A quota whose period has ended is kept so long, lest a clock that is put back finds it gone.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Nobody knows when a request in progress ends.
const SOON: Duration = Duration::from_secs(1);

/// A moment, by the wall's clock and by one that is never put back.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For periods of the calendar.
    pub wall: Timestamp,
    /// For windows that slide.
    pub steady: Steady,
}

/// What a request needs of one limit.
#[derive(Clone, Copy, Debug)]
pub struct Need<'l> {
    /// The limit.
    pub limit: &'l Applied,
    /// Where it counts this request.
    pub counter: CounterId,
    /// How much, in its unit.
    pub amount: u64,
}

/// How a limit stands after a request was let pass, or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The most that is allowed; of a credit, what was given so far.
    pub amount: u64,
    /// What is left of it.
    pub left: u64,
    /// How long until all of it is there again, if nothing else comes; `None` where it never is by itself.
    pub whole_in: Option<Duration>,
    /// Where it had no room: how long until it has, if nothing else comes.
    pub refused: Option<Wait>,
    /// Whether half of it is used now, and was not when it was last asked for: whoever tells of that is to be told ([`Counters::watch`]).
    pub is_newly_half_used: bool,
}

impl Standing {
    /// How much is used, in percent.
    pub fn percent(&self) -> u8 {
        let used = u128::from(self.amount.saturating_sub(self.left)) * 100;
        u8::try_from(used / u128::from(self.amount.max(1))).unwrap_or(100)
    }
}

/// A counter of which half is used: whose, and of which limit.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Where it counts.
    pub counter: CounterId,
    /// The limit.
    pub limit: Applied,
    /// Whose use brought it there.
    pub organization: OrganizationSlot,
    /// The key, where it counts one's use.
    pub key: Option<KeyId>,
}

/// How long to wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// So long.
    For(Duration),
    /// Waiting does not help.
    Never,
}

/// What is set aside of one counter.
#[derive(Clone, Copy, Debug)]
struct Held {
    counter: CounterId,
    unit: Unit,
    amount: u64,
    place: HeldIn,
}

#[derive(Clone, Copy, Debug)]
enum HeldIn {
    Window(Part),
    Progress,
    Quota(Timestamp),
    Credit,
}

/// What is set aside for a request until it is settled. Dropped without that it stays counted.
#[derive(Debug, Default)]
#[must_use = "what is set aside has to be settled"]
pub struct Reservation(SmallVec<[Held; 4]>);

impl Reservation {
    /// Takes what was set aside for the same request later.
    pub fn join(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// What of `used` one of its parts stands for: parts of one counter are used up in their order, and the last has the rest.
    fn part(&self, at: usize, used: u64) -> u64 {
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

/// How all limits of a request stand, in the order they were given.
pub type Standings = SmallVec<[Standing; 4]>;

#[derive(Clone, Debug)]
enum State {
    Window(Window),
    Progress(u64),
    /// On the heap: it is larger than the others, and few requests meet one.
    Quota(Box<Quota>),
    Credit(Credit),
}

#[derive(Debug)]
struct Counter {
    state: State,
    /// Whether it is among those to be saved.
    unsaved: bool,
    /// Whether it is watched, or about to be.
    is_watched: bool,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    counters: HashMap<CounterId, Counter, BuildHasherDefault<Half>>,
    unsaved: Vec<CounterId>,
}

/// Takes a counter's number for its hash: it is spread evenly already.
#[derive(Clone, Copy, Debug, Default)]
struct Half(u64);

impl Hasher for Half {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let half = bytes.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.0 ^= half;
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of it is enough")]
    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }
}

/// See the module.
#[derive(Debug)]
pub struct Counters {
    shards: Box<[Mutex<Shard>]>,
    /// Counters of which half is used. Few requests bring one here, and each once.
    watched: Mutex<HashMap<CounterId, Watched, BuildHasherDefault<Half>>>,
}

impl Default for Counters {
    fn default() -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, watched: Mutex::default() }
    }
}

type Guard<'c> = MutexGuard<'c, Shard>;

fn shard_of(counter: CounterId) -> usize {
    usize::try_from(counter.halves().0 >> 32).unwrap_or_default() % SHARDS
}

impl Counters {
    fn lock(&self, shard: usize) -> Option<Guard<'_>> {
        Some(self.shards.get(shard)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tables of these needs, each once and in one order.
    fn lock_all(&self, needs: &[Need<'_>]) -> SmallVec<[(usize, Guard<'_>); 4]> {
        let mut shards: SmallVec<[usize; 4]> =
            needs.iter().map(|need| shard_of(need.counter)).collect();
        shards.sort_unstable();
        shards.dedup();
        shards.into_iter().filter_map(|shard| Some((shard, self.lock(shard)?))).collect()
    }

    /// Sets aside what every need asks for, or nothing. With the answer goes how each limit stands.
    pub fn reserve(&self, needs: &[Need<'_>], now: Moment) -> (Option<Reservation>, Standings) {
        let mut guards = self.lock_all(needs);
        let mut held = Reservation::default();
        let mut standings = Standings::with_capacity(needs.len());
        let mut is_refused = false;
        for need in needs {
            let shard = shard_of(need.counter);
            let Some((_, shard)) = guards.iter_mut().find(|(number, _)| *number == shard) else {
                continue;
            };
            let counter = shard.counter(need, now);
            let (mut standing, place) = counter.state.take(need, now, is_refused);
            if place.is_some() && standing.left <= standing.amount / 2 && counter.state.is_told() {
                standing.is_newly_half_used = !std::mem::replace(&mut counter.is_watched, true);
            }
            is_refused |= standing.refused.is_some();
            standings.push(standing);
            if let (Some(place), false) = (place, is_refused) {
                shard.note(need.counter, place);
                held.0.push(Held {
                    counter: need.counter,
                    unit: need.limit.limit().unit,
                    amount: need.amount,
                    place,
                });
            }
        }
        if !is_refused {
            return (Some(held), standings);
        }
        // Nobody has seen it: the tables are still locked.
        for (one, standing) in held.0.into_iter().zip(&mut standings) {
            standing.left = standing.amount.min(standing.left.saturating_add(one.amount));
            let shard = shard_of(one.counter);
            if let Some((_, shard)) = guards.iter_mut().find(|(number, _)| *number == shard) {
                shard.settle(&one, 0);
            }
        }
        (None, standings)
    }

    /// How limits stand, without a request. What needs ask for does not count.
    pub fn look(&self, needs: &[Need<'_>], now: Moment) -> Standings {
        let look = |need: &Need<'_>| {
            let shard = self.lock(shard_of(need.counter))?;
            let need = Need { amount: 0, ..*need };
            // A copy: who looks may know another limit than the one that counts.
            let known = shard.counters.get(&need.counter).map(|counter| counter.state.clone());
            drop(shard);
            let mut state = known.unwrap_or_else(|| State::new(need.limit));
            state.advance(need.limit, now);
            Some(state.take(&need, now, true).0)
        };
        needs.iter().filter_map(look).collect()
    }

    /// Ends a reservation: what was used stays counted, the rest is given back. What was used beyond it is counted too, even where there is
    /// no room: it has been used.
    #[expect(clippy::needless_pass_by_value, reason = "it is settled once")]
    pub fn settle(&self, reservation: Reservation, used: impl Fn(Unit) -> u64, now: Moment) {
        for (at, held) in reservation.0.iter().enumerate() {
            let used = match held.unit {
                Unit::Requests => held.amount,
                unit => reservation.part(at, used(unit)),
            };
            if used == held.amount && !matches!(held.place, HeldIn::Progress) {
                continue;
            }
            if let Some(mut shard) = self.lock(shard_of(held.counter)) {
                shard.settle(held, used);
                shard.exceed(held, used, now);
            }
        }
    }

    /// Takes note of a counter of which half is used.
    pub fn watch(&self, watched: Watched) {
        let mut all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(watched.counter, watched);
    }

    /// The counters of which half is used, and how they stand. Those that are no longer are forgotten.
    pub fn watched(&self, now: Moment) -> Vec<(Watched, Standing)> {
        let all: Vec<Watched> = {
            let all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            all.values().cloned().collect()
        };
        let mut still = Vec::new();
        for one in all {
            let need = Need { limit: &one.limit, counter: one.counter, amount: 0 };
            let Some(standing) = self.look(&[need], now).first().copied() else { continue };
            if standing.left <= standing.amount / 2 {
                still.push((one, standing));
                continue;
            }
            self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&one.counter);
            if let Some(mut shard) = self.lock(shard_of(one.counter))
                && let Some(counter) = shard.counters.get_mut(&one.counter)
            {
                counter.is_watched = false;
            }
        }
        still
    }

    /// What has changed since it was asked last and outlives a restart.
    pub fn take_unsaved(&self) -> Vec<Saved> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for counter in std::mem::take(&mut shard.unsaved) {
                if let Some(found) = shard.counters.get_mut(&counter) {
                    found.unsaved = false;
                    all.extend(found.state.saved().map(|state| Saved { counter, state }));
                }
            }
        }
        all
    }

    /// Could not be saved: they will be asked for again.
    pub fn put_unsaved(&self, counters: impl IntoIterator<Item = CounterId>) {
        for counter in counters {
            if let Some(mut shard) = self.lock(shard_of(counter)) {
                shard.mark(counter);
            }
        }
    }

    /// What windows hold, to be saved when the gateway ends.
    pub fn windows(&self, now: Moment) -> Vec<Saved> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let windows = shard.counters.iter().filter_map(|(counter, found)| match &found.state {
                State::Window(window) => {
                    Some(Saved { counter: *counter, state: SavedCounter::of_window(window, now)? })
                }
                _ => None,
            });
            all.extend(windows);
        }
        all
    }

    /// Takes over what was saved, before requests come.
    pub fn restore(&self, saved: &Saved, now: Moment) {
        let Some(state) = saved.state.restored(now) else { return };
        if let Some(mut shard) = self.lock(shard_of(saved.counter)) {
            let counter = Counter { state: State::from(state), unsaved: false, is_watched: false };
            shard.counters.insert(saved.counter, counter);
        }
    }

    /// Forgets counters that count nothing any more, in one of so many parts of them.
    pub fn sweep(&self, part: usize, parts: usize, now: Moment) {
        for shard in self.shards.iter().skip(part % parts.max(1)).step_by(parts.max(1)) {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.counters.retain(|_, counter| counter.unsaved || !counter.state.is_over(now));
            if shard.counters.len() * 4 < shard.counters.capacity() {
                shard.counters.shrink_to_fit();
            }
        }
    }

    /// How many counters there are.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).counters.len())
            .sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap, allocator's overhead aside.
    pub fn heap_bytes(&self) -> usize {
        let shard = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let windows = shard.counters.values().map(|counter| match &counter.state {
                State::Window(window) => window.heap_bytes(),
                _ => 0,
            });
            shard.counters.allocation_size() + windows.sum::<usize>()
        };
        self.shards.iter().map(shard).sum::<usize>() + size_of_val(&*self.shards)
    }
}

impl Shard {
    /// The counter of a need, begun where there is none.
    fn counter(&mut self, need: &Need<'_>, now: Moment) -> &mut Counter {
        let counter = self.counters.entry(need.counter);
        let counter = counter.or_insert_with(|| Counter {
            state: State::new(need.limit),
            unsaved: false,
            is_watched: false,
        });
        counter.state.advance(need.limit, now);
        counter
    }

    /// What outlives a restart is saved later.
    fn note(&mut self, counter: CounterId, place: HeldIn) {
        if matches!(place, HeldIn::Quota(_) | HeldIn::Credit) {
            self.mark(counter);
        }
    }

    fn mark(&mut self, counter: CounterId) {
        if let Some(found) = self.counters.get_mut(&counter)
            && !std::mem::replace(&mut found.unsaved, true)
        {
            self.unsaved.push(counter);
        }
    }

    /// Gives back what was set aside and not used.
    fn settle(&mut self, held: &Held, used: u64) {
        let Some(counter) = self.counters.get_mut(&held.counter) else { return };
        let unused = held.amount.saturating_sub(used);
        match (&mut counter.state, held.place) {
            (State::Window(window), HeldIn::Window(part)) => window.take_back(part, unused),
            (State::Progress(count), HeldIn::Progress) => *count = count.saturating_sub(1),
            (State::Quota(quota), HeldIn::Quota(began)) => quota.take_back(began, unused),
            (State::Credit(credit), HeldIn::Credit) => credit.take_back(unused),
            _ => {}
        }
        self.note(held.counter, held.place);
    }

    /// Counts what was used beyond what was set aside, now.
    fn exceed(&mut self, held: &Held, used: u64, now: Moment) {
        let more = used.saturating_sub(held.amount);
        let Some(counter) = self.counters.get_mut(&held.counter) else { return };
        match &mut counter.state {
            _ if more == 0 => {}
            State::Window(window) => {
                window.add(now.steady, more);
            }
            State::Progress(_) => {}
            State::Quota(quota) => quota.used = quota.used.saturating_add(more),
            State::Credit(credit) => credit.used = credit.used.saturating_add(more),
        }
    }
}

impl State {
    fn new(limit: &Applied) -> Self {
        match limit.limit().bound {
            Bound::Rate { .. } => Self::Window(Window::new(limit.width())),
            Bound::Concurrency { .. } => Self::Progress(0),
            Bound::Quota { .. } => Self::Quota(Box::new(Quota::new())),
            Bound::Credit { .. } => Self::Credit(Credit::new()),
        }
    }

    fn advance(&mut self, limit: &Applied, now: Moment) {
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

    /// Counts a need if there is room, unless it is refused already; how it stands then.
    fn take(
        &mut self,
        need: &Need<'_>,
        now: Moment,
        is_refused: bool,
    ) -> (Standing, Option<HeldIn>) {
        let most = need.limit.limit().bound.amount();
        let left = self.left(most);
        if left < need.amount {
            let wait = self.wait(need, now, most);
            let standing = Standing {
                amount: most,
                left,
                whole_in: self.whole_in(now, need.limit),
                refused: Some(wait),
                is_newly_half_used: false,
            };
            return (standing, None);
        }
        let place = (!is_refused).then(|| self.count(need.amount, now));
        let left = self.left(most);
        (
            Standing {
                amount: most,
                left,
                whole_in: self.whole_in(now, need.limit),
                refused: None,
                is_newly_half_used: false,
            },
            place,
        )
    }

    /// Whether people are told how far it is used: how many requests are in progress changes too fast for that.
    const fn is_told(&self) -> bool {
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
    fn is_over(&mut self, now: Moment) -> bool {
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

    fn saved(&self) -> Option<SavedCounter> {
        match self {
            Self::Quota(quota) => Some(SavedCounter::Quota(**quota)),
            Self::Credit(credit) => Some(SavedCounter::Credit(*credit)),
            Self::Window(_) | Self::Progress(_) => None,
        }
    }
}

impl From<super::saved::Restored> for State {
    fn from(restored: super::saved::Restored) -> Self {
        match restored {
            super::saved::Restored::Window(window) => Self::Window(window),
            super::saved::Restored::Quota(quota) => Self::Quota(Box::new(quota)),
            super::saved::Restored::Credit(credit) => Self::Credit(credit),
        }
    }
}
