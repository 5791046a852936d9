//! `POST /v1/key-requests/{key_request}/claim`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::CreatedKey;

use super::super::{
    Management,
    input::{Segments, id},
    once::OncePerson,
    problem::{Refusal, Refusals},
};

/// Claim the key that was granted. Its secret stands in this answer, and nowhere else ever again.
///
/// Only whoever asked claims it, once, and only while their role lets them hold keys.
#[utoipa::path(
    post,
    path = "/v1/key-requests/{key_request}/claim",
    tag = "key requests",
    params(
        ("key_request" = String, Path, description = "The key request's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes"),
    ),
    responses((status = 201, description = "The key, and its secret in the clear", body = CreatedKey), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn claim_key(
    State(management): State<Management>,
    Segments(key_request): Segments<String>,
    OncePerson { caller }: OncePerson,
) -> Result<(StatusCode, Json<CreatedKey>), Refusal> {
    let issued = management.control().claim_key(&caller.context, id(&key_request)?).await?;
    Ok((StatusCode::CREATED, Json(issued.view(caller.context.now))))
}
