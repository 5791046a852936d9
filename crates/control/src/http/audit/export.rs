//! `GET /v1/organizations/{organization}/audit-entries/export`.

use axum::{extract::State, response::Response};
use keyward_api::ExportAuditQuery;

use super::{
    super::{
        Management,
        caller::Caller,
        input::{Asked, Segments, id},
        problem::{Refusal, Refusals},
    },
    exported, filter,
};

/// Export who did what in an organization, newest first, as JSON lines. What is done meanwhile is not in it.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/audit-entries/export",
    tag = "audit",
    params(("organization" = String, Path, description = "The organization's id"), ExportAuditQuery),
    responses(
        (status = 200, description = "Every entry, one a line", content((keyward_api::AuditEntryView = "application/x-ndjson"))),
        Refusals,
    ),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn export_audit_entries(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Asked(asked): Asked<ExportAuditQuery>,
) -> Result<Response, Refusal> {
    let filter = filter(Some(id(&organization)?), &asked.into())?;
    exported(&management, caller.context, filter).await
}
