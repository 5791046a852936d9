//! `GET /v1/keys/{key}/receipt`.

use axum::{Json, extract::State};
use keyward_api::ReceiptView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Show which gateways have applied the last change to a key, and when: after a revocation, that it is refused everywhere.
#[utoipa::path(
    get,
    path = "/v1/keys/{key}/receipt",
    tag = "keys",
    params(("key" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The gateways", body = ReceiptView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn show_receipt(
    State(management): State<Management>,
    caller: Caller,
    Segments(key): Segments<String>,
) -> Result<Json<ReceiptView>, Refusal> {
    Ok(Json(management.control().key_receipt(&caller.context, id(&key)?).await?))
}
