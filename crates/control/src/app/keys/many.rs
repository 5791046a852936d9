//! The same for many keys at once: each is a change of its own, and one that is refused does not keep the others from it.

use keyward_api::{BulkItem, ErrorView, KeyView};
use keyward_core::{
    id::{KeyId, OrganizationId},
    member::Right,
};
use keyward_store::StoreError;
use tokio::task::JoinSet;

use super::super::Control;
use crate::{context::Context, error::ControlError};

/// Keys that are changed in one call.
pub const MOST_AT_ONCE: usize = 1_000;

/// What is done to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It rests until it is enabled.
    Disable,
    /// It may be used again.
    Enable,
    /// It ends for good.
    Revoke,
}

impl Control {
    /// Does the same to many keys of an organization, and tells of each what became of it, in the order they were named.
    pub async fn change_keys(
        &self,
        context: &Context,
        organization: &OrganizationId,
        action: Action,
        keys: &[KeyId],
    ) -> Result<Vec<BulkItem>, ControlError> {
        context.require(Right::WriteOwnKeys, organization)?;
        self.existing_organization(organization).await?;
        if keys.is_empty() || keys.len() > MOST_AT_ONCE {
            return Err(ControlError::invalid(
                format!("{} keys are named", keys.len()),
                format!("name 1 to {MOST_AT_ONCE} of them"),
            ));
        }
        // Together, so that the store makes them durable together.
        let mut changes = JoinSet::new();
        for (at, key) in keys.iter().copied().enumerate() {
            let (control, context) = (self.clone(), context.clone());
            let organization = organization.clone();
            changes.spawn(async move {
                let changed = control.change_key_of(&context, &organization, action, key).await;
                (at, key, changed)
            });
        }
        let mut items = Vec::with_capacity(keys.len());
        while let Some(done) = changes.join_next().await {
            let (at, key, changed) = done.map_err(|_| ControlError::Interrupted)?;
            let id = key.to_string();
            let item = match changed {
                Ok(view) => BulkItem {
                    id,
                    state: Some(view.state),
                    revision: Some(view.revision),
                    error: None,
                },
                Err(error) => {
                    let (code, message) = (error.code(), error.to_string());
                    let error = Some(ErrorView { code, message });
                    BulkItem { id, state: None, revision: None, error }
                }
            };
            items.push((at, item));
        }
        items.sort_by_key(|(at, _)| *at);
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }

    /// A key of another organization is not among those that are spoken of.
    async fn change_key_of(
        &self,
        context: &Context,
        organization: &OrganizationId,
        action: Action,
        key: KeyId,
    ) -> Result<KeyView, ControlError> {
        if self.seen_key(context, key).await?.key.organization != *organization {
            return Err(StoreError::NoSuchKey(key).into());
        }
        match action {
            Action::Disable => self.disable_key(context, key).await,
            Action::Enable => self.enable_key(context, key).await,
            Action::Revoke => self.revoke_key(context, key).await,
        }
    }
}
