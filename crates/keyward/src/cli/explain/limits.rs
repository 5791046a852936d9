//! The last step of `keyward explain`: whether the limits that apply to the request have room for it.
//!
//! It is asked as a gateway asks, but of what its counters had saved: nothing is taken away by it.

use std::sync::Arc;

use keyward_api::HeaderView;
use keyward_control::keeper;
use keyward_core::{
    credential::Headers as _,
    decide::Request,
    declared,
    explain::Step,
    limit::LimitName,
    metering::{Body, estimate::beforehand},
    reserve::{self, Asking, Foreseen},
    route::RouteMatch,
    snapshot::{Revision, Snapshot},
    time::Timestamp,
    verdict::{Denial, Permit},
};

use crate::site::Site;

const CHECK: &str = "limits";

/// What the limits say.
pub(super) struct Found {
    pub(super) steps: Vec<Step>,
    pub(super) denial: Option<Box<Denial>>,
    /// What an answer tells of them.
    pub(super) headers: Vec<HeaderView>,
}

/// Asks the limits that apply to a request that would pass otherwise.
pub(super) async fn ask(
    site: &Site,
    snapshot: &Snapshot,
    request: &Request<'_, [(String, String)]>,
    permit: &Permit,
    body: Option<&[u8]>,
    now: Timestamp,
) -> anyhow::Result<Found> {
    let api = request.api;
    let route = match api.routes.find(request.method, request.path) {
        RouteMatch::Found(route) => Some(route),
        _ => None,
    };
    let upgrades = request.headers.values("upgrade").next().is_some();
    let asking = Asking {
        caller: permit.whose(),
        api,
        route: route.map_or("", |route| route.pattern.as_str()),
        model: permit.model(),
        calls_any_model: route
            .is_some_and(|route| route.calls_any_model(request.method, upgrades, permit.model())),
    };
    let body = body.unwrap_or_default();
    let length = u64::try_from(body.len()).ok();
    let body = Body::new(declared::form(request.headers), Some(body), length);
    let price = permit.model().and_then(|model| reserve::price(snapshot, model));
    let known = beforehand(api, route, body, price.and_then(|price| price.most_output));
    let estimate = known.as_ref().map(|(estimate, _)| estimate);

    let store = site.folder.store();
    let counting = keeper::saved(&*store, Arc::new(move || now)).await?;
    let runs_elsewhere = !store.nodes(Revision::ZERO).await?.is_empty();
    let (counters, moment) = (&counting.counters, counting.now());
    let mut limits = Vec::new();
    reserve::look(snapshot, counters, &asking, moment, |stand| {
        limits.extend(stand.in_words(runs_elsewhere).map(|(limit, passed, what)| {
            (limit.name.clone(), Step { check: CHECK, passed, what })
        }));
    });
    if limits.is_empty() {
        let what = "none applies".to_owned();
        let steps = vec![Step { check: CHECK, passed: true, what }];
        return Ok(Found { steps, denial: None, headers: vec![] });
    }
    let mut lines = Vec::new();
    let is_masked = api.profile.metering.is_masked(request.query, request.headers);
    let foreseen = || Foreseen::of(api, route, estimate, upgrades, is_masked);
    let reserved = reserve::reserve(snapshot, counters, &asking, foreseen, moment, |stand| {
        stand.write_headers(&mut lines, api, now);
    });
    let denial = reserved.err();
    // The one that refuses is told last, in its own words; of several of its name it is one that has nothing left.
    if let Some(refusing) = denial.as_ref().and_then(|denial| denial.limit.as_deref()) {
        let is_named = |(name, _): &(LimitName, Step)| name.as_str() == refusing;
        let is_used_up = |limit: &(LimitName, Step)| is_named(limit) && !limit.1.passed;
        let at = limits.iter().position(is_used_up).or_else(|| limits.iter().position(is_named));
        at.map(|at| limits.remove(at));
    }
    let mut steps: Vec<Step> = limits.into_iter().map(|(_, step)| step).collect();
    if let Some(denial) = &denial {
        let what = denial.detail.to_string();
        steps.push(Step { check: CHECK, passed: false, what });
    }
    let lines = String::from_utf8_lossy(&lines);
    let headers = lines.lines().filter_map(|line| line.split_once(": "));
    let header = |(name, value): (&str, &str)| HeaderView {
        name: name.to_ascii_lowercase(),
        value: value.to_owned(),
    };
    Ok(Found { steps, denial, headers: headers.map(header).collect() })
}
