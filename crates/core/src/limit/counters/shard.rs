//! One of the small tables that counters lie in.

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::{
    Moment, Need,
    held::{Held, HeldIn},
    state::State,
};
use crate::limit::{
    applied::CounterId,
    saved::{Saved, SavedCounter},
};

#[derive(Debug)]
pub(super) struct Counter {
    /// The lower half of its number.
    number: u64,
    /// Whether it is among those to be saved.
    unsaved: bool,
    /// Whether it is watched, or about to be.
    pub(super) is_watched: bool,
    pub(super) state: State,
}

/// The counters whose numbers begin alike, one behind the other: a request of one key reaches for one place in memory, of two cache
/// lines.
#[derive(Debug)]
#[repr(align(64))]
struct Group {
    /// The upper half of their numbers. It is spread evenly already, and its own hash.
    whose: u64,
    counters: SmallVec<[Counter; 2]>,
}

const _: () = assert!(size_of::<Group>() == 128, "a group of two fills two cache lines");

#[derive(Debug, Default)]
pub(super) struct Shard {
    groups: HashTable<Group>,
    unsaved: Vec<CounterId>,
}

impl Shard {
    /// The counter of this number, where there is one.
    pub(super) fn find(&mut self, counter: CounterId) -> Option<&mut Counter> {
        let (whose, number) = counter.halves();
        let group = self.groups.find_mut(whose, |group| group.whose == whose)?;
        group.counters.iter_mut().find(|one| one.number == number)
    }

    /// The counters whose numbers begin so; none yet where there are none.
    fn group(&mut self, whose: u64) -> &mut SmallVec<[Counter; 2]> {
        let place = self.groups.entry(whose, |group| group.whose == whose, |group| group.whose);
        let group = place.or_insert_with(|| Group { whose, counters: SmallVec::new() });
        &mut group.into_mut().counters
    }

    /// Counts a need where there is room, unless it is refused already; a counter is begun where there is none. How the limit stands
    /// then is noted with the need.
    pub(super) fn take(
        &mut self,
        need: &mut Need<'_>,
        now: Moment,
        is_refused: bool,
    ) -> Option<HeldIn> {
        let (whose, number) = need.counter.halves();
        let group = self.group(whose);
        let at = group.iter().position(|one| one.number == number).unwrap_or_else(|| {
            // Few are of one key: no room is kept for more.
            group.reserve_exact(1);
            group.push(Counter::new(number, State::new(need.limit)));
            group.len() - 1
        });
        let counter = group.get_mut(at)?;
        counter.state.advance(need.limit, now);
        let place = counter.state.take(need, now, is_refused);
        if need.standing.is_half_used() && counter.state.is_told() {
            need.standing.is_newly_half_used = !std::mem::replace(&mut counter.is_watched, true);
        }
        if place.is_some_and(HeldIn::is_saved) && !std::mem::replace(&mut counter.unsaved, true) {
            self.unsaved.push(need.counter);
        }
        place
    }

    /// Puts a counter in the place of what was counted under its number.
    pub(super) fn put(&mut self, counter: CounterId, state: State) {
        let (whose, number) = counter.halves();
        let group = self.group(whose);
        group.retain(|one| one.number != number);
        group.reserve_exact(1);
        group.push(Counter::new(number, state));
    }

    /// It is to be saved.
    pub(super) fn mark(&mut self, counter: CounterId) {
        if let Some(found) = self.find(counter)
            && !std::mem::replace(&mut found.unsaved, true)
        {
            self.unsaved.push(counter);
        }
    }

    /// Ends what was set aside of one counter.
    pub(super) fn settle(&mut self, held: &Held, used: u64, now: Moment) {
        let Some(counter) = self.find(held.counter) else { return };
        counter.state.settle(held.place, held.amount, used, now);
        if held.place.is_saved() && !std::mem::replace(&mut counter.unsaved, true) {
            self.unsaved.push(held.counter);
        }
    }

    /// Those that are to be saved, as they stand.
    pub(super) fn take_unsaved(&mut self) -> impl Iterator<Item = Saved> {
        std::mem::take(&mut self.unsaved).into_iter().filter_map(|counter| {
            let found = self.find(counter)?;
            found.unsaved = false;
            Some(Saved { counter, state: found.state.saved()? })
        })
    }

    /// What windows hold.
    pub(super) fn windows(&mut self, now: Moment) -> impl Iterator<Item = Saved> {
        let counters = self.groups.iter_mut().flat_map(|group| {
            let whose = group.whose;
            group.counters.iter_mut().map(move |one| (whose, one))
        });
        counters.filter_map(move |(whose, one)| match &mut one.state {
            State::Window(window) => Some(Saved {
                counter: CounterId::of_halves(whose, one.number),
                state: SavedCounter::of_window(window, now)?,
            }),
            _ => None,
        })
    }

    /// Forgets counters that count nothing any more.
    pub(super) fn sweep(&mut self, now: Moment) {
        self.groups.retain(|group| {
            group.counters.retain(|counter| counter.unsaved || !counter.state.is_over(now));
            !group.counters.is_empty()
        });
        if self.groups.len() * 4 < self.groups.capacity() {
            self.groups.shrink_to_fit(|group| group.whose);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.counters.len()).sum()
    }

    /// Bytes on the heap, allocator's overhead aside.
    pub(super) fn heap_bytes(&self) -> usize {
        let counters = self.groups.iter().map(|group| {
            let spilled = if group.counters.spilled() { size_of_val(&*group.counters) } else { 0 };
            let each = group.counters.iter().map(|counter| counter.state.heap_bytes());
            spilled + each.sum::<usize>()
        });
        self.groups.allocation_size() + counters.sum::<usize>()
    }
}

impl Counter {
    const fn new(number: u64, state: State) -> Self {
        Self { number, unsaved: false, is_watched: false, state }
    }
}
