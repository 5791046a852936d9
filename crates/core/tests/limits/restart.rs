use keyward_core::limit::{Saved, counters::Counters};

use crate::world::{SECOND, at, limit, look, need, reserve};

/// Through the numbers that a store keeps.
fn carried_over(saved: Vec<Saved>, micros: u64) -> Counters {
    let counters = Counters::default();
    for one in saved {
        let kept = Saved::from_numbers(one.counter, one.to_numbers()).unwrap();
        assert_eq!(kept, one);
        counters.restore(&kept, at(micros));
    }
    counters
}

#[test]
fn quotas_budgets_and_credits_go_on_where_they_stood() {
    let quota = limit("quota", r#""kind":"quota","unit":"tokens","amount":100,"period":"month""#);
    let budget = limit("budget", r#""kind":"budget","amount":"1""#);
    let credit = limit(
        "credit",
        r#""kind":"credit","amount":50,"refill":{"amount":10,"period":"hour","up_to":100}"#,
    );
    let counters = Counters::default();
    let needs = [need(&quota, 1, 30), need(&budget, 2, 1_000), need(&credit, 3, 20)];
    let (held, _) = reserve(&counters, &needs, at(0));
    counters.settle(held.unwrap(), |_| 10, at(SECOND));
    let hour = 3600 * SECOND;
    drop(reserve(&counters, &[need(&credit, 3, 1)], at(hour)));

    let again = carried_over(counters.take_unsaved(), hour);
    let left = |counters: &Counters| {
        look(counters, &needs, at(hour)).iter().map(|one| one.left).collect::<Vec<_>>()
    };
    assert_eq!(left(&again), left(&counters));
    assert_eq!(left(&again), [90, 999_999_990, 39]);
    assert!(again.take_unsaved().is_empty(), "what was restored is saved already");
    assert!(counters.take_unsaved().is_empty(), "each change is told once");
}

#[test]
fn what_could_not_be_saved_is_told_again() {
    let quota = limit("quota", r#""kind":"quota","amount":100,"period":"month""#);
    let counters = Counters::default();
    drop(reserve(&counters, &[need(&quota, 1, 1)], at(0)));
    let first = counters.take_unsaved();
    counters.put_unsaved(first.iter().map(|one| one.counter));
    assert_eq!(counters.take_unsaved(), first);
}

#[test]
fn a_window_never_holds_more_than_the_limit_over_a_restart() {
    let rate = limit("rate", r#""kind":"rate","amount":10,"window_seconds":60"#);
    let counters = Counters::default();
    for second in 0..10 {
        assert!(reserve(&counters, &[need(&rate, 1, 1)], at(second * SECOND)).0.is_some());
    }
    let again = carried_over(counters.windows(at(20 * SECOND)), 30 * SECOND);
    assert!(
        reserve(&again, &[need(&rate, 1, 1)], at(62 * SECOND)).0.is_none(),
        "counted as late as the last of it"
    );
    assert!(reserve(&again, &[need(&rate, 1, 10)], at(71 * SECOND)).0.is_some());
    let late = carried_over(counters.windows(at(20 * SECOND)), 90 * SECOND);
    assert_eq!(late.len(), 0);
}

#[test]
fn numbers_that_are_no_counter_are_not_restored() {
    let counter = need(&limit("n", r#""kind":"concurrency","amount":1"#), 1, 1).counter;
    assert_eq!(Saved::from_numbers(counter, [0; 9]), None);
    assert_eq!(Saved::from_numbers(counter, [3, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    assert_eq!(Saved::from_numbers(counter, [u64::MAX; 9]), None);
}

#[test]
fn what_has_left_a_window_is_not_saved_when_a_gateway_ends() {
    let rate = limit("n", r#""kind":"rate","amount":10,"window_seconds":60"#);
    let counters = Counters::default();
    drop(reserve(&counters, &[need(&rate, 1, 9)], at(0)));
    drop(reserve(&counters, &[need(&rate, 1, 1)], at(55 * SECOND)));
    let now = at(70 * SECOND);
    let again = Counters::default();
    counters.windows(now).iter().for_each(|one| again.restore(one, now));
    let left = |counters: &Counters| look(counters, &[need(&rate, 1, 1)], now)[0].left;
    assert_eq!((left(&counters), left(&again)), (9, 9));
}
