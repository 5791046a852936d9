//! `GET /v1/usage/export`.

use axum::{extract::State, response::Response};
use keyward_api::{
    UsageExportParameter, UsageKeyParameter, UsageOrganizationParameter, UsageParameters,
    UsageQuery,
};

use super::{
    super::{
        Management,
        caller::Caller,
        input::Asked,
        problem::{Refusal, Refusals},
    },
    asked, exported,
};

/// Export what everybody used, as CSV or JSON lines. Cells that a spreadsheet would take for a formula begin with an apostrophe.
#[utoipa::path(
    get,
    path = "/v1/usage/export",
    tag = "usage",
    params(
        UsageParameters,
        UsageOrganizationParameter,
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
pub(in crate::http) async fn export_all_usage(
    State(management): State<Management>,
    caller: Caller,
    Asked(query): Asked<UsageQuery>,
) -> Result<Response, Refusal> {
    caller.context.require_operator()?;
    let asked = asked(&query)?;
    exported(&management, caller.context, asked, &query).await
}
