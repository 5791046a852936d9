//! `GET /v1/audit-entries/export`.

use axum::{extract::State, response::Response};
use keyward_api::ExportAuditQuery;

use super::{
    super::{
        Management,
        caller::Caller,
        input::Asked,
        problem::{Refusal, Refusals},
    },
    exported, filter,
};

/// Export who did what anywhere, newest first, as JSON lines. What is done meanwhile is not in it.
#[utoipa::path(
    get,
    path = "/v1/audit-entries/export",
    tag = "audit",
    params(ExportAuditQuery),
    responses(
        (status = 200, description = "Every entry, one a line", content((keyward_api::AuditEntryView = "application/x-ndjson"))),
        Refusals,
    ),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn export_all_audit_entries(
    State(management): State<Management>,
    caller: Caller,
    Asked(asked): Asked<ExportAuditQuery>,
) -> Result<Response, Refusal> {
    exported(&management, caller.context, filter(None, &asked.into())?).await
}
