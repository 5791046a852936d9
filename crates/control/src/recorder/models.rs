//! Which models usage tells apart.
//!
//! What a model is called is up to clients, and each name is a row of each grain, of which days are kept for years. So a name counts as
//! itself only once the upstream answered a request for it, below 400, in the same organization: made-up names mostly do not get so far.
//! Where they do, an organization has so many names at a time, and all together have so many. Whatever else is named counts as [`OTHER`];
//! no request is lost by it, and tokens and cost are what they were.
//!
//! Known names are those of this process since its start: after it, what is refused of a model counts as [`OTHER`] until one answer came.
//! Rejected: only models that have a price or that a key is confined to; many have neither, and both can be patterns that fit any name.

use std::{collections::HashMap, sync::Arc};

use keyward_core::usage::{OTHER, UsageScope};

/// Names that an organization has at a time.
const MOST_EACH: usize = 256;
/// Names in all.
const MOST: usize = 200_000;
const MINUTES_PER_DAY: u64 = 24 * 60;

/// See the module.
#[derive(Default)]
pub(super) struct Models {
    /// By organization, and name; with the last day that they were named on.
    known: HashMap<Arc<str>, HashMap<Arc<str>, u64>>,
    total: usize,
    day: u64,
}

impl Models {
    /// Learns from a request that an upstream answered.
    pub(super) fn learn(&mut self, scope: &UsageScope) {
        if scope.reason.is_some() || scope.status >= 400 || scope.model.is_empty() {
            return;
        }
        let day = scope.minute / MINUTES_PER_DAY;
        if day > self.day {
            self.turn(day);
        }
        let all = self.total;
        let known = self.known.entry(scope.organization.clone()).or_default();
        let has_room = known.len() < MOST_EACH && all < MOST;
        if has_room && known.insert(scope.model.clone(), day).is_none() {
            self.total += 1;
        }
    }

    /// As which model requests of the scope count.
    pub(super) fn told(&mut self, scope: &UsageScope) -> Arc<str> {
        if scope.model.is_empty() {
            return scope.model.clone();
        }
        let known = self.known.get_mut(&scope.organization);
        match known.and_then(|known| known.get_mut(&scope.model)) {
            Some(last) => {
                *last = (*last).max(scope.minute / MINUTES_PER_DAY);
                scope.model.clone()
            }
            None => OTHER.into(),
        }
    }

    /// Another day begins: who was named neither on the one before nor since is forgotten.
    fn turn(&mut self, day: u64) {
        self.day = day;
        self.known.retain(|_, names| {
            names.retain(|_, last| *last + 1 >= day);
            !names.is_empty()
        });
        self.total = self.known.values().map(HashMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use keyward_core::verdict::Reason;

    use super::*;

    fn scope(organization: &str, model: &str, status: u16, day: u64) -> UsageScope {
        UsageScope {
            minute: day * MINUTES_PER_DAY,
            organization: organization.into(),
            model: model.into(),
            status,
            ..UsageScope::default()
        }
    }

    fn told(models: &mut Models, scope: &UsageScope) -> String {
        models.learn(scope);
        models.told(scope).to_string()
    }

    #[test]
    fn a_name_counts_as_itself_once_it_was_answered_for_in_its_organization() {
        let mut models = Models::default();
        for (organization, model, status, expected) in [
            ("acme", "small", 404, OTHER),
            ("acme", "small", 200, "small"),
            ("acme", "small", 500, "small"),
            ("beta", "small", 429, OTHER),
            ("acme", "", 200, ""),
        ] {
            let scope = scope(organization, model, status, 1);
            assert_eq!(told(&mut models, &scope), expected, "{organization} {model} {status}");
        }
        let refused =
            UsageScope { reason: Some(Reason::RateLimited), ..scope("beta", "big", 200, 1) };
        assert_eq!(told(&mut models, &refused), OTHER, "Keyward's answer is none of the upstream");
    }

    #[test]
    fn made_up_names_that_are_answered_are_bounded_and_those_in_use_stay() {
        let mut models = Models::default();
        for day in 1..4 {
            assert_eq!(told(&mut models, &scope("acme", "real", 200, day)), "real");
            let made_up =
                (0..1000).map(|number| scope("acme", &format!("{day}-{number}"), 200, day));
            let names = made_up.map(|scope| told(&mut models, &scope));
            let apart: std::collections::HashSet<_> = names.collect();
            assert!(apart.len() <= MOST_EACH, "{} on day {day}", apart.len());
        }
        assert_eq!(told(&mut models, &scope("beta", "real", 200, 3)), "real");
        assert_eq!(models.total, models.known.values().map(HashMap::len).sum::<usize>());
        told(&mut models, &scope("beta", "real", 200, 5));
        assert_eq!(models.total, 1, "who is named no more is forgotten");
        for number in 0..MOST + 10 {
            told(&mut models, &scope(&format!("org{number}"), "real", 200, 5));
        }
        assert_eq!(models.total, MOST);
    }
}
