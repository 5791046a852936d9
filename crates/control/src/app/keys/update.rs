//! Changing what is written on a key and what it may. Its secrets stay as they are.

use keyward_core::{
    id::KeyId, key::Key, limit::Limit, member::Right, policy::Api, profile::IssuanceMode,
};
use keyward_store::{Change, KeyUpdate, Revision};

use super::{
    super::Control,
    create::{check_expiry, check_models, check_networks, check_rotation, permissions},
};
use crate::{context::Context, error::ControlError, limits::check_of_key, views};

impl Control {
    /// Changes a key; what `update` does not name stays. With `seen`, a key that was changed since is left alone.
    pub async fn update_key(
        &self,
        context: &Context,
        id: KeyId,
        mut update: KeyUpdate,
        mut seen: Option<Revision>,
    ) -> Result<keyward_api::KeyView, ControlError> {
        let record = self.writable_key(context, id).await?;
        let key = record.key;
        match update.owner {
            Some(owner) if owner != key.owner => {
                context.require(Right::WriteKeys, &key.organization)?;
                // What is nobody's outlasts everybody's leaving, and is held to no role.
                if owner.is_none() {
                    context.require_operator()?;
                }
            }
            _ => update.owner = None,
        }
        if touches_terms(&update) && context.require_operator().is_err() {
            let api = self.api(&key.api)?;
            if api.profile.issuance.mode != IssuanceMode::SelfService {
                check_terms(api, &key, &update)?;
                // It is not wider than what was seen here: what was narrowed meanwhile stays so.
                seen = seen.or(Some(record.revision));
            }
        }
        if let Some(named) = &update.permissions {
            update.permissions = Some(permissions(self.api(&key.api)?, named, None)?);
        }
        if update.permissions.is_some() || update.owner.is_some() {
            let api = self.api(&key.api)?;
            let owner = update.owner.unwrap_or(key.owner);
            let named = update.permissions.as_ref().unwrap_or(&key.permissions);
            self.check_ceilings(context, api, &key.organization, owner, named).await?;
        }
        if let Some(expires_at) = update.expires_at {
            check_expiry(expires_at, context.now)?;
        }
        if let Some(models) = &update.allowed_models {
            check_models(models.as_deref())?;
        }
        if let Some(limits) = &update.limits {
            check_of_key(self.api(&key.api)?, limits)?;
        }
        if let Some(rotation) = update.rotation {
            check_rotation(context, self.api(&key.api)?, rotation)?;
        }
        if let Some(networks) = &update.allowed_networks {
            check_networks(networks)?;
        }
        let change = Change::UpdateKey { key: id, update: Box::new(update), seen };
        self.store.commit(&context.actor, context.now, change).await?;
        let record = self.existing_key(id).await?;
        Ok(views::key(&record, &[], context.now))
    }
}

/// Whether what a key may, from where, how long, how much and for whom would be different.
const fn touches_terms(update: &KeyUpdate) -> bool {
    update.permissions.is_some()
        || update.allowed_networks.is_some()
        || update.allowed_models.is_some()
        || update.expires_at.is_some()
        || update.owner.is_some()
        || update.limits.is_some()
}

/// What was approved, or given out by staff, is not widened after: that would make the approval worth nothing. Nor is it handed over
/// where it was approved for one person, who alone has seen it.
fn check_terms(api: &Api, key: &Key, update: &KeyUpdate) -> Result<(), ControlError> {
    let vocabulary = &api.profile.vocabulary;
    let grant = |names: &[String]| vocabulary.grant(names.iter().map(String::as_str));
    let may_more = update
        .permissions
        .as_ref()
        .is_some_and(|permissions| !grant(&key.permissions).covers(grant(permissions)));
    let from_more = update.allowed_networks.as_ref().is_some_and(|networks| {
        let known = |one| key.allowed_networks.iter().any(|network| network.covers(one));
        let bound = !key.allowed_networks.is_empty();
        bound && (networks.is_empty() || !networks.iter().all(known))
    });
    let for_more = match (&key.allowed_models, &update.allowed_models) {
        (None, _) | (_, None) => false,
        (Some(_), Some(None)) => true,
        (Some(known), Some(Some(models))) => models.iter().any(|model| !known.contains(model)),
    };
    let for_longer = match (key.expires_at, update.expires_at) {
        (None, _) | (_, None) => false,
        (Some(_), Some(None)) => true,
        (Some(end), Some(Some(later))) => later > end,
    };
    let uses_more =
        update.limits.as_ref().is_some_and(|limits| !Limit::only_narrows(&key.limits, limits));
    let mode = api.profile.issuance.mode;
    let handed_over = mode == IssuanceMode::Request && update.owner.is_some();
    match may_more || from_more || for_more || for_longer || uses_more || handed_over {
        true => Err(super::create::given_otherwise(api)),
        false => Ok(()),
    }
}
