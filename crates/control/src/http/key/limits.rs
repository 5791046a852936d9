//! `GET /v1/keys/{key}/limits`.

use axum::{Json, extract::State};
use keyward_api::{LimitStateView, Page};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Show how the limits stand that hold for a key: of its API, its organization's plan, its organization, and its own.
#[utoipa::path(
    get,
    path = "/v1/keys/{key}/limits",
    tag = "keys",
    params(("key" = String, Path, description = "The key's id")),
    responses((status = 200, description = "Every limit, and what is left of it", body = Page<LimitStateView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn show_key_limits(
    State(management): State<Management>,
    caller: Caller,
    Segments(key): Segments<String>,
) -> Result<Json<Page<LimitStateView>>, Refusal> {
    let limits = management.control().key_limits(&caller.context, id(&key)?).await?;
    Ok(Json(Page::whole(limits)))
}
