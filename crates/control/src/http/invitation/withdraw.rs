//! `DELETE /v1/invitations/{invitation}`.

use axum::{extract::State, http::StatusCode};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Take an invitation back. What was taken back already stays so.
#[utoipa::path(
    delete,
    path = "/v1/invitations/{invitation}",
    tag = "invitations",
    params(("invitation" = String, Path, description = "The invitation's id")),
    responses((status = 204, description = "It opens nothing any more"), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn withdraw_invitation(
    State(management): State<Management>,
    caller: Caller,
    Segments(invitation): Segments<String>,
) -> Result<StatusCode, Refusal> {
    management.control().withdraw_invitation(&caller.context, id(&invitation)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
