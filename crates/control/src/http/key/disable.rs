//! `POST /v1/keys/{key}/disable`.

use axum::{Json, extract::State};
use keyward_api::KeyView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Let a key rest until it is enabled.
#[utoipa::path(
    post,
    path = "/v1/keys/{key}/disable",
    tag = "keys",
    params(("key" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key", body = KeyView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn disable_key(
    State(management): State<Management>,
    caller: Caller,
    Segments(key): Segments<String>,
) -> Result<Json<KeyView>, Refusal> {
    Ok(Json(management.control().disable_key(&caller.context, id(&key)?).await?))
}
