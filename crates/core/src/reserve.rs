//! Reserving: between the decision and the upstream, every limit that applies to a request must have room for it.
//!
//! Four places hold limits: the API, the plan that the organization is on, the organization and the key. All that apply are asked at
//! once, all or nothing ([`crate::limit::counters`]). What a request will use is estimated before, from above where a limit counts
//! tokens or money, and settled after.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    directory::{OrganizationLimits, OrganizationSlot, Restrictions},
    id::KeyId,
    key::Key,
    limit::{
        Bound, Dimension, Limit, Plan, Price, Unit,
        applied::{Applied, CounterId, Facts, Place, tag},
        counters::{Counters, Moment, Need, Reservation, Wait, Watched},
        headers,
    },
    metering::{self, Metered, Unknown},
    money::Money,
    organization::Organization,
    policy::{Api, Policy},
    route::Route,
    snapshot::Snapshot,
    time::Timestamp,
    verdict::{Denial, Permit, Reason},
};

/// What a request is estimated to use, from above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Tokens that are read.
    pub input: u64,
    /// Tokens that are written.
    pub output: u64,
}

/// What a request is foreseen to use of what limits count beside requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreseen {
    /// Neither tokens nor money.
    Nothing,
    /// What its answer tells; limits must have some room for it.
    Told,
    /// No more than this.
    AtMost(Estimate),
    /// Nobody can say, for this reason.
    Unknown(Unknown),
}

impl Foreseen {
    /// Of a request of this route, of which so much is estimated, where it is; `upgrades` says whether it asks for another protocol,
    /// `is_masked` whether for a part of its answer ([`metering::Metering::is_masked`]).
    pub fn of(
        api: &Api,
        route: Option<&Route>,
        estimate: Option<&metering::Estimate>,
        upgrades: bool,
        is_masked: bool,
    ) -> Self {
        let Some(route) = route else { return Self::Nothing };
        let is_metered = !api.profile.metering.is_empty();
        match (route.metered, estimate) {
            _ if upgrades && (is_metered || route.names_a_model()) => {
                Self::Unknown(Unknown::Upgrade)
            }
            (Metered::Told | Metered::Input | Metered::Both, Some(_)) if is_masked => {
                Self::Unknown(Unknown::Masked)
            }
            (Metered::Unknown, _) => Self::Unknown(Unknown::Uncounted),
            (Metered::Told, Some(_)) => Self::Told,
            (_, Some(metering::Estimate { unknown: Some(why), .. })) => Self::Unknown(*why),
            (_, Some(metering::Estimate { read, written, .. })) => {
                Self::AtMost(Estimate { input: *read, output: *written })
            }
            // A model is called, and nothing is known of the API's answers.
            (Metered::Input | Metered::Both, None) => Self::Unknown(Unknown::Uncounted),
            (Metered::No | Metered::Told, None) => Self::Nothing,
        }
    }
}

/// A request, as far as limits ask.
pub struct Asking<'a> {
    /// Whose it is.
    pub caller: Whose<'a>,
    /// The API it reached.
    pub api: &'a Api,
    /// The pattern of its route.
    pub route: &'a str,
    /// The model it names.
    pub model: Option<&'a str>,
    /// It names none, and could call any: limits that are confined to models count it.
    pub calls_any_model: bool,
}

/// Whose request it is: what its limits are looked up by.
#[derive(Clone, Copy)]
pub struct Whose<'a> {
    key: KeyId,
    organization: OrganizationSlot,
    limits: &'a [Applied],
}

impl<'a> Whose<'a> {
    /// By the key's restrictions, where its own limits stand.
    pub(crate) fn new(
        key: KeyId,
        organization: OrganizationSlot,
        restrictions: Option<&'a Restrictions>,
    ) -> Self {
        Self { key, organization, limits: restrictions.map_or(&[], |own| &own.limits) }
    }
}

/// [`Whose`], for what lasts longer than the decision.
#[derive(Clone, Debug)]
pub struct Owner {
    key: KeyId,
    organization: OrganizationSlot,
    restrictions: Option<Arc<Restrictions>>,
}

impl Owner {
    /// Whose request it is.
    pub fn whose(&self) -> Whose<'_> {
        Whose::new(self.key, self.organization, self.restrictions.as_deref())
    }
}

impl Permit {
    /// Whose request was let pass, to be kept.
    pub fn owner(&self) -> Owner {
        let restrictions = self.restrictions.clone();
        Owner { key: self.key(), organization: self.organization(), restrictions }
    }

    /// Whose request was let pass.
    pub fn whose(&self) -> Whose<'_> {
        Whose::new(self.key(), self.organization(), self.restrictions.as_deref())
    }
}

/// How the limits stand that apply to a request, for who is told.
pub struct Stand<'s>(&'s [Need<'s>]);

impl Stand<'_> {
    /// Each limit, whether there is anything left of it, and how much, as people read it. While a gateway `runs_elsewhere`, it alone
    /// knows that of some.
    pub fn in_words(&self, runs_elsewhere: bool) -> impl Iterator<Item = (&Limit, bool, String)> {
        self.0.iter().map(move |need| {
            let (limit, left) = (need.limit.limit(), need.standing.left);
            let (name, allows) = (&limit.name, need.limit.in_words());
            if runs_elsewhere && !limit.bound.is_saved() {
                let words = format!("`{name}`: {allows}; the running gateway knows what is left");
                return (limit, true, words);
            }
            let told = match limit.unit {
                Unit::Cost => Money::from_billionths(left).to_string(),
                _ => left.to_string(),
            };
            (limit, left > 0, format!("`{name}`: {told} left of {allows}"))
        })
    }

    /// Writes them as header lines, in the profile's form and the standard one.
    pub fn write_headers(&self, out: &mut Vec<u8>, api: &Api, now: Timestamp) {
        let all = self.0.iter().map(|need| (need.limit, &need.standing));
        headers::write(out, &api.profile.limits, all, now);
    }

    /// Whether one of them ends streams that would pass it.
    pub fn cuts_streams(&self) -> bool {
        self.0.iter().any(|need| need.limit.limit().cut_streams)
    }
}

/// Sets aside what the request may use, in every limit that applies or in none. `told` hears how they stand, where any applies. What
/// the request is foreseen to use is asked for only where tokens or money are limited.
pub fn reserve(
    snapshot: &Snapshot,
    counters: &Counters,
    asking: &Asking<'_>,
    foreseen: impl FnOnce() -> Foreseen,
    now: Moment,
    told: impl FnOnce(Stand<'_>),
) -> Result<Reservation, Box<Denial>> {
    with_needs(snapshot, asking, |needs, organization| {
        if needs.is_empty() {
            return Ok(Reservation::default());
        }
        fill(needs, organization, asking.model, foreseen)?;
        let reservation = counters.reserve(needs, now);
        told(Stand(needs));
        watch(counters, needs, asking);
        reservation.ok_or_else(|| {
            let mut denial = refusal(needs, Asked::AtFirst);
            denial.key_id = Some(asking.caller.key);
            denial.known_key = Some(asking.caller.key);
            denial.known_organization = Some(asking.caller.organization);
            denial
        })
    })
    .unwrap_or_else(|| Err(gone()))
}

/// Sets aside that a stream under way writes so many tokens more, in the limits that would end it otherwise.
pub fn extend(
    snapshot: &Snapshot,
    counters: &Counters,
    asking: &Asking<'_>,
    more: u64,
    now: Moment,
) -> Result<Reservation, Box<Denial>> {
    with_needs(snapshot, asking, |needs, organization| {
        needs.retain(|need| need.limit.limit().cut_streams);
        for need in &mut *needs {
            need.amount = match need.limit.limit().unit {
                Unit::Requests | Unit::InputTokens => 0,
                Unit::Tokens | Unit::OutputTokens => more,
                Unit::Cost => {
                    organization.price.map_or(0, |price| price.more_at_most(more).billionths())
                }
            };
        }
        needs.retain(|need| need.amount > 0);
        let reservation = counters.reserve(needs, now);
        watch(counters, needs, asking);
        reservation.ok_or_else(|| refusal(needs, Asked::More))
    })
    .unwrap_or_else(|| Err(gone()))
}

/// Takes note of limits of which half is used now, for who tells of that.
fn watch(counters: &Counters, needs: &[Need<'_>], asking: &Asking<'_>) {
    for need in needs.iter().filter(|need| need.standing.is_newly_half_used) {
        counters.watch(Watched {
            counter: need.counter,
            limit: need.limit.clone(),
            organization: asking.caller.organization,
            key: need.limit.is_of_a_key().then_some(asking.caller.key),
        });
    }
}

/// How the limits stand that apply to such a request, without making one.
pub fn look(
    snapshot: &Snapshot,
    counters: &Counters,
    asking: &Asking<'_>,
    now: Moment,
    told: impl FnOnce(Stand<'_>),
) {
    with_needs(snapshot, asking, |needs, _| {
        if !needs.is_empty() {
            counters.look(needs, now);
            told(Stand(needs));
        }
    });
}

/// What a model costs, where that is said.
pub fn price(snapshot: &Snapshot, model: &str) -> Option<Arc<Price>> {
    snapshot.directory().price(model)
}

/// A limit that applies to requests of a key or an organization at an API, for who looks at it without a request.
pub struct Placed {
    /// The limit.
    pub limit: Applied,
    /// Where it counts; `None` where it counts routes or models apart, or each key.
    pub counter: Option<CounterId>,
}

/// The limits that apply at an API, from what is kept: of a key, or of its organization as a whole.
pub fn limits_at(
    policy: &Policy,
    api: &Api,
    plans: &[Plan],
    organization: &Organization,
    key: Option<&Key>,
) -> Vec<Placed> {
    let facts = Facts {
        organization: tag(organization.id.as_str().as_bytes()),
        key: key.map_or(KeyId::from_bits([0; 16]), |key| key.id),
        api: api.number,
        route: "",
        model: None,
        calls_any_model: false,
        priced: None,
    };
    let counter = |limit: &Applied| {
        let apart = |one: &Dimension| matches!(one, Dimension::Route | Dimension::Model);
        let is_nobodys = limit.is_of_a_key() && key.is_none();
        let told = !is_nobodys && !limit.limit().per.iter().any(apart);
        told.then(|| limit.counter(&facts))
    };
    let mut all: Vec<Applied> = Vec::new();
    if let Some(of_api) = policy.limits(api) {
        all.extend(of_api.own.iter().cloned());
        let plan = api.profile.limits.plan_of(organization.plan.as_ref(), plans);
        let of_plan = plan.map(|plan| {
            let name = plan.name.folded();
            match plans.iter().any(|made| made.name == plan.name) {
                true => Applied::all(&plan.limits, Place::Plan(&name)),
                false => of_api.plan(&name).unwrap_or_default().into(),
            }
        });
        all.extend(of_plan.unwrap_or_default());
    }
    all.extend(Applied::all(&organization.limits, Place::Organization(&organization.id)));
    if let Some(key) = key {
        all.extend(Applied::all(&key.limits, Place::Key(key.id)));
    }
    all.retain(|limit| limit.is_at(api.number));
    all.into_iter().map(|limit| Placed { counter: counter(&limit), limit }).collect()
}

type Needs<'n> = SmallVec<[Need<'n>; 4]>;

/// Gathers the limits that apply; what they need stands at nothing.
fn with_needs<R>(
    snapshot: &Snapshot,
    asking: &Asking<'_>,
    then: impl FnOnce(&mut Needs<'_>, &OrganizationLimits<'_>) -> R,
) -> Option<R> {
    let Asking { caller, api, route, model, calls_any_model } = *asking;
    let of_api = snapshot.policy().limits(api)?;
    let has_default = of_api.default_plan.is_some();
    snapshot.directory().with_limits(caller.organization, has_default, model, |organization| {
        // As `profile::Limits::plan_of` says it.
        let made = |name: &str| organization.plans.and_then(|plans| plans.limits(name));
        let named = |name: &str| made(name).or_else(|| of_api.plan(name));
        let default = || of_api.default_plan.as_deref().and_then(named);
        let of_plan = organization.plan.and_then(named).or_else(default).unwrap_or_default();
        let facts = Facts {
            organization: organization.tag,
            key: caller.key,
            api: api.number,
            route,
            model,
            calls_any_model,
            priced: organization.price.map(|price| &price.model),
        };
        let mut needs = Needs::new();
        for limit in [&of_api.own, of_plan, organization.own, caller.limits].into_iter().flatten() {
            if limit.applies_to(&facts) {
                needs.push(Need::new(limit, limit.counter(&facts), 0));
            }
        }
        then(&mut needs, &organization)
    })
}

/// Says how much is needed of each.
fn fill(
    needs: &mut [Need<'_>],
    organization: &OrganizationLimits<'_>,
    model: Option<&str>,
    foreseen: impl FnOnce() -> Foreseen,
) -> Result<(), Box<Denial>> {
    let counts = |need: &Need<'_>| need.limit.limit().unit != Unit::Requests;
    let foreseen = if needs.iter().any(counts) { foreseen() } else { Foreseen::Nothing };
    for need in needs {
        let limit = need.limit.limit();
        need.amount = match (limit.unit, foreseen) {
            (Unit::Requests, _) => 1,
            (_, Foreseen::Nothing) => 0,
            (_, Foreseen::Unknown(why)) => return Err(unknown(why, limit)),
            (Unit::Cost, _) => {
                let price = organization.price.ok_or_else(|| unpriced(model, limit))?;
                match foreseen {
                    Foreseen::AtMost(Estimate { input, output }) => {
                        price.at_most(input, output).billionths()
                    }
                    _ => 1,
                }
            }
            (_, Foreseen::Told) => 1,
            (Unit::Tokens, Foreseen::AtMost(Estimate { input, output })) => {
                input.saturating_add(output)
            }
            (Unit::InputTokens, Foreseen::AtMost(estimate)) => estimate.input,
            (Unit::OutputTokens, Foreseen::AtMost(estimate)) => estimate.output,
        };
    }
    Ok(())
}

fn unknown(why: Unknown, limit: &Limit) -> Box<Denial> {
    let counted = if limit.unit == Unit::Cost { "money" } else { "tokens" };
    let detail = format!("{why} The limit `{}` counts {counted}.", limit.name);
    let mut denial = Denial::new(Reason::UnknownUse, detail);
    denial.limit = Some(limit.name.as_str().into());
    Box::new(denial)
}

fn unpriced(model: Option<&str>, limit: &Limit) -> Box<Denial> {
    let detail = match model {
        Some(model) => format!(
            "The model `{model}` has no price, and the limit `{}` counts money; choose another model.",
            limit.name
        ),
        None => format!(
            "The request names no model that has a price, and the limit `{}` counts money.",
            limit.name
        ),
    };
    let mut denial = Denial::new(Reason::UnpricedModel, detail);
    denial.value = model.map(Into::into);
    denial.limit = Some(limit.name.as_str().into());
    Box::new(denial)
}

/// When a limit was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// For a whole request, which could have asked for less.
    AtFirst,
    /// For what a stream goes on to write.
    More,
}

/// Words the refusal by the limit that has no room for the longest time.
fn refusal(needs: &[Need<'_>], asked: Asked) -> Box<Denial> {
    let refusing = needs.iter().filter_map(|need| Some((need, need.standing.refused?)));
    let longest = refusing.max_by_key(|(_, wait)| match wait {
        Wait::For(wait) => (false, *wait),
        Wait::Never => (true, std::time::Duration::ZERO),
    });
    let Some((need, wait)) = longest else { return gone() };
    let limit = need.limit.limit();
    let (name, words) = (&limit.name, need.limit.in_words());
    let too_much = asked == Asked::AtFirst
        && need.amount > need.standing.amount
        && !matches!(limit.bound, Bound::Credit { .. });
    let (reason, detail) = match (&limit.bound, limit.unit) {
        _ if too_much => (
            Reason::ExceedsLimit,
            format!(
                "The request may use {}, and the limit `{name}` allows {words}; ask for less.",
                amount(need.amount, limit.unit)
            ),
        ),
        (Bound::Rate { .. }, _) => {
            (Reason::RateLimited, format!("The limit `{name}` of {words} is reached."))
        }
        (Bound::Concurrency { .. }, _) => {
            (Reason::ConcurrencyLimited, format!("The limit `{name}` of {words} is reached."))
        }
        (Bound::Quota { .. }, Unit::Cost) => (
            Reason::BudgetExhausted,
            format!("The budget `{name}` of {words} has no room for this request."),
        ),
        (Bound::Quota { .. }, _) => (
            Reason::QuotaExhausted,
            format!("The quota `{name}` of {words} has no room for this request."),
        ),
        (Bound::Credit { .. }, _) => {
            (Reason::CreditExhausted, format!("The credit `{name}` has no room for this request."))
        }
    };
    let mut denial = Denial::new(reason, detail);
    denial.retry_after = match (wait, &limit.bound) {
        (Wait::For(wait), _) => Some(wait),
        // More than a window holds: at the latest when it is empty, a stream can go on for a while.
        (Wait::Never, Bound::Rate { window, .. }) if asked == Asked::More => Some(*window),
        (Wait::Never, _) => None,
    };
    denial.limit = Some(name.as_str().into());
    Box::new(denial)
}

fn amount(amount: u64, unit: Unit) -> String {
    match unit {
        Unit::Requests => format!("{amount} requests"),
        Unit::Cost => Money::from_billionths(amount).to_string(),
        Unit::Tokens | Unit::InputTokens | Unit::OutputTokens => format!("{amount} tokens"),
    }
}

fn gone() -> Box<Denial> {
    Box::new(Denial::new(Reason::Internal, "The limits of the request could not be found."))
}
