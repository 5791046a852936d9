//! `POST /v1/organizations/{organization}/keys/bulk`.

use axum::{Json, extract::State};
use keyward_api::{BulkAction, BulkKeysInput, BulkView};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id, read},
    problem::{Refusal, Refusals},
};
use crate::app::keys::Action;

/// Disable, enable or revoke many keys of an organization. Each is told of; one that is refused does not keep the others from it.
#[utoipa::path(
    post,
    path = "/v1/organizations/{organization}/keys/bulk",
    tag = "keys",
    params(("organization" = String, Path, description = "The organization's id")),
    request_body = BulkKeysInput,
    responses((status = 200, description = "What became of each", body = BulkView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn change_keys(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(input): Body<BulkKeysInput>,
) -> Result<Json<BulkView>, Refusal> {
    let action = match input.action {
        BulkAction::Disable => Action::Disable,
        BulkAction::Enable => Action::Enable,
        BulkAction::Revoke => Action::Revoke,
    };
    let keys: Vec<_> = input.keys.iter().map(|key| read("keys", key)).collect::<Result<_, _>>()?;
    let (control, organization) = (management.control(), id(&organization)?);
    let items = control.change_keys(&caller.context, &organization, action, &keys).await?;
    Ok(Json(BulkView { items }))
}
