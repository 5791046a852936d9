//! Streams that could pass a limit: as they write more than was set aside, more is set aside, and where there is no room they are ended
//! with an event that says so, in the profile's form.
//!
//! Only where a limit that applies asks for it (`cut_streams`). Elsewhere a stream goes on to its end, and what it used beyond its estimate
//! is counted when it is settled.

use keyward_core::{
    limit::counters::{Moment, Reservation},
    profile::RefusalContext,
    reserve::{self, Asking, Owner},
};

use crate::worker::Worker;

/// So many tokens are set aside at once at least: a step for each event would lock the counters as often.
const STEP: u64 = 64;

/// What of a request its refusal may show.
pub(crate) struct Words {
    pub(crate) request_id: Box<str>,
    pub(crate) method: Box<str>,
    pub(crate) path: Box<str>,
}

/// A stream whose limits end it.
pub(crate) struct Stretch {
    owner: Owner,
    api: Box<str>,
    route: Box<str>,
    model: Option<Box<str>>,
    calls_any_model: bool,
    /// Tokens that are set aside to be written.
    allowed: u64,
    words: Words,
}

impl Stretch {
    pub(crate) fn new(owner: Owner, asking: &Asking<'_>, allowed: u64, words: Words) -> Self {
        Self {
            owner,
            api: asking.api.name.as_str().into(),
            route: asking.route.into(),
            model: asking.model.map(Into::into),
            calls_any_model: asking.calls_any_model,
            allowed,
            words,
        }
    }

    /// It has written so much. Gives what was set aside besides, or the body of the refusal that ends it.
    pub(crate) fn reach(
        &mut self,
        worker: &Worker,
        written: u64,
        now: Moment,
    ) -> Result<Option<Reservation>, String> {
        let Some(beyond) = written.checked_sub(self.allowed).filter(|beyond| *beyond > 0) else {
            return Ok(None);
        };
        let snapshot = worker.snapshot();
        // Gone from the configuration meanwhile: what began goes on.
        let Some(api) = snapshot.policy().api(&self.api) else { return Ok(None) };
        let asking = Asking {
            caller: self.owner.whose(),
            api,
            route: &self.route,
            model: self.model.as_deref(),
            calls_any_model: self.calls_any_model,
        };
        let try_for = |more| reserve::extend(&snapshot, &worker.counters, &asking, more, now);
        // The last of the room is used up as well.
        let step = beyond + STEP.max(self.allowed / 4);
        let (more, extended) = match try_for(step) {
            Ok(reservation) => (step, Ok(reservation)),
            Err(_) => (beyond, try_for(beyond)),
        };
        let reservation = extended.map_err(|denial| {
            let Words { request_id, method, path } = &self.words;
            let context = RefusalContext {
                request_id,
                now: now.wall,
                method,
                path,
                header: api.profile.key_header(),
                problem: false,
            };
            api.profile.refusals.render(&denial, &context).body
        })?;
        self.allowed += more;
        Ok(Some(reservation))
    }
}
