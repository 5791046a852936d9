//! How limits stand now: of a key, and of an organization. In a process with a gateway this is what counts; elsewhere, what was
//! saved of it, some seconds ago. What gateways save only when they stop is not told while one runs elsewhere.

use std::sync::Arc;

use keyward_api::LimitStateView;
use keyward_core::{
    id::{KeyId, OrganizationId},
    limit::Plan,
    member::Right,
    reserve,
};
use keyward_store::Revision;

use super::Control;
use crate::{context::Context, error::ControlError, keeper, limits};

impl Control {
    /// Every limit that holds for a key's requests: those of its API, of its organization's plan, of its organization, and its own.
    pub async fn key_limits(
        &self,
        context: &Context,
        id: KeyId,
    ) -> Result<Vec<LimitStateView>, ControlError> {
        let key = self.seen_key(context, id).await?.key;
        let Some(api) = self.policy.api(key.api.as_str()) else { return Ok(vec![]) };
        let organization = self.existing_organization(&key.organization).await?;
        let plans = self.made_plans().await?;
        let placed = reserve::limits_at(&self.policy, api, &plans, &organization, Some(&key));
        self.states(context, &placed).await
    }

    /// The limits that hold for all keys of an organization together: of its plan and its own, at every API.
    pub async fn organization_limits(
        &self,
        context: &Context,
        id: &OrganizationId,
    ) -> Result<Vec<LimitStateView>, ControlError> {
        context.require(Right::ReadOrganization, id)?;
        let organization = self.existing_organization(id).await?;
        let plans = self.made_plans().await?;
        let mut placed: Vec<reserve::Placed> = Vec::new();
        for api in self.policy.apis() {
            let here = reserve::limits_at(&self.policy, api, &plans, &organization, None);
            for one in here {
                // What everybody's use of an API is, is not one organization's to know.
                let is_ours = one.limit.stands_at() != "api" && !one.limit.is_of_a_key();
                let is_known = |other: &reserve::Placed| {
                    other.counter == one.counter && other.limit.limit() == one.limit.limit()
                };
                if is_ours && !placed.iter().any(is_known) {
                    placed.push(one);
                }
            }
        }
        self.states(context, &placed).await
    }

    async fn made_plans(&self) -> Result<Vec<Plan>, ControlError> {
        Ok(self.store.plans().await?.into_iter().map(|record| record.plan).collect())
    }

    async fn states(
        &self,
        context: &Context,
        placed: &[reserve::Placed],
    ) -> Result<Vec<LimitStateView>, ControlError> {
        if let Some(counting) = &self.counting {
            return Ok(limits::states(placed, counting, |_| true));
        }
        let now = context.now;
        let counting = keeper::saved(&*self.store, Arc::new(move || now)).await?;
        let runs_elsewhere = !self.store.nodes(Revision::ZERO).await?.is_empty();
        Ok(limits::states(placed, &counting, |bound| !runs_elsewhere || bound.is_saved()))
    }
}
