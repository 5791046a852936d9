//! `POST /v1/organizations/{organization}/invitations`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{CreateInvitationInput, CreatedInvitation, PlaintextView};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id, read},
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
    params(("organization" = String, Path, description = "The organization's id")),
    request_body = CreateInvitationInput,
    responses((status = 201, description = "The invitation; with its token, where no mail is sent", body = CreatedInvitation), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn create_invitation(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(input): Body<CreateInvitationInput>,
) -> Result<(StatusCode, Json<CreatedInvitation>), Refusal> {
    let to = Some((id(&organization)?, read("role", &input.role)?));
    let email = read("email", &input.email)?;
    let invited = management.control().invite(&caller.context, to, email).await?;
    let answer = CreatedInvitation {
        token: invited.token.map(|token| PlaintextView::new(token.expose().to_owned())),
        invitation: invited.invitation,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}
