//! `PUT /v1/account/password`: another password.

use axum::{extract::State, http::StatusCode};
use keyward_api::SetPasswordInput;
use keyward_core::key::Plaintext;

use super::super::{
    Management,
    caller::Person,
    input::Body,
    problem::{Refusal, Refusals},
};

/// Change one's password. All other sessions end.
#[utoipa::path(
    put,
    path = "/v1/account/password",
    tag = "account",
    request_body = SetPasswordInput,
    responses((status = 204, description = "It was changed"), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn set_password(
    State(management): State<Management>,
    caller: Person,
    Body(input): Body<SetPasswordInput>,
) -> Result<StatusCode, Refusal> {
    let (old, new) = (Plaintext::new(input.old), Plaintext::new(input.new));
    let control = management.control();
    control.change_password(&caller.context, Some(caller.session), old, new).await?;
    Ok(StatusCode::NO_CONTENT)
}
