//! `GET /v1/keys/{key}/usage`.

use axum::{Json, extract::State};
use keyward_api::{UsagePage, UsagePageParameters, UsageParameters, UsageQuery};

use super::{
    super::{
        Management,
        caller::Caller,
        input::{Asked, Segments, id},
        problem::{Refusal, Refusals},
    },
    asked, page,
};
use crate::app::usage::UsageAsked;

/// Show what a key was used for: requests, tokens, cost and latencies, by time and by whatever is asked.
#[utoipa::path(
    get,
    path = "/v1/keys/{key}/usage",
    tag = "usage",
    params(
        ("key" = String, Path, description = "The key's id"),
        UsageParameters,
        UsagePageParameters
    ),
    responses(
        (status = 200, description = "A page of sums", body = UsagePage),
        Refusals,
    ),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn key_usage(
    State(management): State<Management>,
    caller: Caller,
    Segments(key): Segments<String>,
    Asked(query): Asked<UsageQuery>,
) -> Result<Json<UsagePage>, Refusal> {
    let asked = UsageAsked { key: Some(id(&key)?), ..asked(&query)? };
    Ok(Json(page(&management, &caller.context, &asked, &query).await?))
}
