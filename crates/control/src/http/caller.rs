//! Who asks: a person by their session's token, in a header or a browser's cookie, or nobody who is known.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use keyward_api::ErrorCode;
use keyward_core::id::SessionId;
use keyward_store::Interface;

use super::{Management, browser, client::Client, exchange::Told, problem::Refusal};
use crate::{
    Context,
    app::people::session::Device,
    throttle::{Neighbourhood, Walker},
};

/// A person who showed their session's token.
pub(super) struct Caller {
    pub(super) context: Context,
    pub(super) session: SessionId,
}

impl FromRequestParts<Management> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        management: &Management,
    ) -> Result<Self, Refusal> {
        let client = Client::from_request_parts(parts, management).await?;
        let Some(credential) = Credential::of(parts, client, management)? else {
            return Err(Refusal::unauthenticated());
        };
        Self::known(parts, management, client, &credential)
            .await?
            .ok_or_else(Refusal::unauthenticated)
    }
}

impl Caller {
    /// Whoever the credential is of, if they keep their pace.
    async fn known(
        parts: &Parts,
        management: &Management,
        client: Client,
        credential: &Credential<'_>,
    ) -> Result<Option<Self>, Refusal> {
        let (control, now, pace) =
            (management.control(), management.now(), &management.gate().pace);
        let (Credential::Bearer(token) | Credential::Cookie(token)) = credential;
        let known = control.authenticate(token, Interface::ManagementApi, now).await?;
        let walker = match &known {
            Some((session, _)) => Walker::Session(*session),
            None => Walker::Unknown(Neighbourhood::of(client.address)),
        };
        pace.take(walker, now).map_err(Refusal::too_many_requests)?;
        let Some((session, context)) = known else { return Ok(None) };
        if let Some(told) = parts.extensions.get::<Told>() {
            told.caller(&context);
        }
        Ok(Some(Self { context, session }))
    }
}

/// What a request shows, of which there may be one.
enum Credential<'r> {
    Bearer(&'r str),
    Cookie(&'r str),
}

impl<'r> Credential<'r> {
    /// A cookie that changes something must come from a page of ours.
    fn of(
        parts: &'r Parts,
        client: Client,
        management: &Management,
    ) -> Result<Option<Self>, Refusal> {
        let headers = &parts.headers;
        let cookie = browser::cookie(headers, browser::SESSION)?;
        if cookie.is_some() && headers.contains_key(header::AUTHORIZATION) {
            return Err(Refusal::new(
                ErrorCode::Invalid,
                "there is both a session's cookie and an `Authorization`: send one of them",
            ));
        }
        if cookie.is_some() && !browser::is_safe(&parts.method) {
            browser::require_own_page(headers, client, &management.gate().origins)?;
        }
        Ok(cookie.map(Self::Cookie).or_else(|| bearer(headers).map(Self::Bearer)))
    }
}

/// The one token of the one `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Whoever it is, with the person they are if they showed a token.
pub(super) struct Visitor {
    pub(super) context: Context,
    pub(super) device: Device,
    /// The session they are logged in by.
    pub(super) session: Option<SessionId>,
}

impl FromRequestParts<Management> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        management: &Management,
    ) -> Result<Self, Refusal> {
        let client = Client::from_request_parts(parts, management).await?;
        let device = Device { name: device(&parts.headers), address: client.address };
        let credential = Credential::of(parts, client, management)?;
        let caller = match &credential {
            Some(shown) => Caller::known(parts, management, client, shown).await?,
            None => None,
        };
        match (caller, credential) {
            (Some(Caller { context, session }), _) => {
                Ok(Self { context, device, session: Some(session) })
            }
            (None, Some(Credential::Bearer(_))) => Err(Refusal::unauthenticated()),
            // A browser sends what it kept by itself, whether it is still good or not.
            (None, Some(Credential::Cookie(_)) | None) => {
                let name = client.address.to_string();
                let context = Context::visitor(name, Interface::ManagementApi, management.now());
                Ok(Self { context, device, session: None })
            }
        }
    }
}

fn device(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    agent.unwrap_or("unknown").to_owned()
}
