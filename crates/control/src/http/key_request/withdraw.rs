//! `POST /v1/key-requests/{key_request}/withdraw`.

use axum::{Json, extract::State};
use keyward_api::KeyRequestView;

use super::super::{
    Management,
    caller::Person,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Take one's own request back, as long as there is no key. What was taken back already stays so.
#[utoipa::path(
    post,
    path = "/v1/key-requests/{key_request}/withdraw",
    tag = "key requests",
    params(("key_request" = String, Path, description = "The key request's id")),
    responses((status = 200, description = "The request", body = KeyRequestView), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn withdraw_key_request(
    State(management): State<Management>,
    caller: Person,
    Segments(key_request): Segments<String>,
) -> Result<Json<KeyRequestView>, Refusal> {
    let key_request = id(&key_request)?;
    Ok(Json(management.control().withdraw_key_request(&caller.context, key_request).await?))
}
