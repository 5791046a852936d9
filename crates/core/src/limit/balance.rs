//! What is counted over periods of the calendar, and balances: quotas, budgets, credits.
//!
//! These follow the wall's clock, which may be put forward and back. The periods that were left last are remembered, and found again
//! with what was used in them; what was used in later ones is added to a period that is gone back to. So a jump of the clock never
//! empties a period that is not over, and an error of years does not last for years.

use std::time::Duration;

use super::{
    Bound, Period, Refill, Steady, TimeZone,
    applied::{half, tag},
    counters::{Moment, Wait},
    period::Span,
};
use crate::time::Timestamp;

/// Periods a balance is filled for at most at once: after these, whatever is filled is full, or never will be.
const MOST_REFILLS: u32 = 1000;

/// Who would have to wait for more periods than these is told that waiting does not help.
const MOST_WAITED: u32 = 60;

/// A step over more periods than these is as likely a wrong clock as a long rest.
const LEAP: u32 = 12;

/// From the beginning of time to its end: what has no periods.
const ALWAYS: Span = Span { start: Timestamp::from_millis(0), end: Timestamp::NEVER };

/// Which periods a quota has, and in which zone, in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule(pub(super) u64);

impl Rule {
    pub(super) fn of(period: Option<Period>, zone: &TimeZone) -> Self {
        let text = format!("{} {zone}", period.map_or("", Period::as_str));
        Self(half(tag(text.as_bytes())))
    }
}

/// What is used of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// By which rule periods are told: another means that the limit was edited.
    pub(super) rule: Rule,
    /// The period that is counted.
    pub(super) span: Span,
    /// Used in it, and set aside.
    pub(super) used: u64,
    /// When the two that were left last began, and what was used in them.
    pub(super) left: [(Timestamp, u64); 2],
    /// When the period began that was under way before the limit was edited, while what it became of it is: what was set aside then
    /// is given back now.
    pub(super) edited_from: Timestamp,
    /// Since when its period is over, by the clock that is never put back; as far as anybody looked.
    pub(super) over_since: Option<Steady>,
}

const NOWHERE: Span = Span { start: Timestamp::from_millis(0), end: Timestamp::from_millis(0) };
const NEVER_LEFT: (Timestamp, u64) = (Timestamp::NEVER, 0);

impl Quota {
    pub(super) const fn new() -> Self {
        Self {
            rule: Rule(0),
            span: NOWHERE,
            used: 0,
            left: [NEVER_LEFT; 2],
            edited_from: Timestamp::NEVER,
            over_since: None,
        }
    }

    /// Takes on the period in which `now` lies. Where the limit was edited, what was used in the period under way is kept.
    pub(super) fn advance(
        &mut self,
        now: Timestamp,
        rule: Rule,
        period: Option<Period>,
        zone: &TimeZone,
    ) {
        let around =
            |period: Option<Period>| period.map_or(ALWAYS, |period| period.around(now, zone));
        if rule != self.rule {
            let next = around(period);
            // What is over does not count any more, unless it lies in the period that is under way now.
            if now >= self.span.end && !next.contains(self.span.start) {
                self.enter(next, now);
            } else if self.span != NOWHERE {
                self.edited_from = self.span.start;
            }
            (self.rule, self.span) = (rule, next);
        } else if !self.span.contains(now) {
            self.enter(around(period), now);
        }
    }

    /// Whether its period has been over for so long. The wall's clock alone does not say so: it may be ahead for a minute.
    pub(super) fn is_over_for(&mut self, kept: Duration, now: Moment) -> bool {
        if now.wall < self.span.end {
            self.over_since = None;
            return false;
        }
        let since = *self.over_since.get_or_insert(now.steady);
        now.steady.since(since) >= kept
    }

    fn enter(&mut self, next: Span, now: Timestamp) {
        let began = self.span.start;
        let known = self.left.iter().filter(|(left, _)| *left != Timestamp::NEVER);
        let counts = |left: Timestamp| left == next.start || (now < began && left > next.start);
        let known = known.filter(|(left, _)| counts(*left)).map(|(_, used)| *used);
        // Back from a clock that was ahead, what was used by it is used now.
        let ahead = if now < began { self.used } else { 0 };
        let used = known.fold(ahead, u64::saturating_add);
        let left = [(began, self.used), self.left[0]];
        *self = Self { span: next, used, left, edited_from: Timestamp::NEVER, ..*self };
    }

    /// Takes back what was set aside in the period that began then, as far as that is known still.
    pub(super) fn take_back(&mut self, began: Timestamp, count: u64) {
        if began == self.span.start || began == self.edited_from {
            self.used = self.used.saturating_sub(count);
        } else if let Some((_, used)) = self.left.iter_mut().find(|(left, _)| *left == began) {
            *used = used.saturating_sub(count);
        }
    }
}

/// What became of a balance. What was given by hand stands in its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Credit {
    /// Used since ever, and set aside.
    pub(super) used: u64,
    /// What it was filled with by itself.
    pub(super) filled: u64,
    /// The period for which it was filled last; at first, the one in which it was first used.
    pub(super) span: Span,
    /// When the period ended that it left by a leap, over more than [`LEAP`] of them: a clock that was ahead by years leads back here.
    pub(super) leapt_from: Timestamp,
}

impl Credit {
    pub(super) const fn new() -> Self {
        Self { used: 0, filled: 0, span: NOWHERE, leapt_from: Timestamp::NEVER }
    }

    /// What is left of what was given; nothing where more was used.
    pub(super) const fn left(&self, given: u64) -> u64 {
        given.saturating_add(self.filled).saturating_sub(self.used)
    }

    /// Fills it for each period that began since it was filled last. A clock that is put back fills nothing twice; back from a leap,
    /// it goes on where that began, and keeps what the leap filled it with.
    pub(super) fn advance(&mut self, now: Timestamp, given: u64, refill: Option<&Refill>) {
        let Some(refill) = refill else { return };
        if self.span == NOWHERE {
            self.span = refill.period.around(now, &refill.zone);
            return;
        }
        if now < self.span.start && now >= self.leapt_from {
            // One period back is a clock that is put right by a little: what is filled already waits for its time.
            let last = self.span.start.minus(Duration::from_millis(1));
            if now < refill.period.around(last, &refill.zone).start {
                self.span = refill.period.around(now, &refill.zone);
                self.leapt_from = Timestamp::NEVER;
            }
        }
        let Span { start, end } = self.span;
        if now >= end.plus(end.since(start) * LEAP) {
            self.leapt_from = end;
        }
        for _ in 0..MOST_REFILLS {
            if now < self.span.end {
                return;
            }
            let room = refill.up_to.saturating_sub(self.left(given));
            if room == 0 || refill.amount == 0 {
                break;
            }
            self.filled = self.filled.saturating_add(refill.amount.min(room));
            self.span = refill.period.around(self.span.end, &refill.zone);
        }
        self.span = refill.period.around(now, &refill.zone);
    }

    pub(super) fn take_back(&mut self, count: u64) {
        self.used = self.used.saturating_sub(count);
    }

    /// How long until `need` is there, if nothing else is used.
    pub(super) fn wait_for(&self, now: Timestamp, need: u64, given: u64, bound: &Bound) -> Wait {
        let Bound::Credit { refill: Some(refill), .. } = bound else { return Wait::Never };
        let mut later = *self;
        for _ in 0..MOST_WAITED {
            let at = later.span.end;
            later.advance(at, given, Some(refill));
            if later.left(given) >= need {
                return Wait::For(at.since(now));
            }
            if later.left(given) >= refill.up_to || refill.amount == 0 {
                break;
            }
        }
        Wait::Never
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000;

    fn advance(quota: &mut Quota, now: Timestamp, period: Option<Period>, zone: &TimeZone) {
        quota.advance(now, Rule::of(period, zone), period, zone);
    }

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn no_period_ever_has_more_than_the_quota_though_the_clock_is_wrong_at_times(
            amount in 1_u64..100,
            steps in prop::collection::vec((0_i64..20, 1_u64..10, prop::option::weighted(0.1, -2000_i64..2000)), 1..300),
        ) {
            let zone = "America/New_York".parse().unwrap();
            let mut quota = Quota::new();
            let mut billed: BTreeMap<Timestamp, u64> = BTreeMap::new();
            let (mut hours, mut error) = (400_000_i64, 0);
            for (step, need, set) in steps {
                hours += step;
                // It is set wrong, or right again.
                error = match set {
                    Some(wrong) if error == 0 => wrong,
                    Some(_) => 0,
                    None => error,
                };
                let now = Timestamp::from_millis((hours + error).unsigned_abs() * HOUR);
                advance(&mut quota, now, Some(Period::Day), &zone);
                if quota.used + need <= amount {
                    quota.used += need;
                    if error == 0 {
                        *billed.entry(Period::Day.around(now, &zone).start).or_default() += need;
                    }
                }
            }
            prop_assert!(billed.values().all(|used| *used <= amount), "{billed:?}");
        }

        #[test]
        fn a_balance_is_never_negative_and_never_filled_above_its_bound(
            given in 0_u64..100,
            up_to in 0_u64..100,
            each in 0_u64..50,
            steps in prop::collection::vec((-20_i64..60, 0_u64..30), 1..200),
        ) {
            let refill = Refill { amount: each, period: Period::Day, zone: TimeZone::utc(), up_to };
            let mut credit = Credit::new();
            let (mut hours, mut newest_day, mut first_day, mut used) = (400_000_i64, 0, None, 0);
            for (step, need) in steps {
                hours += step;
                let now = Timestamp::from_millis(hours.unsigned_abs() * HOUR);
                credit.advance(now, given, Some(&refill));
                newest_day = newest_day.max(hours / 24);
                let first = *first_day.get_or_insert(hours / 24);
                let left = credit.left(given);
                prop_assert!(left <= given.max(up_to));
                if need <= left {
                    credit.used += need;
                    used += need;
                }
                let days = (newest_day - first).unsigned_abs();
                prop_assert!(used <= given + each * days, "more was used than was ever given");
            }
        }
    }

    #[test]
    fn a_clock_that_was_ahead_gives_nothing_and_takes_nothing_for_good() {
        let utc = TimeZone::utc();
        let mut quota = Quota::new();
        let (may, june) = (moment("2026-05-15T23:00:00Z"), moment("2026-06-30T01:00:00Z"));
        advance(&mut quota, may, Some(Period::Month), &utc);
        quota.used = 7;
        advance(&mut quota, june, Some(Period::Month), &utc);
        quota.used = 2;
        advance(&mut quota, may, Some(Period::Month), &utc);
        assert_eq!(
            quota.used, 9,
            "put right, it finds what was used before, and while it was wrong"
        );
        advance(&mut quota, june, Some(Period::Month), &utc);
        assert_eq!(quota.used, 2, "what was counted in June already stays in June");
        advance(&mut quota, moment("2036-01-01T00:00:00Z"), Some(Period::Month), &utc);
        quota.used = 1;
        advance(&mut quota, june, Some(Period::Month), &utc);
        assert_eq!(quota.used, 3, "ten years ahead and back: June goes on");
        advance(&mut quota, moment("2026-07-01T00:00:00Z"), Some(Period::Month), &utc);
        assert_eq!(quota.used, 0);
    }

    #[test]
    fn another_period_or_zone_keeps_what_was_used() {
        let now = moment("2026-05-15T12:00:00Z");
        let mut quota = Quota::new();
        advance(&mut quota, now, Some(Period::Day), &TimeZone::utc());
        quota.used = 5;
        for (period, zone) in [
            (Some(Period::Month), "UTC"),
            (Some(Period::Month), "Asia/Tokyo"),
            (None, "UTC"),
            (Some(Period::Day), "UTC"),
        ] {
            let zone = zone.parse().unwrap();
            advance(&mut quota, now, period, &zone);
            assert_eq!(quota.used, 5, "{period:?} {zone}");
        }
    }

    #[test]
    fn what_was_set_aside_before_an_edit_is_given_back_after_it() {
        let (now, utc) = (moment("2026-05-15T12:00:00Z"), TimeZone::utc());
        let mut quota = Quota::new();
        advance(&mut quota, now, Some(Period::Month), &utc);
        let began = quota.span.start;
        quota.used = 10;
        advance(&mut quota, now, Some(Period::Day), &utc);
        quota.take_back(began, 4);
        assert_eq!(quota.used, 6);
        advance(&mut quota, moment("2026-05-16T12:00:00Z"), Some(Period::Day), &utc);
        quota.used = 5;
        quota.take_back(began, 4);
        assert_eq!(quota.used, 5, "the next period knows nothing of it");
    }

    #[test]
    fn what_was_used_in_a_period_that_is_over_counts_after_an_edit_only_where_it_lies_in_the_new_one()
     {
        let utc = TimeZone::utc();
        for (period, used) in [(Period::Hour, 0), (Period::Day, 0), (Period::Month, 5)] {
            let mut quota = Quota::new();
            let zone = "Asia/Tokyo".parse().unwrap();
            advance(&mut quota, moment("2026-05-14T12:00:00Z"), Some(Period::Day), &zone);
            quota.used = 5;
            advance(&mut quota, moment("2026-05-16T09:30:00Z"), Some(period), &utc);
            assert_eq!(quota.used, used, "{period:?}");
        }
    }

    #[test]
    fn a_clock_that_is_put_back_by_a_little_fills_no_balance_twice_after_a_rest() {
        let refill = Refill { amount: 1, period: Period::Day, zone: TimeZone::utc(), up_to: 100 };
        let mut credit = Credit::new();
        for now in ["05-06T12:00:00", "05-26T00:00:01", "05-25T23:59:59", "05-26T00:00:01"] {
            credit.advance(moment(&format!("2026-{now}Z")), 0, Some(&refill));
        }
        assert_eq!(credit.left(0), 20);
    }

    #[test]
    fn a_clock_that_was_ahead_by_years_keeps_no_balance_from_being_filled() {
        let refill = Refill { amount: 10, period: Period::Day, zone: TimeZone::utc(), up_to: 25 };
        let mut credit = Credit::new();
        credit.advance(moment("2026-05-06T12:00:00Z"), 0, Some(&refill));
        credit.advance(moment("2036-05-06T12:00:00Z"), 0, Some(&refill));
        assert_eq!(credit.left(0), 25);
        credit.used = 25;
        credit.advance(moment("2026-05-07T12:00:00Z"), 0, Some(&refill));
        assert_eq!(credit.left(0), 0, "the day was filled for ahead of its time");
        credit.advance(moment("2026-05-08T12:00:00Z"), 0, Some(&refill));
        assert_eq!(credit.left(0), 10);
        credit.advance(moment("2026-05-07T12:00:00Z"), 0, Some(&refill));
        credit.advance(moment("2026-05-08T12:00:00Z"), 0, Some(&refill));
        assert_eq!(credit.left(0), 10, "a clock that is put back fills nothing twice");
    }

    #[test]
    fn what_was_set_aside_is_given_back_to_the_period_it_came_from() {
        let utc = TimeZone::utc();
        let mut quota = Quota::new();
        advance(&mut quota, moment("2026-05-01T12:00:00Z"), Some(Period::Day), &utc);
        let began = quota.span.start;
        quota.used = 10;
        advance(&mut quota, moment("2026-05-02T00:00:00Z"), Some(Period::Day), &utc);
        quota.used = 3;
        quota.take_back(began, 4);
        assert_eq!((quota.used, quota.left[0].1), (3, 6));
        advance(&mut quota, moment("2026-05-03T00:00:00Z"), Some(Period::Day), &utc);
        quota.take_back(began, 4);
        assert_eq!(
            (quota.used, quota.left),
            (0, [(moment("2026-05-02T00:00:00Z"), 3), (began, 2)])
        );
    }

    #[test]
    fn a_balance_is_filled_for_every_period_that_passed_up_to_its_bound() {
        let refill = Refill { amount: 10, period: Period::Week, zone: TimeZone::utc(), up_to: 25 };
        let mut credit = Credit::new();
        credit.advance(moment("2026-05-06T00:00:00Z"), 20, Some(&refill));
        credit.used = 20;
        credit.advance(moment("2026-05-10T23:59:59Z"), 20, Some(&refill));
        assert_eq!(credit.left(20), 0, "the week is not over");
        credit.advance(moment("2026-05-11T00:00:00Z"), 20, Some(&refill));
        assert_eq!(credit.left(20), 10);
        credit.advance(moment("2026-09-11T00:00:00Z"), 20, Some(&refill));
        assert_eq!(credit.left(20), 25, "many weeks later, no more than its bound");
        assert_eq!(credit.left(30), 35, "what is given by hand is given on top");
    }
}
