//! What limits promise and do not keep: each test fails, and says what it shows.

use keyward_core::limit::counters::{Counters, Moment};

use crate::world::{SECOND, at, limit, look, need, reserve};

const HOUR: u64 = 3600 * SECOND;

/// Shows: an edit of period or zone carries over what was used in a period that had ended before it. Nobody asked in between, so the
/// counter still stands in the old one.
#[test]
fn what_was_used_in_a_period_that_is_over_does_not_count_after_an_edit() {
    let daily = limit("n", r#""kind":"quota","amount":10,"period":"day""#);
    let hourly = limit("n", r#""kind":"quota","amount":10,"period":"hour""#);
    let counters = Counters::default();
    drop(reserve(&counters, &[need(&daily, 1, 10)], at(0)));
    let next_morning = at(18 * HOUR);
    assert_eq!(look(&counters, &[need(&daily, 1, 1)], next_morning)[0].left, 10);
    assert_eq!(look(&counters, &[need(&hourly, 1, 1)], next_morning)[0].left, 10);
}

/// Shows: after a rest of more than 12 periods, a clock that is put back by a second over a midnight fills a balance twice for a day.
#[test]
fn a_clock_that_is_put_back_fills_no_balance_twice_after_a_rest() {
    let credit = limit(
        "n",
        r#""kind":"credit","amount":0,"refill":{"amount":1,"period":"day","up_to":100}"#,
    );
    let counters = Counters::default();
    let ask = |micros| {
        let moment: Moment = at(micros);
        reserve(&counters, &[need(&credit, 1, 0)], moment).1[0].left
    };
    let midnight = (12 + 20 * 24) * HOUR;
    assert_eq!(ask(0), 0);
    assert_eq!(ask(midnight + SECOND), 21);
    assert_eq!(ask(midnight - SECOND), 21);
    assert_eq!(ask(midnight + SECOND), 21);
}

/// Shows: what has left a window is restored as new, where nobody asked between its leaving and an orderly end.
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

/// Shows: who is to tell when half of a limit is used is never told, where settling brought it there and every request since is refused
/// (or a restart lies between): what is refused is not looked at.
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
