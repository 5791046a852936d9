//! Plans and prices: what organizations may use, and what models cost. Both are who runs this Keyward's.
//!
//! The plans of profiles are told of beside those that were made here, and are not changed: one that is made with the same name takes
//! the place of a profile's. Members see the plans that hold for their organization, and no others: what somebody else agreed is theirs.

use std::collections::BTreeMap;

use keyward_api::{PlanView, PriceView};
use keyward_core::{
    id::OrganizationId,
    limit::{Limit, ModelPattern, Plan, PlanName, Price},
    member::Right,
    policy::Api,
    profile::Profile,
};
use keyward_store::{Change, PlanChange, PlanRecord, Revision, StoreError};

use super::Control;
use crate::{context::Context, error::ControlError, limits};

impl Control {
    /// All plans: those that were made here, by name, then those of profiles that none of them takes the place of.
    pub async fn list_plans(&self, context: &Context) -> Result<Vec<PlanView>, ControlError> {
        context.require_operator()?;
        let made = self.store.plans().await?;
        let mut views: Vec<_> = made.iter().map(|record| self.made_plan(record)).collect();
        for (profile, apis) in self.profiles() {
            let brings = profile.limits.plans.iter();
            let own = brings.filter(|plan| made.iter().all(|one| one.plan.name != plan.name));
            views.extend(own.map(|plan| profiles_plan(profile, plan, &apis)));
        }
        Ok(views)
    }

    /// One of them; of several profiles' of one name, the first.
    pub async fn show_plan(
        &self,
        context: &Context,
        name: &PlanName,
    ) -> Result<PlanView, ControlError> {
        let all = self.list_plans(context).await?;
        let is_it = |view: &PlanView| view.name.parse::<PlanName>().is_ok_and(|one| one == *name);
        let found = all.into_iter().find(is_it);
        Ok(found.ok_or_else(|| StoreError::NoSuchPlan(name.clone()))?)
    }

    /// The plans that hold for an organization, each with the APIs at which it does.
    pub async fn list_organization_plans(
        &self,
        context: &Context,
        id: &OrganizationId,
    ) -> Result<Vec<PlanView>, ControlError> {
        context.require(Right::ReadOrganization, id)?;
        let on = self.existing_organization(id).await?.plan;
        let made = self.store.plans().await?;
        let plans: Vec<Plan> = made.iter().map(|record| record.plan.clone()).collect();
        let mut views: Vec<PlanView> = Vec::new();
        for api in self.limited_apis() {
            let Some(plan) = api.profile.limits.plan_of(on.as_ref(), &plans) else { continue };
            let of_store = made.iter().find(|record| record.plan.name == plan.name);
            let mut view = match of_store {
                // How many others are on it is not theirs to know.
                Some(record) => PlanView { organizations: None, ..self.made_plan(record) },
                None => profiles_plan(&api.profile, plan, &[]),
            };
            let same = views
                .iter_mut()
                .find(|one| (&one.name, &one.profile) == (&view.name, &view.profile));
            match same {
                Some(same) => same.apis.push(api.name.to_string()),
                None => {
                    view.apis = vec![api.name.to_string()];
                    views.push(view);
                }
            }
        }
        Ok(views)
    }

    /// Makes a plan, or gives the one of this name other limits. With `seen`, a plan that was changed since is left alone.
    pub async fn put_plan(
        &self,
        context: &Context,
        name: PlanName,
        limits: Vec<Limit>,
        seen: Option<Revision>,
    ) -> Result<PlanView, ControlError> {
        context.require_operator()?;
        limits::check(&self.policy, &limits)?;
        let plan = Plan { name: name.clone(), limits };
        let change = Change::Plan(PlanChange::Put { plan, seen });
        self.store.commit(&context.actor, context.now, change).await?;
        self.show_plan(context, &name).await
    }

    /// Forgets a plan that no organization is on, or in whose place a profile's comes. With `seen`, a plan that was changed since is
    /// left alone.
    pub async fn delete_plan(
        &self,
        context: &Context,
        name: PlanName,
        seen: Option<Revision>,
    ) -> Result<(), ControlError> {
        context.require_operator()?;
        let of_profile = self.is_of_profile(&name);
        let delete = PlanChange::Delete { name: name.clone(), seen, of_profile };
        match self.store.commit(&context.actor, context.now, Change::Plan(delete)).await {
            Err(StoreError::NoSuchPlan(_)) if of_profile => Err(ControlError::invalid(
                format!("plan `{name}` is a profile's, and is not deleted"),
                "make a plan of this name to take its place, or change the profile",
            )),
            done => Ok(done.map(drop)?),
        }
    }

    /// What models cost, by model.
    pub async fn list_prices(&self, context: &Context) -> Result<Vec<PriceView>, ControlError> {
        context.require_operator()?;
        Ok(self.store.prices().await?.iter().map(limits::price_view).collect())
    }

    /// Says what a model costs. With `seen`, a price that was changed since is left alone.
    pub async fn put_price(
        &self,
        context: &Context,
        price: Price,
        seen: Option<Revision>,
    ) -> Result<PriceView, ControlError> {
        context.require_operator()?;
        let model = price.model.clone();
        let change = Change::Plan(PlanChange::PutPrice { price, seen });
        self.store.commit(&context.actor, context.now, change).await?;
        let held = self.store.prices().await?;
        let held = held.iter().find(|record| record.price.model == model);
        Ok(held.map(limits::price_view).ok_or(StoreError::NoSuchPrice(model))?)
    }

    /// Forgets what a model costs. With `seen`, a price that was changed since is left alone.
    pub async fn delete_price(
        &self,
        context: &Context,
        model: &str,
        seen: Option<Revision>,
    ) -> Result<(), ControlError> {
        context.require_operator()?;
        let model: ModelPattern = model
            .parse()
            .map_err(|error| ControlError::invalid(format!("{error}"), "name a price's model"))?;
        let change = Change::Plan(PlanChange::DeletePrice { model, seen });
        Ok(self.store.commit(&context.actor, context.now, change).await.map(drop)?)
    }

    /// Whether some API's profile brings a plan of this name.
    pub(super) fn is_of_profile(&self, name: &PlanName) -> bool {
        self.limited_apis().any(|api| api.profile.limits.plans.iter().any(|one| one.name == *name))
    }

    /// APIs at which limits count: every one but Keyward's own.
    fn limited_apis(&self) -> impl Iterator<Item = &Api> {
        self.policy
            .apis()
            .iter()
            .filter(|api| api.name.as_str() != keyward_core::rights::MANAGEMENT)
    }

    /// The profiles in use, each with its APIs.
    fn profiles(&self) -> Vec<(&Profile, Vec<String>)> {
        let mut found: BTreeMap<&str, (&Profile, Vec<String>)> = BTreeMap::new();
        for api in self.limited_apis() {
            let entry = found.entry(&api.profile.name).or_insert((&api.profile, vec![]));
            entry.1.push(api.name.to_string());
        }
        found.into_values().collect()
    }

    fn made_plan(&self, record: &PlanRecord) -> PlanView {
        let name = &record.plan.name;
        PlanView {
            name: name.to_string(),
            limits: limits::views(&record.plan.limits),
            profile: None,
            apis: vec![],
            default: self
                .limited_apis()
                .any(|api| api.profile.limits.default_plan.as_ref() == Some(name)),
            organizations: Some(record.organizations),
            revision: Some(record.revision.get()),
        }
    }
}

fn profiles_plan(profile: &Profile, plan: &Plan, apis: &[String]) -> PlanView {
    PlanView {
        name: plan.name.to_string(),
        limits: limits::views(&plan.limits),
        profile: Some(profile.name.to_string()),
        apis: apis.to_vec(),
        default: profile.limits.default_plan.as_ref() == Some(&plan.name),
        organizations: None,
        revision: None,
    }
}

#[cfg(test)]
mod tests;
