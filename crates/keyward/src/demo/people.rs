//! Whom the demo's keys belong to: organizations, model ids and keys, as the profiles describe them.

use anyhow::Context as _;
use keyward_api::KeyStateView;
use keyward_control::{
    Control,
    app::keys::{Issued, KeyQuery, NewKey},
};
use keyward_core::{
    id::{ApiName, KeyId, ModelId, OrganizationId},
    key::Labels,
};

use super::configuration::Demonstration;
use crate::site::{Site, operator};

/// What the demo's keys are called.
const KEY_NAME: &str = "demo";

/// Makes what is missing, and gives the key a new secret; its old one ends at once.
pub(super) async fn prepare(site: &Site, one: &Demonstration) -> anyhow::Result<Issued> {
    let control = site.control();
    let prepared = async {
        let organization = organization(&control, one).await?;
        key(&control, one, organization).await
    };
    prepared.await.with_context(|| format!("the demo of `{}`", one.name))
}

async fn organization(control: &Control, one: &Demonstration) -> anyhow::Result<OrganizationId> {
    let wanted = &one.demo.organization;
    let id: OrganizationId = wanted.id.parse()?;
    let known = control.list_organizations(&operator()).await?;
    let known = known.into_iter().find(|known| known.id == wanted.id);
    let owned = known.as_ref().map(|known| known.model_ids.clone()).unwrap_or_default();
    if known.is_none() {
        let name = Some(wanted.name.clone());
        control.create_organization(&operator(), Some(id.clone()), name).await?;
    }
    for model in wanted.model_ids.iter().filter(|model| !owned.contains(model)) {
        let model: ModelId = model.parse()?;
        control.assign_model_id(&operator(), &id, Some(model)).await?;
    }
    Ok(id)
}

async fn key(
    control: &Control,
    one: &Demonstration,
    organization: OrganizationId,
) -> anyhow::Result<Issued> {
    let api: ApiName = one.name.parse()?;
    let query = KeyQuery {
        api: Some(api.clone()),
        organization: Some(organization.clone()),
        ..KeyQuery::default()
    };
    let known = control.list_keys(&operator(), &query, 1000).await?.items;
    let mut known =
        known.into_iter().filter(|key| key.name == KEY_NAME && key.state != KeyStateView::Revoked);
    // There is one at most: names are unique among keys that are not revoked.
    if let Some(old) = known.next() {
        let id: KeyId = old.id.parse()?;
        if old.state == KeyStateView::Active && old.permissions == one.demo.permissions {
            return Ok(control.rotate_key(&operator(), id, std::time::Duration::ZERO).await?);
        }
        // Somebody tried something with it, or the profile has changed.
        control.revoke_key(&operator(), id).await?;
    }
    let new = NewKey {
        api,
        organization,
        name: KEY_NAME.to_owned(),
        environment: None,
        permissions: one.demo.permissions.clone(),
        preset: None,
        expires_at: None,
        allowed_networks: vec![],
        allowed_models: None,
        labels: Labels::default(),
        rotation: None,
        owner: None,
        limits: vec![],
    };
    Ok(control.create_key(&operator(), new).await?)
}
