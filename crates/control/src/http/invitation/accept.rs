//! `POST /v1/invitations/accept`: by whoever was invited.

use axum::{Json, extract::State};
use keyward_api::{AcceptInvitationInput, AccountView, ErrorCode};
use keyward_core::key::Plaintext;

use super::super::{
    Management,
    caller::Visitor,
    input::Body,
    problem::{Refusal, Refusals},
};

/// Accept an invitation.
///
/// A newcomer chooses a name and a password. Who is known here by the invited address logs in first and sends the token alone.
#[utoipa::path(
    post,
    path = "/v1/invitations/accept",
    tag = "invitations",
    request_body = AcceptInvitationInput,
    responses((status = 200, description = "Who accepted, and where they belong now", body = AccountView), Refusals),
    security((), ("session" = [])),
)]
pub(in crate::http) async fn accept_invitation(
    State(management): State<Management>,
    visitor: Visitor,
    Body(input): Body<AcceptInvitationInput>,
) -> Result<Json<AccountView>, Refusal> {
    let newcomer = match (input.name, input.password) {
        (Some(name), Some(password)) => Some((name, Plaintext::new(password))),
        (None, None) => None,
        _ => {
            let detail = "a newcomer sends both `name` and `password`, and nobody else either";
            return Err(Refusal::new(ErrorCode::Invalid, detail));
        }
    };
    let token = Plaintext::new(input.token);
    let control = management.control();
    let accept = control.accept_invitation(&visitor.context, &token, newcomer);
    Ok(Json(management.token_guess(visitor.device.address, accept).await?))
}
