//! `GET /v1/audit-proof`.

use axum::{Json, extract::State};
use keyward_api::AuditProofView;

use super::super::{
    Management,
    caller::Caller,
    problem::{Refusal, Refusals},
};

/// Read the whole audit log and say whether it is what was written. A log that is broken is an answer, not an error.
#[utoipa::path(
    get,
    path = "/v1/audit-proof",
    tag = "audit",
    responses((status = 200, description = "What was found", body = AuditProofView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn verify_audit(
    State(management): State<Management>,
    caller: Caller,
) -> Result<Json<AuditProofView>, Refusal> {
    Ok(Json(management.control().verify_audit(&caller.context, None).await?))
}
