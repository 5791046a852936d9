use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use keyward_core::limit::{
    Unit,
    applied::Applied,
    counters::{Counters, Moment, Need, Reservation, Wait, Watched},
};
use proptest::prelude::*;

use crate::world::{SECOND, at, limit, look, need, reserve};

fn settle_all(counters: &Counters, reservation: Reservation, used: u64, micros: u64) {
    counters.settle(reservation, |_| used, at(micros));
}

fn parallel(threads: u64, each: u64, ask: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let ask = &ask;
            scope.spawn(move || (0..each).for_each(|one| ask(thread * each + one)));
        }
    });
}

#[test]
fn of_ten_thousand_requests_at_once_a_limit_of_100_lets_exactly_100_pass() {
    for json in [
        r#""kind":"rate","amount":100,"window_seconds":60"#,
        r#""kind":"concurrency","amount":100"#,
        r#""kind":"quota","amount":100,"period":"day""#,
        r#""kind":"credit","amount":100"#,
    ] {
        let limit = limit("n", json);
        let (counters, passed) = (Counters::default(), AtomicU64::new(0));
        parallel(10, 1000, |_| {
            if let (Some(_held), _) = reserve(&counters, &[need(&limit, 1, 1)], at(0)) {
                passed.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(passed.into_inner(), 100, "{json}");
    }
}

#[test]
fn a_budget_is_never_passed_by_one_unit_though_estimates_are_settled_meanwhile() {
    let limit = limit("n", r#""kind":"budget","amount":"0.000010007","period":"month""#);
    let (counters, spent, most) = (Counters::default(), AtomicU64::new(0), AtomicU64::new(0));
    parallel(10, 1000, |one| {
        let (estimate, cost) = (7 + one % 11, one % 8);
        let (held, standings) = reserve(&counters, &[need(&limit, 1, estimate)], at(one));
        most.fetch_max(10_007 - standings[0].left, Ordering::Relaxed);
        if let Some(held) = held {
            spent.fetch_add(cost, Ordering::Relaxed);
            settle_all(&counters, held, cost, one);
        }
    });
    let spent = spent.into_inner();
    assert!(spent <= 10_007 && spent > 9_980, "{spent}");
    assert!(most.into_inner() <= 10_007);
    let left = look(&counters, &[need(&limit, 1, 0)], at(0))[0].left;
    assert_eq!(left, 10_007 - spent, "what was set aside and not used is there again");
}

#[test]
fn whoever_is_refused_by_one_limit_takes_nothing_of_the_others() {
    let wide = limit("wide", r#""kind":"rate","amount":1000,"window_seconds":60"#);
    let narrow = limit("narrow", r#""kind":"quota","amount":10,"period":"day""#);
    let slots = limit("slots", r#""kind":"concurrency","amount":1000"#);
    let counters = Counters::default();
    let needs = [need(&wide, 1, 1), need(&narrow, 2, 1), need(&slots, 3, 1)];
    // Others must not be refused for what is not taken, not for a moment.
    let exact = limit("exact", r#""kind":"concurrency","amount":2"#);
    parallel(4, 500, |one| {
        if one % 2 == 0 {
            drop(reserve(&counters, &[need(&exact, 4, 1), need(&narrow, 2, 11)], at(0)));
        } else if one < 1000 {
            let (held, _) = reserve(&counters, &[need(&exact, 4, 1)], at(0));
            settle_all(&counters, held.expect("there is room for each thread"), 0, 0);
        } else {
            drop(reserve(&counters, &needs, at(0)));
        }
    });
    let left: Vec<_> = look(&counters, &needs, at(0)).iter().map(|one| one.left).collect();
    assert_eq!(left, [990, 0, 990]);
}

#[test]
fn the_longest_wait_is_told_and_what_waiting_does_not_help_with() {
    let rate = limit("rate", r#""kind":"rate","amount":1,"window_seconds":64"#);
    let quota = limit("quota", r#""kind":"quota","amount":1,"period":"day""#);
    let once = limit("once", r#""kind":"budget","amount":"1","period":null"#);
    let credit =
        limit("credit", r#""kind":"credit","amount":1,"refill":{"amount":1,"period":"hour"}"#);
    let counters = Counters::default();
    let needs =
        [need(&rate, 1, 1), need(&quota, 2, 1), need(&once, 3, 1_000_000_000), need(&credit, 4, 1)];
    assert!(reserve(&counters, &needs, at(0)).0.is_some());
    let (held, standings) = reserve(&counters, &needs, at(SECOND / 2));
    assert!(held.is_none());
    let waits: Vec<_> = standings.iter().map(|one| one.refused).collect();
    let hours = |hours: u64| Duration::from_secs(hours * 3600) - Duration::from_millis(500);
    let expected = [
        Wait::For(Duration::from_millis(64_500)),
        Wait::For(hours(12)),
        Wait::Never,
        Wait::For(hours(1)),
    ];
    assert_eq!(waits, expected.map(Some));
    let (_, standings) = reserve(&counters, &[need(&rate, 1, 2)], at(SECOND));
    assert_eq!(standings[0].refused, Some(Wait::Never), "more than the limit ever has");
}

#[test]
fn what_was_used_beyond_the_estimate_is_counted_too() {
    let tokens =
        limit("tokens", r#""kind":"rate","unit":"tokens","amount":100,"window_seconds":60"#);
    let counters = Counters::default();
    let (held, _) = reserve(&counters, &[need(&tokens, 1, 10)], at(0));
    settle_all(&counters, held.unwrap(), 130, SECOND);
    let standing = look(&counters, &[need(&tokens, 1, 0)], at(SECOND))[0];
    assert_eq!(standing.left, 0);
    assert!(reserve(&counters, &[need(&tokens, 1, 1)], at(60 * SECOND)).0.is_none());
    assert!(reserve(&counters, &[need(&tokens, 1, 1)], at(63 * SECOND)).0.is_some());
}

#[test]
fn counters_that_count_nothing_any_more_are_forgotten() {
    let rate = limit("rate", r#""kind":"rate","amount":5,"window_seconds":60"#);
    let slots = limit("slots", r#""kind":"concurrency","amount":5"#);
    let quota = limit("quota", r#""kind":"quota","amount":5,"period":"day""#);
    let counters = Counters::default();
    let (held, _) =
        reserve(&counters, &[need(&rate, 1, 1), need(&slots, 2, 1), need(&quota, 3, 1)], at(0));
    counters.sweep(0, 1, at(SECOND));
    assert_eq!(counters.len(), 3);
    settle_all(&counters, held.unwrap(), 1, SECOND);
    counters.sweep(0, 1, at(62 * SECOND));
    assert_eq!(counters.len(), 1, "what was not saved is not forgotten");
    assert_eq!(counters.take_unsaved().len(), 1);
    // A clock that is a year ahead for a while forgets nothing: by the other, its period is over since then only.
    let ahead = at(365 * 24 * 3600 * SECOND).wall;
    counters.sweep(0, 1, Moment { wall: ahead, ..at(63 * SECOND) });
    counters.sweep(0, 1, at(64 * SECOND));
    assert_eq!(look(&counters, &[need(&quota, 3, 0)], at(64 * SECOND))[0].left, 4);
    counters.sweep(0, 1, at(40 * 3600 * SECOND));
    assert_eq!(counters.len(), 1);
    counters.sweep(0, 1, at(64 * 3600 * SECOND));
    assert_eq!(counters.len(), 0);
}

#[test]
fn who_tells_of_limits_hears_once_that_half_is_used_and_it_is_forgotten_when_it_is_over() {
    let rate = limit("rate", r#""kind":"rate","amount":10,"window_seconds":60"#);
    let slots = limit("slots", r#""kind":"concurrency","amount":1"#);
    let counters = Counters::default();
    let mut heard = Vec::new();
    for second in 0..8 {
        let (held, standings) =
            reserve(&counters, &[need(&rate, 1, 1), need(&slots, 2, 1)], at(second * SECOND));
        settle_all(&counters, held.unwrap(), 1, second * SECOND);
        heard.push((standings[0].is_newly_half_used, standings[0].percent()));
        assert!(!standings[1].is_newly_half_used, "requests in progress are not told of");
    }
    let newly: Vec<_> = heard.iter().filter(|(newly, _)| *newly).collect();
    assert_eq!(newly, [&(true, 50)]);
    let watched = Watched {
        counter: need(&rate, 1, 0).counter,
        limit: rate.clone(),
        organization: Default::default(),
        key: None,
    };
    counters.watch(watched);
    let percent = |micros| {
        counters.watched(at(micros)).iter().map(|(_, one)| one.percent()).collect::<Vec<_>>()
    };
    assert_eq!(percent(10 * SECOND), [80]);
    assert_eq!(percent(64 * SECOND), [] as [u8; 0], "three left the window, and one more");
    let (_held, standings) = reserve(&counters, &[need(&rate, 1, 6)], at(64 * SECOND));
    assert!(standings[0].is_newly_half_used, "it is told of again");
}

/// What a limit of 60 seconds has let pass, by when.
type Log = BTreeMap<u64, u64>;

fn held_in_a_minute_before(log: &Log, micros: u64) -> u64 {
    log.range(micros.saturating_sub(60 * SECOND)..=micros).map(|(_, count)| count).sum()
}

proptest! {
    #[test]
    fn no_limit_is_ever_passed_over_random_requests_estimates_and_edits(
        steps in prop::collection::vec(
            (0_u64..3_000_000, 1_u64..8, 0_u64..8, prop::bool::weighted(0.3), prop::option::weighted(0.05, 1_u64..60)), 1..300),
    ) {
        let mut most = 30;
        let make = |most: u64| -> [Applied; 3] {
            [
                limit("tokens", &format!(r#""kind":"rate","unit":"tokens","amount":{most},"window_seconds":60"#)),
                limit("slots", r#""kind":"concurrency","amount":4"#),
                limit("quota", r#""kind":"quota","unit":"tokens","amount":400,"period":"hour""#),
            ]
        };
        let mut limits = make(most);
        let counters = Counters::default();
        let (mut now, mut used_in_hours, mut log) = (0, BTreeMap::<u64, u64>::new(), Log::new());
        let mut open: Vec<(u64, u64, Reservation)> = Vec::new();
        for (step, estimate, less, ends, edit) in steps {
            now += step;
            if let Some(amount) = edit {
                most = amount;
                limits = make(most);
            }
            if ends && !open.is_empty() {
                let (began, reserved, held) = open.remove(0);
                let used = reserved.saturating_sub(less);
                counters.settle(held, |unit| if unit == Unit::Tokens { used } else { 0 }, at(now));
                *log.entry(began).or_default() -= reserved - used;
                *used_in_hours.entry(began / (3600 * SECOND)).or_default() -= reserved - used;
            }
            let [tokens, slots, quota] = &limits;
            let needs: [Need<'_>; 3] = [need(tokens, 1, estimate), need(slots, 2, 1), need(quota, 3, estimate)];
            let before = held_in_a_minute_before(&log, now);
            let longer = held_in_a_minute_before(&log, now)
                + log.range(now.saturating_sub(61 * SECOND)..now.saturating_sub(60 * SECOND)).map(|(_, count)| count).sum::<u64>();
            let hour = used_in_hours.get(&(now / (3600 * SECOND))).copied().unwrap_or(0);
            match reserve(&counters, &needs, at(now)).0 {
                Some(held) => {
                    prop_assert!(before + estimate <= most && open.len() < 4 && hour + estimate <= 400);
                    open.push((now, estimate, held));
                    *log.entry(now).or_default() += estimate;
                    *used_in_hours.entry(now / (3600 * SECOND)).or_default() += estimate;
                }
                None => prop_assert!(longer + estimate > most || open.len() >= 4 || hour + estimate > 400),
            }
        }
    }
}

#[test]
fn a_limit_that_is_used_up_by_settling_is_told_at_the_next_request() {
    let tokens = limit("n", r#""kind":"quota","unit":"tokens","amount":100,"period":"day""#);
    let counters = Counters::default();
    let (held, _) = reserve(&counters, &[need(&tokens, 1, 10)], at(0));
    counters.settle(held.unwrap(), |_| 1000, at(SECOND));
    let (held, standings) = reserve(&counters, &[need(&tokens, 1, 10)], at(2 * SECOND));
    assert!(held.is_none());
    assert!(standings[0].is_newly_half_used, "nothing is left, and nobody is told");
}
