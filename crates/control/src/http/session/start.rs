//! `POST /v1/sessions`: logging in.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use keyward_api::{PlaintextView, StartSessionInput, StartedSession};
use keyward_core::key::Plaintext;

use super::super::{
    Management,
    browser::{self, Browser},
    caller::Visitor,
    input::{Body, read},
    known,
    problem::{Refusal, Refusals},
};
use crate::{ControlError, throttle::Account};

/// Log in.
///
/// The answer holds the session's token, once; it is good for twelve hours. With `cookie`, a browser keeps it instead, and a session that its cookie
/// opened until now ends. Wrong guesses are answered with 429 after a while, for longer and longer.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    tag = "sessions",
    request_body = StartSessionInput,
    responses((status = 201, description = "The session, and its token or its cookie", body = StartedSession), Refusals),
)]
pub(in crate::http) async fn start_session(
    State(management): State<Management>,
    visitor: Visitor,
    browser: Browser,
    Body(input): Body<StartSessionInput>,
) -> Result<(StatusCode, HeaderMap, Json<StartedSession>), Refusal> {
    let email = read("email", &input.email)?;
    if input.cookie {
        browser.require_own_page()?;
    }
    let (control, now) = (management.control(), management.now());
    let (account, address) = (Account::of(&email), visitor.device.address);
    let shown = browser.known.as_deref().and_then(|shown| known::check(&control, account, shown));
    let attempt = management
        .gate()
        .guesses
        .at_password(account, address, shown, now)
        .map_err(Refusal::too_many_guesses)?;
    let password = Plaintext::new(input.password);
    let replacing = visitor.session.filter(|_| browser.has_session);
    let started =
        control.log_in(&visitor.context, &email, password, visitor.device, replacing).await;
    match &started {
        Ok(_) => attempt.right(),
        Err(ControlError::WrongPassword) => drop(attempt),
        Err(_) => attempt.void(),
    }
    let started = started?;
    let mut headers = HeaderMap::new();
    let token = if input.cookie {
        headers.append(header::SET_COOKIE, browser::keep_session(&started)?);
        let proof = known::make(&control, account)?;
        let kept = browser::keep(browser::KNOWN, &proof, known::KEPT)?;
        headers.append(header::SET_COOKIE, kept);
        None
    } else {
        Some(PlaintextView::new(started.token.expose().to_owned()))
    };
    let answer = StartedSession { token, user: started.user, session: started.session };
    Ok((StatusCode::CREATED, headers, Json(answer)))
}
