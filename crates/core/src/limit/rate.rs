//! A sliding window: what was counted in it, told apart by when.
//!
//! A window is counted in 64 parts of its length. What was counted is forgotten one part after it has left the window, so that **no
//! window of this length holds more than the limit, whatever its start**, and what an exact log would have room for is refused for at
//! most 1/64 of the window's length. Parts in which nothing was counted take no memory.
//!
//! Rejected: fixed windows (twice the limit around their seam), two weighted windows (the previous one's requests are taken to be
//! spread evenly, and bursts pass), a token bucket (its burst and its refill together pass the limit), an exact log (a time for
//! each request).

use std::{collections::VecDeque, time::Duration};

/// Parts a window is counted in.
const PARTS: u32 = 64;
/// What is so many parts old is outside: the window, and the part that is under way.
pub(super) const FORGOTTEN: u32 = PARTS + 1;

/// Microseconds by a clock that is never put back; what it counts from does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Steady(u64);

impl Steady {
    /// From microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From the time since the process began. That is not the clock's beginning: what windows held before a restart lies before it.
    pub fn from_elapsed(elapsed: Duration) -> Self {
        let beginning = 2 * super::Limit::LONGEST_WINDOW;
        Self(u64::try_from((beginning + elapsed).as_micros()).unwrap_or(u64::MAX))
    }

    /// In microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The length of a window's parts, by which its parts are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width(u32);

impl Width {
    /// Of a window of one second to one day.
    pub fn of(window: Duration) -> Self {
        let micros = window.as_micros().div_ceil(u128::from(PARTS)).max(1);
        Self(u32::try_from(micros).unwrap_or(u32::MAX))
    }

    /// From microseconds; `None` where no window has such parts.
    pub(super) fn from_micros(micros: u64) -> Option<Self> {
        u32::try_from(micros).ok().filter(|micros| *micros > 0).map(Self)
    }

    /// In microseconds.
    pub(super) const fn micros(self) -> u32 {
        self.0
    }

    /// How long something is remembered at most.
    pub(super) fn whole(self) -> Duration {
        Duration::from_micros(u64::from(self.0) * u64::from(FORGOTTEN))
    }

    /// The part a moment lies in. Numbers wrap after years; only how far two are apart is used.
    #[expect(clippy::cast_possible_truncation, reason = "numbers of parts wrap")]
    const fn part(self, now: Steady) -> u32 {
        (now.0 / self.0 as u64) as u32
    }

    /// How long until a part `age` parts ago is forgotten.
    fn until_forgotten(self, now: Steady, age: u32) -> Duration {
        let width = u64::from(self.0);
        let into = now.0 % width;
        let left = u64::from(FORGOTTEN.saturating_sub(age)) * width;
        Duration::from_micros(left.saturating_sub(into))
    }
}

/// One part of a window, by which what was counted in it is found again: its number, above the length it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part(u64);

impl Part {
    fn new(number: u32, width: Width) -> Self {
        Self(u64::from(number) << 32 | u64::from(width.0))
    }
}

/// What was counted in one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    part: u32,
    count: u32,
}

/// What is counted in a window that slides.
///
/// What the usual request asks for stands in the window itself: the parts behind the newest are reached for once a part.
#[derive(Clone, Debug)]
pub(super) struct Window {
    width: Width,
    /// The oldest part in which something was counted.
    oldest: u32,
    /// The newest; it counts nothing where the window is empty.
    newest: Slot,
    /// All that is counted.
    total: u64,
    /// The parts before the newest in which something was counted, oldest first. On the heap once there are any: who counts in the newest
    /// part alone reaches for half as many bytes.
    #[expect(clippy::box_collection, reason = "where there are none, it is one word and not four")]
    older: Option<Box<VecDeque<Slot>>>,
}

impl Window {
    pub(super) fn new(width: Width) -> Self {
        let newest = Slot { part: 0, count: 0 };
        Self { width, oldest: 0, newest, total: 0, older: None }
    }

    /// A window into which all of `total` came so long ago; `None` where it has left the window.
    pub(super) fn restored(width: Width, now: Steady, age: Duration, total: u64) -> Option<Self> {
        let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        if age > width.whole() || total == 0 {
            return None;
        }
        let mut window = Self::new(width);
        window.add(Steady(now.0.saturating_sub(micros)), total);
        Some(window)
    }

    /// How long ago the newest part began that something was counted in.
    pub(super) fn age(&self, now: Steady) -> Option<Duration> {
        let newest = self.newest()?.part;
        let parts = self.width.part(now).wrapping_sub(newest);
        let parts = if is_after(newest, self.width.part(now)) { 0 } else { parts };
        // The end of its part, which is later than all that was counted in it.
        let micros = u64::from(parts).saturating_sub(1) * u64::from(self.width.0);
        Some(Duration::from_micros(micros))
    }

    /// What the window holds.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    pub(super) const fn width(&self) -> Width {
        self.width
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.newest.count == 0
    }

    const fn newest(&self) -> Option<Slot> {
        if self.is_empty() { None } else { Some(self.newest) }
    }

    /// All parts in which something was counted, oldest first.
    fn slots(&self) -> impl Iterator<Item = Slot> {
        self.older.iter().flat_map(|older| older.iter()).copied().chain(self.newest())
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let of = |older: &VecDeque<Slot>| size_of_val(older) + older.capacity() * size_of::<Slot>();
        self.older.as_deref().map_or(0, of)
    }

    /// The part that counts as now: two that read the clock may come in the other order.
    const fn part(&self, now: Steady) -> u32 {
        let part = self.width.part(now);
        match self.newest() {
            Some(newest) if !is_after(part, newest.part) => newest.part,
            _ => part,
        }
    }

    /// Forgets what has left the window, and takes on another length of it: what is known stays known, placed as late as it can have
    /// been. What was forgotten before a window was made longer stays forgotten.
    pub(super) fn advance(&mut self, now: Steady, width: Width) {
        if width != self.width {
            self.change_width(now, width);
        }
        let part = self.part(now);
        let is_gone = |of: u32| part.wrapping_sub(of) >= FORGOTTEN;
        if self.is_empty() || !is_gone(self.oldest) {
            return;
        }
        if is_gone(self.newest.part) {
            *self = Self::new(width);
            return;
        }
        let mut oldest = self.newest.part;
        if let Some(older) = &mut self.older {
            while let Some(slot) = older.pop_front_if(|slot| is_gone(slot.part)) {
                self.total -= u64::from(slot.count);
            }
            oldest = older.front().map_or(oldest, |slot| slot.part);
        }
        self.oldest = oldest;
    }

    fn change_width(&mut self, now: Steady, width: Width) {
        let (before, current) = (self.width, self.width.part(now));
        let began = now.0 - now.0 % u64::from(before.0);
        let mut changed = Self::new(width);
        for slot in self.slots() {
            // The last moment of its part, but not later than now.
            let age = u64::from(current.wrapping_sub(slot.part));
            let end = (began + u64::from(before.0)).saturating_sub(age * u64::from(before.0) + 1);
            let at = if is_after(slot.part, current) { now.0 } else { end.min(now.0) };
            changed.put(width.part(Steady(at)), slot.count);
        }
        *self = changed;
    }

    /// Counts at this moment, and says in which part. The window was advanced to it.
    pub(super) fn add(&mut self, now: Steady, count: u64) -> Part {
        let part = self.part(now);
        self.put(part, u32::try_from(count).unwrap_or(u32::MAX));
        Part::new(part, self.width)
    }

    /// Counts in a part that is not before the newest.
    fn put(&mut self, part: u32, count: u32) {
        if count == 0 {
            return;
        }
        if self.is_empty() {
            (self.oldest, self.newest) = (part, Slot { part, count: 0 });
        } else if self.newest.part != part {
            let before = std::mem::replace(&mut self.newest, Slot { part, count: 0 });
            self.older.get_or_insert_default().push_back(before);
        }
        let before = self.newest.count;
        self.newest.count = before.saturating_add(count);
        self.total += u64::from(self.newest.count - before);
    }

    /// Takes back what was counted in that part, as far as it is still here. After the window's length was changed nothing is taken
    /// back: it is no longer known what stands for it.
    pub(super) fn take_back(&mut self, part: Part, count: u64) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let is_it = |slot: &Slot| Part::new(slot.part, self.width) == part;
        if self.is_empty() {
            // It has left the window.
        } else if is_it(&self.newest) {
            self.total -= u64::from(self.newest.give_back(count));
            if self.newest.count == 0 {
                let before = self.older.as_mut().and_then(|older| older.pop_back());
                self.newest = before.unwrap_or(self.newest);
            }
        } else if let Some(older) = &mut self.older
            && let Some(at) = older.iter().position(is_it)
            && let Some(slot) = older.get_mut(at)
        {
            self.total -= u64::from(slot.give_back(count));
            if slot.count == 0 {
                older.remove(at);
            }
        }
    }

    /// How long until `need` more fit, if nothing else comes; `None` where they never do.
    pub(super) fn wait_for(&self, now: Steady, need: u64, amount: u64) -> Option<Duration> {
        if need > amount {
            return None;
        }
        let mut held = self.total;
        let mut wait = Duration::ZERO;
        for slot in self.slots() {
            if held.saturating_add(need) <= amount {
                break;
            }
            held -= u64::from(slot.count);
            wait = self.forgotten_in(now, slot);
        }
        Some(wait)
    }

    /// How long until the window is empty, if nothing comes.
    pub(super) fn whole_in(&self, now: Steady) -> Duration {
        self.newest().map_or(Duration::ZERO, |slot| self.forgotten_in(now, slot))
    }

    fn forgotten_in(&self, now: Steady, slot: Slot) -> Duration {
        let current = self.width.part(now);
        match is_after(slot.part, current) {
            // It came early by another core's clock.
            true => {
                self.width.until_forgotten(now, 0) + Duration::from_micros(u64::from(self.width.0))
            }
            false => self.width.until_forgotten(now, current.wrapping_sub(slot.part)),
        }
    }
}

impl Slot {
    /// Counts so many less, as far as there are; says how many.
    fn give_back(&mut self, count: u32) -> u32 {
        let given = count.min(self.count);
        self.count -= given;
        given
    }
}

/// Whether a part is later than another, in numbers that wrap.
const fn is_after(part: u32, other: u32) -> bool {
    part.wrapping_sub(other).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    /// Every request with its time: what a window is held against.
    #[derive(Default)]
    struct Log(VecDeque<(u64, u64)>);

    impl Log {
        /// What lies in the closed window of this length that ends now.
        fn held(&self, now: u64, length: u64) -> u64 {
            self.0.iter().filter(|(at, _)| at + length >= now).map(|(_, count)| count).sum()
        }

        /// The most that any window of this length holds, whatever its start.
        fn most(&self, length: u64) -> u64 {
            self.0
                .iter()
                .map(|(end, _)| {
                    self.0
                        .iter()
                        .filter(|(at, _)| at <= end && at + length >= *end)
                        .map(|(_, count)| count)
                        .sum()
                })
                .max()
                .unwrap_or(0)
        }
    }

    fn lengths() -> impl Strategy<Value = u64> {
        prop_oneof![Just(1), Just(7), Just(60), Just(3600), Just(86_400)]
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_the_limit_and_little_room_is_lost(
            seconds in lengths(),
            amount in 1_u64..200,
            start in 0_u64..u64::from(u32::MAX) * 20_000,
            arrivals in prop::collection::vec((0_u64..40, 1_u64..20), 1..300),
        ) {
            let length = seconds * SECOND;
            let width = Width::of(Duration::from_secs(seconds));
            let (mut window, mut log, mut now) = (Window::new(width), Log::default(), start);
            for (step, need) in arrivals {
                now += length * step / 100 + step;
                window.advance(Steady(now), width);
                if window.total() + need <= amount {
                    window.add(Steady(now), need);
                    log.0.push_back((now, need));
                } else {
                    // Refused only what an exact log over a window longer by 1/64 would refuse.
                    let longer = length + u64::from(width.0);
                    prop_assert!(log.held(now, longer) + need > amount);
                }
            }
            prop_assert!(log.most(length) <= amount);
        }

        #[test]
        fn whoever_waits_as_told_is_let_in_and_not_told_to_wait_much_too_long(
            seconds in lengths(),
            amount in 1_u64..200,
            arrivals in prop::collection::vec((0_u64..40, 1_u64..20), 1..100),
            need in 1_u64..200,
        ) {
            let (length, width) = (seconds * SECOND, Width::of(Duration::from_secs(seconds)));
            let (mut window, mut log, mut now) = (Window::new(width), Log::default(), 0);
            for (step, count) in arrivals {
                now += length * step / 100;
                window.advance(Steady(now), width);
                if window.total() + count <= amount {
                    window.add(Steady(now), count);
                    log.0.push_back((now, count));
                }
            }
            let Some(wait) = window.wait_for(Steady(now), need, amount) else {
                prop_assert!(need > amount);
                return Ok(());
            };
            let wait = u64::try_from(wait.as_micros()).unwrap();
            let then = now + wait;
            prop_assert!(wait == 0 || log.held(then - 1, length + u64::from(width.0)) + need > amount, "told to wait for nothing");
            window.advance(Steady(then), width);
            prop_assert!(window.total() + need <= amount);
            window.advance(Steady(then + u64::try_from(window.whole_in(Steady(then)).as_micros()).unwrap()), width);
            prop_assert!(window.is_empty());
        }

        #[test]
        fn what_is_taken_back_leaves_room_and_nothing_else(
            settled in prop::collection::vec((0_u64..30, 1_u64..50, 0_u64..50), 1..100),
            amount in 50_u64..300,
        ) {
            let (length, width) = (60 * SECOND, Width::of(Duration::from_secs(60)));
            let (mut window, mut log, mut now) = (Window::new(width), Log::default(), 0);
            let mut open: VecDeque<(u64, Part, u64, u64)> = VecDeque::new();
            for (step, reserved, used) in settled {
                now += length * step / 100;
                window.advance(Steady(now), width);
                if window.total() + reserved <= amount {
                    let part = window.add(Steady(now), reserved);
                    open.push_back((now, part, reserved, used.min(reserved)));
                }
                // A request ends some steps after it began.
                while open.len() > 3 {
                    let (at, part, reserved, used) = open.pop_front().unwrap();
                    window.take_back(part, reserved - used);
                    log.0.push_back((at, used));
                }
                let reserved: u64 = open.iter().filter(|(at, ..)| at + length >= now).map(|(_, _, reserved, _)| reserved).sum();
                prop_assert!(log.held(now, length) + reserved <= window.total());
                let longer = length + u64::from(width.0);
                let reserved: u64 = open.iter().filter(|(at, ..)| at + longer >= now).map(|(_, _, reserved, _)| reserved).sum();
                prop_assert!(window.total() <= log.held(now, longer) + reserved);
            }
            prop_assert!(log.most(length) <= amount);
        }

        #[test]
        fn another_length_forgets_nothing_that_is_known(
            arrivals in prop::collection::vec((0_u64..20, 1_u64..20, prop::option::weighted(0.2, lengths())), 1..200),
            amount in 1_u64..200,
        ) {
            let mut length = 60 * SECOND;
            let mut width = Width::of(Duration::from_secs(60));
            let (mut window, mut log, mut now) = (Window::new(width), Log::default(), 0);
            for (step, need, edit) in arrivals {
                now += length * step / 100;
                if let Some(seconds) = edit {
                    // What no window of the old length held may be forgotten.
                    log.0.retain(|(at, _)| at + length >= now);
                    length = seconds * SECOND;
                    width = Width::of(Duration::from_secs(seconds));
                }
                window.advance(Steady(now), width);
                prop_assert!(window.total() >= log.held(now, length));
                if window.total() + need <= amount {
                    window.add(Steady(now), need);
                    log.0.push_back((now, need));
                }
                prop_assert!(log.held(now, length) <= amount);
            }
        }

        #[test]
        fn clocks_read_in_another_order_let_nothing_slip(
            arrivals in prop::collection::vec((0_u64..40, 0_u64..2000, 1_u64..20), 1..200),
        ) {
            let (length, width, amount) = (SECOND, Width::of(Duration::from_secs(1)), 50);
            let (mut window, mut log, mut clock, mut newest) = (Window::new(width), Log::default(), 10_000, 0);
            for (step, late, need) in arrivals {
                clock += length * step / 100;
                let now = clock - late;
                newest = now.max(newest);
                window.advance(Steady(now), width);
                if window.total() + need <= amount {
                    window.add(Steady(now), need);
                    log.0.push_back((newest, need));
                }
            }
            prop_assert!(log.most(length - 2000) <= amount);
        }
    }

    #[test]
    fn a_window_that_is_seldom_used_takes_little_memory() {
        let width = Width::of(Duration::from_secs(60));
        let mut window = Window::new(width);
        for minute in 0..1000 {
            let now = Steady(minute * 61 * SECOND);
            window.advance(now, width);
            window.add(now, 1);
        }
        assert!(window.heap_bytes() <= 32, "{} bytes", window.heap_bytes());
    }
}
