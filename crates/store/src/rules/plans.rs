//! What a change to a plan or a price means.

use keyward_core::{
    limit::{Limit, ModelPattern, Plan, PlanName, Price},
    snapshot::Revision,
};
use serde_json::json;

use super::{
    Entry,
    updates::{differences, seen_as_it_is},
};
use crate::{
    change::Subject,
    error::StoreError,
    plans::{PlanRecord, PriceRecord},
};

/// Plans, and prices, there are at most: all are looked through now and then.
pub(crate) const MOST: usize = 1_000;

/// Limits that can stand in one place.
pub(crate) fn limits_fit(limits: &[Limit]) -> Result<(), StoreError> {
    Limit::check_together(limits)
        .map_err(|unfit| StoreError::invalid(unfit.to_string(), "change the limits"))
}

fn one_more(what: &str, others: usize) -> Result<(), StoreError> {
    match others {
        0..MOST => Ok(()),
        _ => Err(StoreError::invalid(
            format!("there are {others} {what} already"),
            "delete those that are no longer needed",
        )),
    }
}

/// The plan as it shall be, beside `others`. `None` where it is so already.
pub(crate) fn plan(
    before: Option<&PlanRecord>,
    others: usize,
    after: &Plan,
    seen: Option<Revision>,
) -> Result<Option<Entry>, StoreError> {
    limits_fit(&after.limits)?;
    let subject = Subject::Plan(after.name.clone());
    let Some(before) = before else {
        if seen.is_some() {
            return Err(StoreError::NoSuchPlan(after.name.clone()));
        }
        one_more("plans", others)?;
        let entry =
            Entry { action: "plan.create", subject, before: None, after: Some(json!(after)) };
        return Ok(Some(entry));
    };
    seen_as_it_is(seen, before.revision)?;
    let differing = differences(&json!(before.plan), &json!(after));
    Ok(differing.map(|(before, after)| Entry {
        action: "plan.update",
        subject,
        before: Some(before),
        after: Some(after),
    }))
}

/// A plan that organizations are on stays, unless a profile's takes its place.
pub(crate) fn plan_deletion(
    before: Option<&PlanRecord>,
    name: &PlanName,
    seen: Option<Revision>,
    of_profile: bool,
) -> Result<Entry, StoreError> {
    let before = before.ok_or_else(|| StoreError::NoSuchPlan(name.clone()))?;
    seen_as_it_is(seen, before.revision)?;
    if before.organizations > 0 && !of_profile {
        let (plan, organizations) = (before.plan.name.clone(), before.organizations);
        return Err(StoreError::PlanInUse { plan, organizations });
    }
    Ok(Entry {
        action: "plan.delete",
        subject: Subject::Plan(before.plan.name.clone()),
        before: Some(json!(before.plan)),
        after: None,
    })
}

/// The price as it shall be, beside `others`. `None` where it is so already.
pub(crate) fn price(
    before: Option<&PriceRecord>,
    others: usize,
    after: &Price,
    seen: Option<Revision>,
) -> Result<Option<Entry>, StoreError> {
    let subject = Subject::Price(after.model.clone());
    let Some(before) = before else {
        if seen.is_some() {
            return Err(StoreError::NoSuchPrice(after.model.clone()));
        }
        one_more("prices", others)?;
        let entry =
            Entry { action: "price.create", subject, before: None, after: Some(json!(after)) };
        return Ok(Some(entry));
    };
    seen_as_it_is(seen, before.revision)?;
    let differing = differences(&json!(before.price), &json!(after));
    Ok(differing.map(|(before, after)| Entry {
        action: "price.update",
        subject,
        before: Some(before),
        after: Some(after),
    }))
}

/// Forgets a price.
pub(crate) fn price_deletion(
    before: Option<&PriceRecord>,
    model: &ModelPattern,
    seen: Option<Revision>,
) -> Result<Entry, StoreError> {
    let before = before.ok_or_else(|| StoreError::NoSuchPrice(model.clone()))?;
    seen_as_it_is(seen, before.revision)?;
    Ok(Entry {
        action: "price.delete",
        subject: Subject::Price(model.clone()),
        before: Some(json!(before.price)),
        after: None,
    })
}
