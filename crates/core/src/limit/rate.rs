//! A sliding window: what was counted in it, told apart by when.
//!
//! A window is counted in 64 parts of its length. What was counted is forgotten one part after it has left the window, so that **no
//! window of this length holds more than the limit, whatever its start**, and what an exact log would have room for is refused for at
//! most 1/64 of the window's length. Parts in which nothing was counted take no memory.
//!
//! Rejected: fixed windows (twice the limit around their seam), two weighted windows (the previous one's requests are taken to be
//! spread evenly, and bursts pass), a token bucket (its burst and its refill together pass the limit), an exact log (a time for
//! each request).

use std::time::Duration;

use smallvec::SmallVec;

/// Parts a window is counted in.
const PARTS: u32 = 64;
/// What is so many parts old is outside: the window, and the part that is under way.
const FORGOTTEN: u32 = PARTS + 1;

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

/// One part of a window, by which what was counted in it is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    number: u32,
    width: Width,
}

/// What was counted in one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    part: u32,
    count: u32,
}

/// What is counted in a window that slides.
#[derive(Clone, Debug)]
pub(super) struct Window {
    width: Width,
    /// All of `slots`.
    total: u64,
    /// Parts in which something was counted, oldest first.
    slots: Slots,
}

/// A window that is seldom used needs no room besides its own.
type Slots = SmallVec<[Slot; 2]>;

impl Window {
    pub(super) fn new(width: Width) -> Self {
        Self { width, total: 0, slots: Slots::new() }
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
        let newest = self.slots.last()?;
        let parts = self.width.part(now).wrapping_sub(newest.part);
        let parts = if is_after(newest.part, self.width.part(now)) { 0 } else { parts };
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

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        if self.slots.spilled() { self.slots.capacity() * size_of::<Slot>() } else { 0 }
    }

    /// The part that counts as now: two that read the clock may come in the other order.
    fn part(&self, now: Steady) -> u32 {
        let part = self.width.part(now);
        match self.slots.last() {
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
        let gone = self.slots.iter().take_while(|slot| part.wrapping_sub(slot.part) >= FORGOTTEN);
        let (count, sum) = gone.fold((0, 0), |(n, sum), slot| (n + 1, sum + u64::from(slot.count)));
        if count > 0 {
            self.slots.drain(..count);
            self.total -= sum;
        }
    }

    fn change_width(&mut self, now: Steady, width: Width) {
        let (before, current) = (self.width, self.width.part(now));
        let began = now.0 - now.0 % u64::from(before.0);
        let newest = width.part(now);
        let mut slots = Slots::with_capacity(self.slots.len());
        for slot in &self.slots {
            // The last moment of its part, but not later than now.
            let age = u64::from(current.wrapping_sub(slot.part));
            let end = (began + u64::from(before.0)).saturating_sub(age * u64::from(before.0) + 1);
            let part = if is_after(slot.part, current) {
                newest
            } else {
                width.part(Steady(end.min(now.0)))
            };
            match slots.last_mut() {
                Some(last) if last.part == part => {
                    last.count = last.count.saturating_add(slot.count);
                }
                _ => slots.push(Slot { part, count: slot.count }),
            }
        }
        (self.slots, self.width) = (slots, width);
    }

    /// Counts at this moment, and says in which part. The window was advanced to it.
    pub(super) fn add(&mut self, now: Steady, count: u64) -> Part {
        let part = self.part(now);
        let counted = Part { number: part, width: self.width };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count == 0 {
            return counted;
        }
        match self.slots.last_mut() {
            Some(last) if last.part == part => {
                let before = last.count;
                last.count = before.saturating_add(count);
                self.total += u64::from(last.count - before);
            }
            _ => {
                self.slots.push(Slot { part, count });
                self.total += u64::from(count);
            }
        }
        counted
    }

    /// Takes back what was counted in that part, as far as it is still here. After the window's length was changed nothing is taken
    /// back: it is no longer known what stands for it.
    pub(super) fn take_back(&mut self, part: Part, count: u64) {
        if part.width != self.width {
            return;
        }
        let Some(index) = self.slots.iter().position(|slot| slot.part == part.number) else {
            return;
        };
        let Some(slot) = self.slots.get_mut(index) else { return };
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(slot.count);
        slot.count -= count;
        self.total -= u64::from(count);
        if slot.count == 0 {
            self.slots.remove(index);
        }
    }

    /// How long until `need` more fit, if nothing else comes; `None` where they never do.
    pub(super) fn wait_for(&self, now: Steady, need: u64, amount: u64) -> Option<Duration> {
        if need > amount {
            return None;
        }
        let mut held = self.total;
        let mut wait = Duration::ZERO;
        for slot in &self.slots {
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
        self.slots.last().map_or(Duration::ZERO, |slot| self.forgotten_in(now, slot))
    }

    fn forgotten_in(&self, now: Steady, slot: &Slot) -> Duration {
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

/// Whether a part is later than another, in numbers that wrap.
const fn is_after(part: u32, other: u32) -> bool {
    part.wrapping_sub(other).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

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
