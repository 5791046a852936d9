//! `GET /v1/organizations/{organization}/audit-entries`.

use axum::{Json, extract::State};
use keyward_api::{AuditEntryView, ListAuditQuery, Page};
use keyward_store::AuditId;

use super::{
    super::{
        Management,
        caller::Caller,
        input::{Asked, Segments, after, id, limit},
        problem::{Refusal, Refusals},
    },
    filter,
};

/// List who did what in an organization, newest first.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/audit-entries",
    tag = "audit",
    params(("organization" = String, Path, description = "The organization's id"), ListAuditQuery),
    responses((status = 200, description = "A page of entries", body = Page<AuditEntryView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_audit_entries(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Asked(asked): Asked<ListAuditQuery>,
) -> Result<Json<Page<AuditEntryView>>, Refusal> {
    let filter = filter(Some(id(&organization)?), &asked)?;
    let (after, limit) = (after(asked.after)?.map(AuditId::new), limit(asked.limit)?);
    let control = management.control();
    Ok(Json(control.list_audit_entries(&caller.context, &filter, after, limit).await?))
}
