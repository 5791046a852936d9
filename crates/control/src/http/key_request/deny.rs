//! `POST /v1/key-requests/{key_request}/deny`.

use axum::{Json, extract::State};
use keyward_api::{DenyKeyRequestInput, KeyRequestView};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id},
    problem::{Refusal, Refusals},
};

/// Deny a key request, or take back an approval that was not claimed.
#[utoipa::path(
    post,
    path = "/v1/key-requests/{key_request}/deny",
    tag = "key requests",
    params(("key_request" = String, Path, description = "The key request's id")),
    request_body = DenyKeyRequestInput,
    responses((status = 200, description = "The request", body = KeyRequestView), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn deny_key_request(
    State(management): State<Management>,
    caller: Caller,
    Segments(key_request): Segments<String>,
    Body(input): Body<DenyKeyRequestInput>,
) -> Result<Json<KeyRequestView>, Refusal> {
    let key_request = id(&key_request)?;
    Ok(Json(
        management.control().deny_key_request(&caller.context, key_request, input.reason).await?,
    ))
}
