//! `PATCH /v1/keys/{key}`.

use axum::extract::State;
use keyward_api::{KeyView, RotationView, UpdateKeyInput};
use keyward_core::key::{Labels, Rotation};
use keyward_store::KeyUpdate;

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id, invalid, read},
    problem::{Refusal, Refusals},
    state::{InState, Seen},
};
use crate::limits;

/// Change what is written on a key and what it may. What is left out stays.
#[utoipa::path(
    patch,
    path = "/v1/keys/{key}",
    tag = "keys",
    params(
        ("key" = String, Path, description = "The key's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the state that was seen: another one is refused"),
    ),
    request_body = UpdateKeyInput,
    responses((status = 200, description = "The key", body = KeyView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn update_key(
    State(management): State<Management>,
    caller: Caller,
    Segments(key): Segments<String>,
    Seen(seen): Seen,
    Body(input): Body<UpdateKeyInput>,
) -> Result<InState<KeyView>, Refusal> {
    let (control, key) = (management.control(), id(&key)?);
    let networks = input.allowed_networks.map(|networks| {
        networks.iter().map(|one| read("allowed_networks", one)).collect::<Result<_, _>>()
    });
    let is_left_out = (input.tags.is_none(), input.metadata.is_none());
    let labels = Labels::new(input.tags.unwrap_or_default(), input.metadata.unwrap_or_default());
    let labels = labels.map_err(invalid)?;
    let update = KeyUpdate {
        name: input.name,
        environment: input.environment.map(|one| read("environment", &one)).transpose()?,
        permissions: input.permissions,
        allowed_networks: networks.transpose()?,
        allowed_models: input.allowed_models,
        expires_at: optional(input.expires_at, |at| read("expires_at", &at))?,
        tags: (!is_left_out.0).then_some(labels.tags),
        metadata: (!is_left_out.1).then_some(labels.metadata),
        rotation: input.rotation.map(|rotation| rotation.map(rule)),
        owner: optional(input.owner, |owner| read("owner", &owner))?,
        limits: input.limits.map(limits::read).transpose()?,
    };
    let view = control.update_key(&caller.context, key, update, seen).await?;
    Ok(InState(view.revision, view))
}

pub(super) const fn rule(view: RotationView) -> Rotation {
    Rotation { after_days: view.after_days, required: view.required }
}

/// A field that may be left out, or be `null`.
fn optional<T>(
    field: Option<Option<String>>,
    read: impl FnOnce(String) -> Result<T, Refusal>,
) -> Result<Option<Option<T>>, Refusal> {
    match field {
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(text)) => read(text).map(|value| Some(Some(value))),
    }
}
