//! `GET /v1/organizations/{organization}/usage`.

use axum::{Json, extract::State};
use keyward_api::{UsageKeyParameter, UsagePage, UsagePageParameters, UsageParameters, UsageQuery};

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

/// Show what an organization used: requests, tokens, cost and latencies, by time and by whatever is asked.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/usage",
    tag = "usage",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        UsageParameters,
        UsageKeyParameter,
        UsagePageParameters
    ),
    responses(
        (status = 200, description = "A page of sums", body = UsagePage),
        Refusals,
    ),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn organization_usage(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Asked(query): Asked<UsageQuery>,
) -> Result<Json<UsagePage>, Refusal> {
    let asked = UsageAsked { organization: Some(id(&organization)?), ..asked(&query)? };
    Ok(Json(page(&management, &caller.context, &asked, &query).await?))
}
