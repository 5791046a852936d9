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

mod held;
mod shard;
mod state;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::HashMap;
use smallvec::SmallVec;

pub use self::held::Reservation;
use self::{
    held::{Held, HeldIn},
    shard::Shard,
    state::State,
};
use super::{
    Steady, Unit,
    applied::{Applied, CounterId},
    saved::Saved,
};
use crate::{directory::OrganizationSlot, id::KeyId, time::Timestamp};

/// As many as keep cores out of each other's way, and no more: each is a place in memory that is far away when it is reached for.
const SHARDS: usize = 256;

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
    /// How the limit stands, as far as it was asked.
    pub standing: Standing,
}

impl<'l> Need<'l> {
    /// A need of which nothing is known yet.
    pub const fn new(limit: &'l Applied, counter: CounterId, amount: u64) -> Self {
        let standing = Standing {
            amount: 0,
            left: 0,
            whole_in: None,
            refused: None,
            is_newly_half_used: false,
        };
        Self { limit, counter, amount, standing }
    }
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
    const fn is_half_used(&self) -> bool {
        self.left <= self.amount / 2
    }

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

/// See the module.
#[derive(Debug)]
pub struct Counters {
    shards: Box<[Table]>,
    /// Counters of which half is used. Few requests bring one here, and each once.
    watched: Mutex<HashMap<CounterId, Watched>>,
}

/// A table and its lock, in one cache line of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Table(Mutex<Shard>);

impl Table {
    fn lock(&self) -> MutexGuard<'_, Shard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Counters {
    fn default() -> Self {
        let shards = std::iter::repeat_with(Table::default).take(SHARDS).collect();
        Self { shards, watched: Mutex::default() }
    }
}

fn shard_of(counter: CounterId) -> usize {
    usize::try_from(counter.halves().0 >> 32).unwrap_or_default() % SHARDS
}

impl Counters {
    fn lock(&self, shard: usize) -> Option<MutexGuard<'_, Shard>> {
        Some(self.shards.get(shard)?.lock())
    }

    /// The tables of these needs, each once and in one order.
    fn lock_all(&self, needs: &[Need<'_>]) -> Guards<'_> {
        let mut shards: SmallVec<[usize; 4]> =
            needs.iter().map(|need| shard_of(need.counter)).collect();
        shards.sort_unstable();
        shards.dedup();
        Guards(shards.into_iter().filter_map(|shard| Some((shard, self.lock(shard)?))).collect())
    }

    /// Sets aside what every need asks for, or nothing. How each limit stands then is noted with its need.
    pub fn reserve(&self, needs: &mut [Need<'_>], now: Moment) -> Option<Reservation> {
        let mut guards = self.lock_all(needs);
        let mut reservation = Reservation::default();
        let mut is_refused = false;
        for need in &mut *needs {
            let Some(shard) = guards.of(need.counter) else { continue };
            let place = shard.take(need, now, is_refused);
            is_refused |= need.standing.refused.is_some();
            let Some(place) = place else { continue };
            let unit = need.limit.limit().unit;
            reservation.push(Held { counter: need.counter, unit, amount: need.amount, place });
        }
        if !is_refused {
            return Some(reservation);
        }
        // Nobody has seen it: the tables are still locked. What is held comes first among the needs, in their order.
        for (held, need) in reservation.held().iter().zip(needs) {
            need.standing.left =
                need.standing.amount.min(need.standing.left.saturating_add(held.amount));
            if let Some(shard) = guards.of(held.counter) {
                shard.settle(held, 0, now);
            }
        }
        None
    }

    /// Notes how limits stand, without a request. What needs ask for does not count.
    pub fn look(&self, needs: &mut [Need<'_>], now: Moment) {
        for need in needs {
            let Some(mut shard) = self.lock(shard_of(need.counter)) else { continue };
            // A copy: who looks may know another limit than the one that counts.
            let known = shard.find(need.counter).map(|counter| counter.state.clone());
            drop(shard);
            let mut state = known.unwrap_or_else(|| State::new(need.limit));
            state.advance(need.limit, now);
            let asked = std::mem::take(&mut need.amount);
            state.take(need, now, true);
            need.amount = asked;
        }
    }

    /// Ends a reservation: what was used stays counted, the rest is given back. What was used beyond it is counted too, even where there is
    /// no room: it has been used.
    #[expect(clippy::needless_pass_by_value, reason = "it is settled once")]
    pub fn settle(&self, reservation: Reservation, used: impl Fn(Unit) -> u64, now: Moment) {
        let mut locked: Option<(usize, MutexGuard<'_, Shard>)> = None;
        for (at, held) in reservation.held().iter().enumerate() {
            let used = match held.unit {
                Unit::Requests => held.amount,
                unit => reservation.part(at, used(unit)),
            };
            if used == held.amount && held.place != HeldIn::Progress {
                continue;
            }
            let number = shard_of(held.counter);
            if locked.as_ref().is_none_or(|(one, _)| *one != number) {
                // One at a time: whoever locks several does so in one order.
                drop(locked.take());
                locked = self.lock(number).map(|shard| (number, shard));
            }
            if let Some((_, shard)) = &mut locked {
                shard.settle(held, used, now);
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
            let mut need = [Need::new(&one.limit, one.counter, 0)];
            self.look(&mut need, now);
            let [Need { standing, .. }] = need;
            if standing.is_half_used() {
                still.push((one, standing));
                continue;
            }
            self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&one.counter);
            if let Some(mut shard) = self.lock(shard_of(one.counter))
                && let Some(counter) = shard.find(one.counter)
            {
                counter.is_watched = false;
            }
        }
        still
    }

    /// What has changed since it was asked last and outlives a restart.
    pub fn take_unsaved(&self) -> Vec<Saved> {
        let mut all = Vec::new();
        self.each_shard(|shard| all.extend(shard.take_unsaved()));
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
        self.each_shard(|shard| all.extend(shard.windows(now)));
        all
    }

    /// Takes over what was saved, before requests come.
    pub fn restore(&self, saved: &Saved, now: Moment) {
        if let Some(state) = saved.state.restored(now)
            && let Some(mut shard) = self.lock(shard_of(saved.counter))
        {
            shard.put(saved.counter, state.into());
        }
    }

    /// Forgets counters that count nothing any more, in one of so many parts of them.
    pub fn sweep(&self, part: usize, parts: usize, now: Moment) {
        for shard in self.shards.iter().skip(part % parts.max(1)).step_by(parts.max(1)) {
            shard.lock().sweep(now);
        }
    }

    /// How many counters there are.
    pub fn len(&self) -> usize {
        let mut count = 0;
        self.each_shard(|shard| count += shard.len());
        count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap, allocator's overhead aside.
    pub fn heap_bytes(&self) -> usize {
        let mut bytes = size_of_val(&*self.shards);
        self.each_shard(|shard| bytes += shard.heap_bytes());
        bytes
    }

    /// One after the other, each locked as long as it is looked at.
    fn each_shard(&self, mut then: impl FnMut(&mut Shard)) {
        for shard in &self.shards {
            then(&mut shard.lock());
        }
    }
}

/// Tables that are locked together.
struct Guards<'c>(SmallVec<[(usize, MutexGuard<'c, Shard>); 4]>);

impl Guards<'_> {
    /// The table that a counter lies in.
    fn of(&mut self, counter: CounterId) -> Option<&mut Shard> {
        let shard = shard_of(counter);
        self.0.iter_mut().find(|(number, _)| *number == shard).map(|(_, shard)| &mut **shard)
    }
}
