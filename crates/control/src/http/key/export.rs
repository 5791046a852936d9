//! `GET /v1/organizations/{organization}/keys/export`.

use axum::{extract::State, response::Response};
use keyward_api::{ExportKeysQuery, RowFormat};

use super::super::{
    Management,
    caller::Caller,
    input::{Asked, Segments, id, read},
    pieces::streamed,
    problem::{Refusal, Refusals},
};
use crate::app::export::Export;

/// Export an organization's keys, as CSV or JSON lines. Cells that a spreadsheet would take for a formula begin with an apostrophe.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/keys/export",
    tag = "keys",
    params(("organization" = String, Path, description = "The organization's id"), ExportKeysQuery),
    responses(
        (
            status = 200,
            description = "Every key: as CSV with a header, or as JSON lines",
            content((String = "text/csv"), (keyward_api::KeyView = "application/x-ndjson")),
        ),
        Refusals,
    ),
    security(("session" = [])),
)]
pub(in crate::http) async fn export_keys(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Asked(asked): Asked<ExportKeysQuery>,
) -> Result<Response, Refusal> {
    let export = Export {
        organization: Some(id(&organization)?),
        api: asked.api.map(|api| read("api", &api)).transpose()?,
        format: asked.format.unwrap_or(RowFormat::Csv),
    };
    let (control, context) = (management.control(), caller.context);
    let first = control.export_keys(&context, &export, None).await?;
    Ok(streamed(export.format.media_type(), first, move |after| {
        let (control, context, export) = (control.clone(), context.clone(), export.clone());
        async move { control.export_keys(&context, &export, Some(after)).await }
    }))
}
