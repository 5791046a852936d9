//! `GET /v1/organizations/{organization}/usage/export`.

use axum::{extract::State, response::Response};
use keyward_api::{UsageExportParameter, UsageKeyParameter, UsageParameters, UsageQuery};

use super::{
    super::{
        Management,
        caller::Caller,
        input::{Asked, Segments, id},
        problem::{Refusal, Refusals},
    },
    asked, exported,
};
use crate::app::usage::UsageAsked;

/// Export what an organization used, as CSV or JSON lines. Cells that a spreadsheet would take for a formula begin with an apostrophe.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/usage/export",
    tag = "usage",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        UsageParameters,
        UsageKeyParameter,
        UsageExportParameter
    ),
    responses(
        (
            status = 200,
            description = "Every sum: as CSV with a header, or as JSON lines",
            content((String = "text/csv"), (keyward_api::UsageSumView = "application/x-ndjson")),
        ),
        Refusals,
    ),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn export_organization_usage(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Asked(query): Asked<UsageQuery>,
) -> Result<Response, Refusal> {
    let asked = UsageAsked { organization: Some(id(&organization)?), ..asked(&query)? };
    exported(&management, caller.context, asked, &query).await
}
