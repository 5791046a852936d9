//! Keys, both ways.

use std::time::Duration;

use anyhow::bail;
use http::Method;
use keyward_api::{
    CreateKeyInput, CreatedKey, KeyDetailsView, KeyView, ListKeysQuery, RotateKeyInput,
    RotationView,
};
use keyward_control::{
    app::keys::{Issued, KeyQuery, NewKey},
    limits,
};
use keyward_core::{
    id::{KeyId, SecretId},
    key::Rotation,
};

use super::Backend;
use crate::{
    curl::{self, Owner, Target},
    site::{Site, operator},
};

const PAGE: u32 = 1000;

/// A new secret, and how to use it where that is known here.
pub struct Made {
    /// The key, and its secret in the clear.
    pub created: CreatedKey,
    /// A line to paste. A server's configuration is not known here: there is none.
    pub example: Option<String>,
}

impl Backend {
    /// Makes a key.
    pub async fn create_key(&self, new: NewKey) -> anyhow::Result<Made> {
        match self {
            Self::Local(site) => {
                let context = operator();
                let issued = site.control().create_key(&context, new).await?;
                made(site, &issued).await
            }
            Self::Remote(remote) => {
                let path = format!("/v1/organizations/{}/keys", new.organization);
                let input = CreateKeyInput {
                    api: new.api.to_string(),
                    name: new.name,
                    environment: new.environment.map(|environment| environment.to_string()),
                    permissions: new.permissions,
                    preset: new.preset,
                    expires_at: new.expires_at.map(|at| at.to_string()),
                    allowed_networks: new
                        .allowed_networks
                        .iter()
                        .map(ToString::to_string)
                        .collect(),
                    allowed_models: new.allowed_models,
                    tags: new.labels.tags,
                    metadata: new.labels.metadata,
                    rotation: new.rotation.map(|Rotation { after_days, required }| RotationView {
                        after_days,
                        required,
                    }),
                    owner: new.owner.map(|owner| owner.to_string()),
                    limits: limits::views(&new.limits),
                };
                let created = remote.client.send(Method::POST, &path, &input).await?;
                Ok(Made { created, example: None })
            }
        }
    }

    /// Keys in the order they were made: of the organization that the query names, or of all that the caller sees.
    pub async fn list_keys(&self, mut query: KeyQuery) -> anyhow::Result<Vec<KeyView>> {
        match self {
            Self::Local(site) => {
                let control = site.control();
                let mut keys = Vec::new();
                loop {
                    let page = control.list_keys(&operator(), &query, PAGE).await?;
                    keys.extend(page.items);
                    match page.next {
                        Some(next) => query.after = Some(next.parse()?),
                        None => return Ok(keys),
                    }
                }
            }
            Self::Remote(remote) => {
                let mut keys = Vec::new();
                for organization in self.seen_organizations(query.organization.as_ref()).await? {
                    let path = format!("/v1/organizations/{organization}/keys");
                    let of_page = |after| ListKeysQuery {
                        api: query.api.as_ref().map(ToString::to_string),
                        state: query.state,
                        owner: query.owner.map(|owner| owner.to_string()),
                        environment: query.environment.as_ref().map(ToString::to_string),
                        search: query.search.clone(),
                        tag: query.tag.clone(),
                        unused_days: query.unused_days,
                        ending_days: query.ending_days,
                        after,
                        limit: Some(PAGE),
                    };
                    keys.extend(remote.client.all::<KeyView, _>(&path, of_page).await?);
                }
                keys.sort_by(|one, other| one.created_at.cmp(&other.created_at));
                Ok(keys)
            }
        }
    }

    /// A key, with what it was used for.
    pub async fn show_key(&self, id: KeyId) -> anyhow::Result<KeyDetailsView> {
        match self {
            Self::Local(site) => Ok(site.control().show_key(&operator(), id).await?),
            Self::Remote(remote) => Ok(remote.client.get(&format!("/v1/keys/{id}"), &()).await?),
        }
    }

    /// Lets a key rest.
    pub async fn disable_key(&self, id: KeyId) -> anyhow::Result<KeyView> {
        match self {
            Self::Local(site) => Ok(site.control().disable_key(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.post(&format!("/v1/keys/{id}/disable")).await?)
            }
        }
    }

    /// Lets it be used again.
    pub async fn enable_key(&self, id: KeyId) -> anyhow::Result<KeyView> {
        match self {
            Self::Local(site) => Ok(site.control().enable_key(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.post(&format!("/v1/keys/{id}/enable")).await?)
            }
        }
    }

    /// Ends it for good.
    pub async fn revoke_key(&self, id: KeyId) -> anyhow::Result<KeyView> {
        match self {
            Self::Local(site) => Ok(site.control().revoke_key(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.post(&format!("/v1/keys/{id}/revoke")).await?)
            }
        }
    }

    /// Gives it a new secret.
    pub async fn rotate_key(&self, id: KeyId, overlap: Duration) -> anyhow::Result<Made> {
        match self {
            Self::Local(site) => {
                let issued = site.control().rotate_key(&operator(), id, overlap).await?;
                made(site, &issued).await
            }
            Self::Remote(remote) => {
                if overlap.subsec_nanos() != 0 {
                    bail!("an overlap is asked for in whole seconds: choose a longer one");
                }
                let input = RotateKeyInput { overlap_seconds: overlap.as_secs() };
                let path = format!("/v1/keys/{id}/rotate");
                let created = remote.client.send(Method::POST, &path, &input).await?;
                Ok(Made { created, example: None })
            }
        }
    }

    /// Ends one of its secrets; one that is still in use by `force` only.
    pub async fn retire_secret(
        &self,
        id: KeyId,
        secret: SecretId,
        force: bool,
    ) -> anyhow::Result<KeyView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().retire_secret(&operator(), id, secret, force).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/keys/{id}/secrets/{secret}/retire?force={force}");
                Ok(remote.client.post(&path).await?)
            }
        }
    }
}

async fn made(site: &Site, issued: &Issued) -> anyhow::Result<Made> {
    let example = example(site, issued).await?;
    Ok(Made { created: issued.view(operator().now), example })
}

/// A curl line for a key that was just made: the one place where its plaintext is put into a sentence.
async fn example(site: &Site, issued: &Issued) -> anyhow::Result<Option<String>> {
    let key = issued.key();
    let Some(api) = site.policy.api(key.api.as_str()) else { return Ok(None) };
    let organization = site.control().show_organization(&operator(), &key.organization).await?;
    let models = key.allowed_models.as_ref().or(organization.allowed_models.as_ref());
    let owner = Owner {
        organization: key.organization.as_str(),
        model_id: organization.model_ids.first().map(String::as_str),
        model: models.and_then(|models| models.first()).map(String::as_str),
        permissions: &key.permissions,
    };
    let Some(request) = curl::example(api, &owner) else { return Ok(None) };
    let target = Target::of(&site.config, api);
    let slot = api.profile.slots.first();
    Ok(Some(curl::line(&target, &request, slot, issued.plaintext.expose())))
}
