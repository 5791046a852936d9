//! `GET /v1/usage`.

use axum::{Json, extract::State};
use keyward_api::{
    UsageKeyParameter, UsageOrganizationParameter, UsagePage, UsagePageParameters, UsageParameters,
    UsageQuery,
};

use super::{
    super::{
        Management,
        caller::Caller,
        input::Asked,
        problem::{Refusal, Refusals},
    },
    asked, page,
};

/// Show what everybody used: requests, tokens, cost and latencies, by time and by whatever is asked.
#[utoipa::path(
    get,
    path = "/v1/usage",
    tag = "usage",
    params(
        UsageParameters,
        UsageOrganizationParameter,
        UsageKeyParameter,
        UsagePageParameters
    ),
    responses(
        (status = 200, description = "A page of sums", body = UsagePage),
        Refusals,
    ),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn all_usage(
    State(management): State<Management>,
    caller: Caller,
    Asked(query): Asked<UsageQuery>,
) -> Result<Json<UsagePage>, Refusal> {
    caller.context.require_operator()?;
    let asked = asked(&query)?;
    Ok(Json(page(&management, &caller.context, &asked, &query).await?))
}
