//! What scopes are named by, as small numbers: a request carries bytes, not texts, and allocates none.
//!
//! Routes and organizations are as many as there are. What models are called is up to clients, so a core tells so many apart in a
//! minute, and counts the rest as [`OTHER`]. A number is given to another model when nothing of the minute and no request that is
//! under way has it.

use std::sync::Arc;

use hashbrown::HashMap;
use keyward_core::{policy::Api, route::Route, usage::OTHER};

/// Models that a core tells apart in one minute, with none and the others among them.
const MOST_MODELS: usize = 256;
/// No model's name is longer.
const LONGEST_MODEL: usize = 128;

/// API and route of a request. The first: no API was at the address.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Label(u32);

/// The organization of a request. The first: no key was recognized.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Owner(u32);

/// The model of a request. The first: none was named; the second: one of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Model(u16);

const OTHERS: Model = Model(1);

struct Named {
    text: Arc<str>,
    /// Requests under way that have it.
    tickets: u32,
    /// The minute that it was last counted in.
    minute: u64,
}

/// See the module.
pub(super) struct Names {
    routes: Vec<(Arc<str>, Arc<str>)>,
    owners: Vec<Arc<str>>,
    owner_of: HashMap<Arc<str>, Owner>,
    models: Vec<Named>,
    model_of: HashMap<Arc<str>, Model>,
}

impl Default for Names {
    fn default() -> Self {
        let named = |text: &str| Named { text: text.into(), tickets: 0, minute: 0 };
        Self {
            routes: vec![("".into(), "".into())],
            owners: vec!["".into()],
            owner_of: HashMap::new(),
            models: vec![named(""), named(OTHER)],
            model_of: HashMap::new(),
        }
    }
}

impl Names {
    pub(super) fn label(&mut self, api: &Api, route: Option<&Route>) -> Label {
        let pattern = route.map_or("", |route| route.pattern.as_str());
        // Few routes: a search by borrowed text needs no allocation, which a map's key would.
        let known = self
            .routes
            .iter()
            .position(|(name, text)| **name == *api.name.as_str() && **text == *pattern);
        if let Some(at) = known.and_then(|at| u32::try_from(at).ok()) {
            return Label(at);
        }
        let at = u32::try_from(self.routes.len()).unwrap_or_default();
        self.routes.push((api.name.as_str().into(), pattern.into()));
        Label(at)
    }

    pub(super) fn route_texts(&self, label: Label) -> (&str, &str) {
        let known = usize::try_from(label.0).ok().and_then(|at| self.routes.get(at));
        known.map_or(("", ""), |(api, route)| (api, route))
    }

    pub(super) fn route(&self, label: Label) -> (Arc<str>, Arc<str>) {
        let known = usize::try_from(label.0).ok().and_then(|at| self.routes.get(at));
        known.cloned().unwrap_or_default()
    }

    pub(super) fn owner(&mut self, organization: &str) -> Owner {
        if let Some(known) = self.owner_of.get(organization) {
            return *known;
        }
        let owner = Owner(u32::try_from(self.owners.len()).unwrap_or_default());
        let text: Arc<str> = organization.into();
        self.owners.push(text.clone());
        self.owner_of.insert(text, owner);
        owner
    }

    pub(super) fn organization(&self, owner: Owner) -> Arc<str> {
        let known = usize::try_from(owner.0).ok().and_then(|at| self.owners.get(at));
        known.cloned().unwrap_or_default()
    }

    /// The number of a model, for one request, which must [`release`](Self::release) it.
    pub(super) fn model(&mut self, name: &str, minute: u64) -> Model {
        let model = match self.model_of.get(name) {
            Some(known) => *known,
            None => self.new_model(name, minute),
        };
        if let Some(named) = self.models.get_mut(usize::from(model.0)) {
            named.tickets = named.tickets.saturating_add(1);
        }
        model
    }

    #[cold]
    fn new_model(&mut self, name: &str, minute: u64) -> Model {
        if name.is_empty() {
            return Model::default();
        }
        if name == OTHER || name.len() > LONGEST_MODEL {
            return OTHERS;
        }
        let named = Named { text: name.into(), tickets: 0, minute };
        let (at, before) = if self.models.len() < MOST_MODELS {
            self.models.push(named);
            (self.models.len() - 1, None)
        } else {
            let free = |named: &Named| named.tickets == 0 && named.minute != minute;
            let Some(at) = (2..self.models.len()).find(|at| self.models.get(*at).is_some_and(free))
            else {
                return OTHERS;
            };
            let before = self.models.get_mut(at).map(|place| std::mem::replace(place, named));
            (at, before)
        };
        if let Some(before) = before {
            self.model_of.remove(&before.text);
        }
        let model = Model(u16::try_from(at).unwrap_or(OTHERS.0));
        self.model_of.insert(name.into(), model);
        model
    }

    /// A request of this model is counted in this minute.
    pub(super) fn counted(&mut self, model: Model, minute: u64) {
        if let Some(named) = self.models.get_mut(usize::from(model.0)) {
            named.minute = minute;
        }
    }

    /// A request that had a model's number has ended.
    pub(super) fn release(&mut self, model: Model) {
        if let Some(named) = self.models.get_mut(usize::from(model.0)) {
            named.tickets = named.tickets.saturating_sub(1);
        }
    }

    pub(super) fn model_text(&self, model: Model) -> Arc<str> {
        self.models.get(usize::from(model.0)).map(|named| named.text.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &Names, model: Model) -> String {
        names.model_text(model).to_string()
    }

    #[test]
    fn models_beyond_the_bound_are_others_until_a_minute_has_passed() {
        let mut names = Names::default();
        let told_apart = MOST_MODELS - 2;
        for number in 0..told_apart + 10 {
            let name = format!("model-{number}");
            let model = names.model(&name, 7);
            names.counted(model, 7);
            names.release(model);
            let expected = if number < told_apart { name.as_str() } else { OTHER };
            assert_eq!(named(&names, model), expected);
        }
        let model = names.model("new", 8);
        assert_eq!(named(&names, model), "new");
        assert_eq!(names.models.len(), MOST_MODELS);
        assert_eq!(names.model_of.len(), told_apart);
    }

    #[test]
    fn a_request_that_lasts_keeps_its_models_name() {
        let mut names = Names::default();
        let lasting = names.model("lasting", 1);
        for minute in 2..5 {
            for number in 0..MOST_MODELS {
                let model = names.model(&format!("{minute}-{number}"), minute);
                names.counted(model, minute);
                names.release(model);
            }
        }
        assert_eq!(named(&names, lasting), "lasting");
        names.release(lasting);
        for number in 0..MOST_MODELS {
            let model = names.model(&format!("9-{number}"), 9);
            names.counted(model, 9);
            names.release(model);
        }
        assert_ne!(named(&names, lasting), "lasting", "its number went to another");
    }

    #[test]
    fn no_name_is_none_and_a_long_one_is_another() {
        let mut names = Names::default();
        for (name, expected) in [("", ""), (OTHER, OTHER), (&"x".repeat(200), OTHER), ("a", "a")] {
            let model = names.model(name, 1);
            assert_eq!(named(&names, model), expected);
        }
    }
}
