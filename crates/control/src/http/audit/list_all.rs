//! `GET /v1/audit-entries`.

use axum::{Json, extract::State};
use keyward_api::{AuditEntryView, ListAuditQuery, Page};
use keyward_store::AuditId;

use super::{
    super::{
        Management,
        caller::Caller,
        input::{Asked, after, limit},
        problem::{Refusal, Refusals},
    },
    filter,
};

/// List who did what anywhere, newest first.
#[utoipa::path(
    get,
    path = "/v1/audit-entries",
    tag = "audit",
    params(ListAuditQuery),
    responses((status = 200, description = "A page of entries", body = Page<AuditEntryView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_all_audit_entries(
    State(management): State<Management>,
    caller: Caller,
    Asked(asked): Asked<ListAuditQuery>,
) -> Result<Json<Page<AuditEntryView>>, Refusal> {
    let filter = filter(None, &asked)?;
    let (after, limit) = (after(asked.after)?.map(AuditId::new), limit(asked.limit)?);
    let control = management.control();
    Ok(Json(control.list_audit_entries(&caller.context, &filter, after, limit).await?))
}
