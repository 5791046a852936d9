//! `PUT /v1/account/password`: another password.

use axum::{extract::State, http::StatusCode};
use keyward_api::{ErrorCode, SetPasswordInput};
use keyward_core::key::Plaintext;

use super::super::{
    Management,
    caller::Person,
    input::Body,
    problem::{Refusal, Refusals},
};
use crate::ControlError;

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
    let changed = control.change_password(&caller.context, Some(caller.session), old, new).await;
    changed.map_err(|error| match error {
        // Who asks is known: a 401 would tell their program that its session has ended.
        ControlError::WrongPassword => {
            Refusal::new(ErrorCode::Invalid, "the old password is another one: check it")
        }
        error => error.into(),
    })?;
    Ok(StatusCode::NO_CONTENT)
}
