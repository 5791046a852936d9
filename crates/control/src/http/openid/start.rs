//! `GET /v1/sessions/openid/{provider}/start`: the browser leaves for the provider.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use keyward_api::StartOpenIdQuery;

use super::super::{
    Management,
    browser::{self, Browser},
    caller::Visitor,
    input::{Asked, Segments},
    problem::{Refusal, Refusals},
};
use crate::openid::AWAY;

/// Begin a login with an account elsewhere.
///
/// For browsers: the answer sends them to the provider, and has them keep a cookie that the login is bound to, for ten minutes.
#[utoipa::path(
    get,
    path = "/v1/sessions/openid/{provider}/start",
    tag = "sessions",
    params(("provider" = String, Path, description = "A provider's name"), StartOpenIdQuery),
    responses((status = 303, description = "To the provider"), Refusals),
)]
pub(in crate::http) async fn start_openid(
    State(management): State<Management>,
    _: Visitor,
    browser: Browser,
    Segments(provider): Segments<String>,
    Asked(query): Asked<StartOpenIdQuery>,
) -> Result<(StatusCode, HeaderMap), Refusal> {
    let providers = &management.gate().providers;
    providers.require(&provider)?;
    let redirect_uri = super::redirect_uri(browser.origin.as_ref(), &provider)?;
    let return_to = query.return_to.as_deref().unwrap_or("/");
    let begun = providers.begin(&provider, &redirect_uri, return_to, management.now()).await?;
    let mut headers = HeaderMap::new();
    let location = HeaderValue::try_from(begun.location).map_err(|_| Refusal::internal())?;
    headers.insert(header::LOCATION, location);
    headers.insert(header::SET_COOKIE, browser::keep(browser::LOGIN, begun.cookie.expose(), AWAY)?);
    Ok((StatusCode::SEE_OTHER, headers))
}
