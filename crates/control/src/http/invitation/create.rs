//! `POST /v1/organizations/{organization}/invitations`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{CreateInvitationInput, CreatedInvitation};

use super::super::{
    Management,
    input::{Segments, id, read},
    once::Once,
    problem::{Refusal, Refusals},
};

/// Invite somebody, up to one's own role.
///
/// The invitation's token goes by mail, and is good for seven days. Where this Keyward sends no mail, it stands in the answer, once: give it to
/// the person invited and to nobody else.
#[utoipa::path(
    post,
    path = "/v1/organizations/{organization}/invitations",
    tag = "invitations",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes"),
    ),
    request_body = CreateInvitationInput,
    responses((status = 201, description = "The invitation; with its token, where no mail is sent", body = CreatedInvitation), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn create_invitation(
    State(management): State<Management>,
    Segments(organization): Segments<String>,
    Once { caller, input }: Once<CreateInvitationInput>,
) -> Result<(StatusCode, Json<CreatedInvitation>), Refusal> {
    let to = Some((id(&organization)?, read("role", &input.role)?));
    let email = read("email", &input.email)?;
    let invited = management.control().invite(&caller.context, to, email).await?;
    Ok((StatusCode::CREATED, Json(invited.view())))
}
