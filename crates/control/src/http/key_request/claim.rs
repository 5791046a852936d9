//! `POST /v1/key-requests/{key_request}/claim`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::CreatedKey;

use super::super::{
    Management,
    caller::Person,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Claim the key that was granted. Its secret stands in this answer, and nowhere else ever again.
///
/// Only whoever asked claims it, once, and only while their role lets them hold keys.
#[utoipa::path(
    post,
    path = "/v1/key-requests/{key_request}/claim",
    tag = "key requests",
    params(("key_request" = String, Path, description = "The key request's id")),
    responses((status = 201, description = "The key, and its secret in the clear", body = CreatedKey), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn claim_key(
    State(management): State<Management>,
    caller: Person,
    Segments(key_request): Segments<String>,
) -> Result<(StatusCode, Json<CreatedKey>), Refusal> {
    let issued = management.control().claim_key(&caller.context, id(&key_request)?).await?;
    Ok((StatusCode::CREATED, Json(issued.view(caller.context.now))))
}
