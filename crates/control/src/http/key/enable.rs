//! `POST /v1/keys/{key}/enable`.

use axum::{Json, extract::State};
use keyward_api::KeyView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Let a disabled key be used again.
#[utoipa::path(
    post,
    path = "/v1/keys/{key}/enable",
    tag = "keys",
    params(("key" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key", body = KeyView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn enable_key(
    State(management): State<Management>,
    caller: Caller,
    Segments(key): Segments<String>,
) -> Result<Json<KeyView>, Refusal> {
    Ok(Json(management.control().enable_key(&caller.context, id(&key)?).await?))
}
