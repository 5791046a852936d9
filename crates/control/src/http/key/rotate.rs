//! `POST /v1/keys/{key}/rotate`.

use std::time::Duration;

use axum::{Json, extract::State};
use keyward_api::{CreatedKey, RotateKeyInput};

use super::super::{
    Management,
    input::{Segments, id},
    once::Once,
    problem::{Refusal, Refusals},
};

/// Give a key a new secret, while the old one stays good for a while.
///
/// Until then the key's secrets say who still uses the old one; retiring it ends the overlap early.
#[utoipa::path(
    post,
    path = "/v1/keys/{key}/rotate",
    tag = "keys",
    params(
        ("key" = String, Path, description = "The key's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes"),
    ),
    request_body = RotateKeyInput,
    responses((status = 200, description = "The key, and its new secret in the clear", body = CreatedKey), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn rotate_key(
    State(management): State<Management>,
    Segments(key): Segments<String>,
    Once { caller, input }: Once<RotateKeyInput, 200>,
) -> Result<Json<CreatedKey>, Refusal> {
    let overlap = Duration::from_secs(input.overlap_seconds);
    let issued = management.control().rotate_key(&caller.context, id(&key)?, overlap).await?;
    Ok(Json(issued.view(caller.context.now)))
}
