//! `POST /v1/signup`: a person with an organization of their own.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{ErrorCode, SignUpInput, SignedUp};
use keyward_core::key::Plaintext;

use super::super::{
    Management,
    caller::Visitor,
    input::{Body, read},
    problem::{Refusal, Refusals},
};
use crate::app::people::Newcomer;

/// Sign up with an organization of one's own.
///
/// Only where the operator allows it; otherwise people come by invitation.
#[utoipa::path(
    post,
    path = "/v1/signup",
    tag = "account",
    request_body = SignUpInput,
    responses((status = 201, description = "The person and the organization", body = SignedUp), Refusals),
)]
pub(in crate::http) async fn sign_up(
    State(management): State<Management>,
    visitor: Visitor,
    Body(input): Body<SignUpInput>,
) -> Result<(StatusCode, Json<SignedUp>), Refusal> {
    if !management.terms.sign_up {
        let detail = "nobody signs up here: ask a member or an operator for an invitation";
        return Err(Refusal::new(ErrorCode::Forbidden, detail));
    }
    let newcomer = Newcomer {
        email: read("email", &input.email)?,
        name: input.name,
        password: Plaintext::new(input.password),
    };
    let control = management.control();
    // Whose addresses are known here is told by it, and not to whoever asks for many.
    let sign_up = control.sign_up(&visitor.context, newcomer, input.organization);
    let (user, organization) = management.token_guess(visitor.device.address, sign_up).await?;
    Ok((StatusCode::CREATED, Json(SignedUp { user, organization })))
}
