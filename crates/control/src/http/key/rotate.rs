//! `POST /v1/keys/{key}/rotate`.

use std::time::Duration;

use axum::{Json, extract::State};
use keyward_api::{CreatedKey, RotateKeyInput};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id},
    problem::{Refusal, Refusals},
};

/// Give a key a new secret, while the old one stays good for a while.
///
/// Until then the key's secrets say who still uses the old one; retiring it ends the overlap early.
#[utoipa::path(
    post,
    path = "/v1/keys/{key}/rotate",
    tag = "keys",
    params(("key" = String, Path, description = "The key's id")),
    request_body = RotateKeyInput,
    responses((status = 200, description = "The key, and its new secret in the clear", body = CreatedKey), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn rotate_key(
    State(management): State<Management>,
    caller: Caller,
    Segments(key): Segments<String>,
    Body(input): Body<RotateKeyInput>,
) -> Result<Json<CreatedKey>, Refusal> {
    let overlap = Duration::from_secs(input.overlap_seconds);
    let issued = management.control().rotate_key(&caller.context, id(&key)?, overlap).await?;
    Ok(Json(issued.view(caller.context.now)))
}
