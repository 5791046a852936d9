//! `GET /v1/audit-proof`.

use axum::{Json, extract::State};
use keyward_api::{AuditProofView, VerifyAuditQuery};

use super::super::{
    Management,
    caller::Caller,
    input::{Asked, read},
    problem::{Refusal, Refusals},
};

/// Read the whole audit log and say whether it is what was written. A log that is broken is an answer, not an error.
#[utoipa::path(
    get,
    path = "/v1/audit-proof",
    tag = "audit",
    params(VerifyAuditQuery),
    responses((status = 200, description = "What was found", body = AuditProofView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn verify_audit(
    State(management): State<Management>,
    caller: Caller,
    Asked(asked): Asked<VerifyAuditQuery>,
) -> Result<Json<AuditProofView>, Refusal> {
    let noted = asked.noted.map(|noted| read("noted", &noted)).transpose()?;
    Ok(Json(management.control().verify_audit(&caller.context, noted).await?))
}
