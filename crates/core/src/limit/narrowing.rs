//! Whether limits that shall stand somewhere leave less room than those that stand there, or more.

use super::{Bound, Limit};

impl Limit {
    /// Whether `after` in the place of `before` gives no more room, whatever is used: each limit of before stands, by its name, no
    /// higher and otherwise as it was. Others may come to it, for a limit only ever narrows.
    ///
    /// What cannot be compared by looking at it (another window, another period) counts as more room.
    pub fn only_narrows(before: &[Self], after: &[Self]) -> bool {
        before.iter().all(|before| after.iter().any(|after| after.is_within(before)))
    }

    /// Whether it is the same limit, and no higher.
    fn is_within(&self, other: &Self) -> bool {
        self.name == other.name
            && self.unit == other.unit
            && self.only == other.only
            && self.per == other.per
            && (self.cut_streams || !other.cut_streams)
            && self.bound.is_within(&other.bound)
    }
}

impl Bound {
    fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Rate { amount, window },
                Self::Rate { amount: before, window: window_before },
            ) => amount <= before && window == window_before,
            (Self::Concurrency { amount }, Self::Concurrency { amount: before }) => {
                amount <= before
            }
            (
                Self::Quota { amount, period, zone },
                Self::Quota { amount: before, period: period_before, zone: zone_before },
            ) => amount <= before && (period, zone) == (period_before, zone_before),
            (
                Self::Credit { amount, refill },
                Self::Credit { amount: before, refill: refill_before },
            ) => amount <= before && (refill.is_none() || refill == refill_before),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::LimitSource;

    fn limits(json: &str) -> Vec<Limit> {
        let sources: Vec<LimitSource> = serde_json::from_str(json).unwrap();
        sources.into_iter().map(|source| source.try_into().unwrap()).collect()
    }

    #[test]
    fn what_was_there_stays_and_is_no_higher() {
        let before = r#"[{"name": "a", "kind": "rate", "amount": 10, "window_seconds": 60},
            {"name": "b", "kind": "budget", "amount": "5", "period": "month"}]"#;
        let a = r#"{"name": "a", "kind": "rate", "amount": 10, "window_seconds": 60}"#;
        let b = r#"{"name": "b", "kind": "budget", "amount": "5", "period": "month"}"#;
        let c = r#"{"name": "c", "kind": "concurrency", "amount": 900}"#;
        let narrower = [
            format!("[{a}, {b}]"),
            format!("[{b}, {c}, {a}]"),
            format!("[{}, {b}]", a.replace("10", "9")),
            format!("[{a}, {}]", b.replace("\"5\"", "\"4.99\"")),
            format!("[{a}, {}]", b.replace('}', ", \"cut_streams\": true}")),
        ];
        for after in narrower {
            assert!(Limit::only_narrows(&limits(before), &limits(&after)), "{after}");
        }
        let wider = [
            "[]".to_owned(),
            format!("[{a}]"),
            format!("[{}, {b}]", a.replace("10", "11")),
            format!("[{}, {b}]", a.replace("60", "59")),
            format!("[{}, {b}]", a.replace("\"a\"", "\"d\"")),
            format!("[{}, {b}]", a.replace('}', ", \"unit\": \"tokens\"}")),
            format!("[{}, {b}]", a.replace('}', ", \"per\": [\"key\"]}")),
            format!("[{}, {b}]", a.replace('}', ", \"models\": [\"m\"]}")),
            format!("[{a}, {}]", b.replace("month", "week")),
            format!("[{a}, {}]", b.replace('}', ", \"time_zone\": \"Europe/Berlin\"}")),
        ];
        for after in wider {
            assert!(!Limit::only_narrows(&limits(before), &limits(&after)), "{after}");
        }
        assert!(Limit::only_narrows(&[], &limits(before)), "a limit only narrows");
    }

    #[test]
    fn a_credit_gets_no_more_by_itself() {
        let with = |refill: &str| {
            limits(&format!(
                r#"[{{"name": "a", "kind": "credit", "unit": "tokens", "amount": 9 {refill}}}]"#
            ))
        };
        let monthly = r#", "refill": {"amount": 3, "period": "month"}"#;
        let daily = r#", "refill": {"amount": 3, "period": "day"}"#;
        assert!(Limit::only_narrows(&with(monthly), &with("")));
        assert!(Limit::only_narrows(&with(monthly), &with(monthly)));
        assert!(!Limit::only_narrows(&with(""), &with(monthly)));
        assert!(!Limit::only_narrows(&with(monthly), &with(daily)));
    }
}
