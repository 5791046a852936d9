//! `POST /v1/setup`: the first operator, by the token that the console showed.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{SetUpInput, UserView};
use keyward_core::key::Plaintext;

use super::super::{
    Management,
    caller::Visitor,
    input::{Body, read},
    problem::{Refusal, Refusals},
};
use crate::app::people::Newcomer;

/// Make the first operator.
///
/// Takes the one-use token that `keyward serve` shows on its console while there is no operator. It is good for an hour.
#[utoipa::path(
    post,
    path = "/v1/setup",
    tag = "account",
    request_body = SetUpInput,
    responses((status = 201, description = "The operator", body = UserView), Refusals),
)]
pub(in crate::http) async fn set_up(
    State(management): State<Management>,
    visitor: Visitor,
    Body(input): Body<SetUpInput>,
) -> Result<(StatusCode, Json<UserView>), Refusal> {
    let newcomer = Newcomer {
        email: read("email", &input.email)?,
        name: input.name,
        password: Plaintext::new(input.password),
    };
    let token = Plaintext::new(input.token);
    let control = management.control();
    let set_up = control.set_up(&visitor.context, &token, newcomer);
    let user = management.token_guess(visitor.device.address, set_up).await?;
    Ok((StatusCode::CREATED, Json(user)))
}
