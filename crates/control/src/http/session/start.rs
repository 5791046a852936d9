//! `POST /v1/sessions`: logging in.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{PlaintextView, StartSessionInput, StartedSession};
use keyward_core::key::Plaintext;

use super::super::{
    Management,
    caller::Visitor,
    input::{Body, read},
    problem::{Refusal, Refusals},
};

/// Log in.
///
/// The answer holds the session's token, once; it is good for twelve hours.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    tag = "sessions",
    request_body = StartSessionInput,
    responses((status = 201, description = "The session and its token", body = StartedSession), Refusals),
)]
pub(in crate::http) async fn start_session(
    State(management): State<Management>,
    visitor: Visitor,
    Body(input): Body<StartSessionInput>,
) -> Result<(StatusCode, Json<StartedSession>), Refusal> {
    let email = read("email", &input.email)?;
    let password = Plaintext::new(input.password);
    let control = management.control();
    let started = control.log_in(&visitor.context, &email, password, visitor.device).await?;
    let answer = StartedSession {
        token: PlaintextView::new(started.token.expose().to_owned()),
        user: started.user,
        session: started.session,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}
