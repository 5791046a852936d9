//! What is changed of keys without a secret being made, and whether gateways know of it; both ways.

use std::{collections::BTreeMap, slice};

use http::Method;
use keyward_api::{
    BulkAction, BulkItem, BulkKeysInput, BulkView, ErrorCode, ErrorView, KeyView, LimitStateView,
    Page, ReceiptView, RotationView, UpdateKeyInput,
};
use keyward_control::{
    app::keys::{Action, many::MOST_AT_ONCE},
    limits,
};
use keyward_core::{
    id::{KeyId, OrganizationId},
    key::Rotation,
};
use keyward_store::{KeyUpdate, Revision};

use super::Backend;
use crate::{output::error_view, site::operator};

impl Backend {
    /// Changes a key; with `seen`, only one that stands at this revision.
    pub async fn update_key(
        &self,
        id: KeyId,
        update: KeyUpdate,
        seen: Option<u64>,
    ) -> anyhow::Result<KeyView> {
        match self {
            Self::Local(site) => {
                let seen = seen.map(Revision::new);
                Ok(site.control().update_key(&operator(), id, update, seen).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/keys/{id}");
                Ok(remote.client.change(&path, &input(update), seen).await?)
            }
        }
    }

    /// Which gateways have applied the last change to a key.
    pub async fn key_receipt(&self, id: KeyId) -> anyhow::Result<ReceiptView> {
        match self {
            Self::Local(site) => Ok(site.control().key_receipt(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.get(&format!("/v1/keys/{id}/receipt"), &()).await?)
            }
        }
    }

    /// How the limits stand that hold for a key.
    pub async fn key_limits(&self, id: KeyId) -> anyhow::Result<Page<LimitStateView>> {
        match self {
            Self::Local(site) => Ok(Page::whole(site.control().key_limits(&operator(), id).await?)),
            Self::Remote(remote) => {
                Ok(remote.client.get(&format!("/v1/keys/{id}/limits"), &()).await?)
            }
        }
    }

    /// Does the same to many keys, and tells of each what became of it, in the order they were named. They may be several
    /// organizations': those of one are changed together, and whose the others are is asked of the first of them.
    pub async fn change_keys(&self, action: BulkAction, ids: &[KeyId]) -> BulkView {
        let mut told: BTreeMap<KeyId, BulkItem> = BTreeMap::new();
        let mut left: Vec<KeyId> = Vec::with_capacity(ids.len());
        for id in ids {
            if !left.contains(id) {
                left.push(*id);
            }
        }
        while let Some(first) = left.first().copied() {
            let together: Vec<_> = left.iter().copied().take(MOST_AT_ONCE).collect();
            match self.change_together(action, first, &together).await {
                Ok(items) => {
                    for (id, item) in together.into_iter().zip(items) {
                        // Those of other organizations are not there for this one: they are asked for by themselves.
                        let is_elsewhere = item.error.as_ref().is_some_and(is_not_found);
                        if id == first || !is_elsewhere {
                            told.insert(id, item);
                        }
                    }
                }
                Err(error) => {
                    let error = error_view(&error);
                    let of = if is_not_found(&error) { slice::from_ref(&first) } else { &left };
                    for id in of {
                        told.insert(*id, refused(*id, error.clone()));
                    }
                }
            }
            // A server that leaves out what was asked for is not asked for it again.
            told.entry(first).or_insert_with(|| refused(first, unanswered()));
            left.retain(|id| !told.contains_key(id));
        }
        BulkView { items: ids.iter().filter_map(|id| told.get(id).cloned()).collect() }
    }

    async fn change_together(
        &self,
        action: BulkAction,
        first: KeyId,
        keys: &[KeyId],
    ) -> anyhow::Result<Vec<BulkItem>> {
        let organization: OrganizationId =
            self.show_key(first).await?.key.organization_id.parse()?;
        match self {
            Self::Local(site) => {
                let action = match action {
                    BulkAction::Disable => Action::Disable,
                    BulkAction::Enable => Action::Enable,
                    BulkAction::Revoke => Action::Revoke,
                };
                Ok(site.control().change_keys(&operator(), &organization, action, keys).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/organizations/{organization}/keys/bulk");
                let input =
                    BulkKeysInput { action, keys: keys.iter().map(ToString::to_string).collect() };
                let done: BulkView = remote.client.send(Method::POST, &path, &input).await?;
                Ok(done.items)
            }
        }
    }
}

fn is_not_found(error: &ErrorView) -> bool {
    error.code == ErrorCode::NotFound
}

fn unanswered() -> ErrorView {
    let message = "the server does not say what became of it: look with `keys show`".to_owned();
    ErrorView { code: ErrorCode::Internal, message }
}

fn refused(id: KeyId, error: ErrorView) -> BulkItem {
    BulkItem { id: id.to_string(), state: None, revision: None, error: Some(error) }
}

fn input(update: KeyUpdate) -> UpdateKeyInput {
    let rule = |Rotation { after_days, required }| RotationView { after_days, required };
    let networks = update.allowed_networks.as_deref();
    UpdateKeyInput {
        name: update.name,
        environment: update.environment.map(|environment| environment.to_string()),
        permissions: update.permissions,
        allowed_networks: networks.map(|all| all.iter().map(ToString::to_string).collect()),
        allowed_models: update.allowed_models,
        expires_at: update.expires_at.map(|at| at.map(|at| at.to_string())),
        tags: update.tags,
        metadata: update.metadata,
        rotation: update.rotation.map(|rotation| rotation.map(rule)),
        owner: update.owner.map(|owner| owner.map(|owner| owner.to_string())),
        limits: update.limits.as_deref().map(limits::views),
    }
}
