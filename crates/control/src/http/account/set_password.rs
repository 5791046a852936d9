//! `PUT /v1/account/password`: another password.

use axum::{extract::State, http::StatusCode};
use keyward_api::{ErrorCode, SetPasswordInput};
use keyward_core::key::Plaintext;

use super::super::{
    Management,
    caller::Person,
    client::Client,
    input::Body,
    problem::{Refusal, Refusals},
};
use crate::{ControlError, throttle::Account};

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
    client: Client,
    Body(input): Body<SetPasswordInput>,
) -> Result<StatusCode, Refusal> {
    let (old, new) = (Plaintext::new(input.old), Plaintext::new(input.new));
    let control = management.control();
    // Whoever found an open session shall not find out the password by it.
    let session = Account::named(&caller.session.to_string());
    let account = caller.context.user().map_or(session, Account::of_user);
    let (browser, now) = (Some(*session.bytes()), management.now());
    let attempt = management
        .gate()
        .guesses
        .at_password(account, client.address, browser, now)
        .map_err(Refusal::too_many_guesses)?;
    let changed = control.change_password(&caller.context, Some(caller.session), old, new).await;
    match &changed {
        Ok(()) => attempt.right(),
        Err(ControlError::WrongPassword) => drop(attempt),
        Err(_) => attempt.void(),
    }
    changed.map_err(|error| match error {
        // Who asks is known: a 401 would tell their program that its session has ended.
        ControlError::WrongPassword => {
            Refusal::new(ErrorCode::Invalid, "the old password is another one: check it")
        }
        error => error.into(),
    })?;
    Ok(StatusCode::NO_CONTENT)
}
