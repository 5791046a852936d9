//! `GET /v1/key-requests/{key_request}`.

use axum::{Json, extract::State};
use keyward_api::KeyRequestView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Show a key request: to whoever asked, and to those who may decide.
#[utoipa::path(
    get,
    path = "/v1/key-requests/{key_request}",
    tag = "key requests",
    params(("key_request" = String, Path, description = "The key request's id")),
    responses((status = 200, description = "The request", body = KeyRequestView), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn show_key_request(
    State(management): State<Management>,
    caller: Caller,
    Segments(key_request): Segments<String>,
) -> Result<Json<KeyRequestView>, Refusal> {
    let key_request = id(&key_request)?;
    Ok(Json(management.control().show_key_request(&caller.context, key_request).await?))
}
