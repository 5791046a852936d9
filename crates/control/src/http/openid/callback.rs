//! `GET /v1/sessions/openid/{provider}/callback`: the browser comes back from the provider.

use axum::{
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use keyward_api::ErrorCode;

use super::super::{
    Management,
    browser::{self, Browser},
    caller::Visitor,
    input::Segments,
    problem::{Refusal, Refusals},
};
use crate::{app::people::session::Device, openid::Answer};

/// End a login with an account elsewhere.
///
/// Where the provider sends the browser back to; nobody else has a use for it. Whoever logs in is known here, was invited, or comes where the operator
/// lets the provider's people come. The browser keeps the session in a cookie and is sent to the path it asked for.
#[utoipa::path(
    get,
    path = "/v1/sessions/openid/{provider}/callback",
    tag = "sessions",
    params(
        ("provider" = String, Path, description = "A provider's name"),
        ("code" = Option<String>, Query, description = "What the provider gives for the login"),
        ("state" = Option<String>, Query, description = "What the login was begun with"),
        ("error" = Option<String>, Query, description = "Why the provider refused"),
        ("iss" = Option<String>, Query, description = "Which provider answers"),
    ),
    responses((status = 303, description = "To where the browser wanted to go"), Refusals),
)]
pub(in crate::http) async fn finish_openid(
    State(management): State<Management>,
    visitor: Visitor,
    browser: Browser,
    Segments(provider): Segments<String>,
    // The provider may add what it likes.
    query: Result<Query<Answer>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refusal> {
    let gate = management.gate();
    gate.providers.require(&provider)?;
    let Query(answer) =
        query.map_err(|error| Refusal::new(ErrorCode::Invalid, error.body_text()))?;
    let attempt = gate
        .guesses
        .at_token(visitor.device.address, management.now())
        .map_err(Refusal::too_many_guesses)?;
    let done = finish(&management, &visitor, browser, &provider, answer).await;
    match &done {
        Ok(_) => attempt.right(),
        Err(refusal) if refusal.is_outage() => attempt.void(),
        Err(_) => drop(attempt),
    }
    // A login is begun once and ends once, whatever came of it.
    let mut response = done.unwrap_or_else(Refusal::into_response);
    response.headers_mut().append(header::SET_COOKIE, browser::forget(browser::LOGIN)?);
    Ok(response)
}

async fn finish(
    management: &Management,
    visitor: &Visitor,
    browser: Browser,
    provider: &str,
    answer: Answer,
) -> Result<Response, Refusal> {
    let redirect_uri = super::redirect_uri(browser.origin.as_ref(), provider)?;
    let now = management.now();
    let (proven, provider, return_to) = management
        .gate()
        .providers
        .finish(provider, &redirect_uri, browser.login.as_ref(), answer, now)
        .await?;
    let device = Device { name: visitor.device.name.clone(), address: visitor.device.address };
    let replacing = visitor.session.filter(|_| browser.has_session);
    let started = management
        .control()
        .log_in_by_identity(
            &visitor.context,
            proven,
            provider.newcomers.as_ref(),
            device,
            replacing,
        )
        .await?;
    let mut headers = HeaderMap::new();
    let location = HeaderValue::try_from(return_to).map_err(|_| Refusal::internal())?;
    headers.insert(header::LOCATION, location);
    headers.append(header::SET_COOKIE, browser::keep_session(&started)?);
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}
