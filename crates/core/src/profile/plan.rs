//! Which plan holds for an organization at an API.

use super::Limits;
use crate::limit::{Plan, PlanName};

impl Limits {
    /// The plan that holds at an API of this profile for an organization that is on `on`; `made` are the plans that were made here.
    ///
    /// A plan that was made here takes the place of the profile's of its name. Who is on no plan, or on one that neither knows, is on the
    /// default one: a name that is gone from a profile must not let anybody use more.
    pub fn plan_of<'p>(&'p self, on: Option<&PlanName>, made: &'p [Plan]) -> Option<&'p Plan> {
        let named = |name: &PlanName| {
            let mut all = made.iter().chain(&self.plans);
            all.find(|plan| plan.name == *name)
        };
        on.and_then(named).or_else(|| self.default_plan.as_ref().and_then(named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str, amount: u64) -> Plan {
        let limits = format!(r#"[{{"name": "a", "kind": "concurrency", "amount": {amount}}}]"#);
        Plan { name: name.parse().unwrap(), limits: serde_json::from_str(&limits).unwrap() }
    }

    #[test]
    fn what_was_made_here_comes_first_and_the_default_last() {
        let profile = Limits {
            plans: vec![plan("Standard", 1), plan("Premium", 2)],
            default_plan: Some("Standard".parse().unwrap()),
            ..Limits::default()
        };
        let made = [plan("premium", 3), plan("Special", 4)];
        for (on, made, expected) in [
            (None, &[][..], Some(plan("Standard", 1))),
            (Some("premium"), &[], Some(plan("Premium", 2))),
            (Some("Premium"), &made, Some(plan("premium", 3))),
            (Some("Special"), &made, Some(plan("Special", 4))),
            (Some("Gone"), &made, Some(plan("Standard", 1))),
            (None, &[plan("standard", 5)], Some(plan("standard", 5))),
        ] {
            let on = on.map(|name: &str| name.parse().unwrap());
            assert_eq!(profile.plan_of(on.as_ref(), made), expected.as_ref(), "{on:?}");
        }
        let none = Limits::default();
        assert_eq!(none.plan_of(None, &made), None);
        assert_eq!(none.plan_of(Some(&"Gone".parse().unwrap()), &made), None);
        assert_eq!(none.plan_of(Some(&"special".parse().unwrap()), &made), Some(&made[1]));
    }
}
