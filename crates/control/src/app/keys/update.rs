//! Changing what is written on a key and what it may. Its secrets stay as they are.

use keyward_core::{id::KeyId, member::Right};
use keyward_store::{Change, KeyUpdate, Revision};

use super::{
    super::Control,
    create::{check_expiry, check_models, check_networks, check_rotation, permissions},
};
use crate::{context::Context, error::ControlError, views};

impl Control {
    /// Changes a key; what `update` does not name stays. With `seen`, a key that was changed since is left alone.
    pub async fn update_key(
        &self,
        context: &Context,
        id: KeyId,
        mut update: KeyUpdate,
        seen: Option<Revision>,
    ) -> Result<keyward_api::KeyView, ControlError> {
        let key = self.writable_key(context, id).await?.key;
        if update.owner.is_some_and(|owner| owner != key.owner) {
            context.require(Right::WriteKeys, &key.organization)?;
        } else {
            update.owner = None;
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
        if let Some(rotation) = update.rotation {
            check_rotation(rotation)?;
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
