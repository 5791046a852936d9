//! Who asks: a person by their session's token, in a header or a browser's cookie; a program by a management key; or nobody who is known.

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

/// Whoever showed who they are: a person, or a program.
pub(super) struct Caller {
    pub(super) context: Context,
}

impl FromRequestParts<Management> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        management: &Management,
    ) -> Result<Self, Refusal> {
        let context = match identify(parts, management).await? {
            Known::Person(person) => person.context,
            Known::Program(context) => context,
        };
        Ok(Self { context })
    }
}

/// A person who showed their session's token, for what is people's alone: their account, their sessions.
pub(super) struct Person {
    pub(super) context: Context,
    pub(super) session: SessionId,
}

impl FromRequestParts<Management> for Person {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        management: &Management,
    ) -> Result<Self, Refusal> {
        match identify(parts, management).await? {
            Known::Person(person) => Ok(person),
            Known::Program(_) => Err(not_for_programs()),
        }
    }
}

fn not_for_programs() -> Refusal {
    Refusal::new(
        ErrorCode::Forbidden,
        "this is for people, not for keys: log in, and send the session's token",
    )
}

/// Whose a credential is.
enum Known {
    Person(Person),
    Program(Context),
}

impl Known {
    const fn context(&self) -> &Context {
        match self {
            Self::Person(person) => &person.context,
            Self::Program(context) => context,
        }
    }
}

async fn identify(parts: &mut Parts, management: &Management) -> Result<Known, Refusal> {
    let client = Client::from_request_parts(parts, management).await?;
    let Some(credential) = Credential::of(parts, client, management)? else {
        return Err(Refusal::unauthenticated());
    };
    credential.known(parts, management, client).await?.ok_or_else(Refusal::unauthenticated)
}

/// What a request shows, of which there may be one.
enum Credential {
    /// A session's token, or a management key.
    Bearer(String),
    /// A session's token.
    Cookie(String),
}

impl Credential {
    /// A cookie that changes something must come from a page of ours.
    fn of(parts: &Parts, client: Client, management: &Management) -> Result<Option<Self>, Refusal> {
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
        match cookie {
            Some(token) => Ok(Some(Self::Cookie(token.to_owned()))),
            None => Ok(bearer(headers)?.map(|shown| Self::Bearer(shown.to_owned()))),
        }
    }

    /// Whose it is, if anybody's, and if they keep their pace.
    async fn known(
        &self,
        parts: &Parts,
        management: &Management,
        client: Client,
    ) -> Result<Option<Known>, Refusal> {
        let (control, now) = (management.control(), management.now());
        let (Self::Bearer(token) | Self::Cookie(token)) = self;
        let session = control.authenticate(token, Interface::ManagementApi, now).await?;
        let known = match (session, self) {
            (Some((session, context)), _) => {
                let context = context.from_address(client.address);
                Some(Known::Person(Person { context, session }))
            }
            (None, Self::Bearer(key)) => {
                let interface = Interface::ManagementApi;
                let context = control.authenticate_key(key, client.address, interface, now).await?;
                context.map(|context| Known::Program(context.from_address(client.address)))
            }
            (None, Self::Cookie(_)) => None,
        };
        let walker = match &known {
            Some(Known::Person(person)) => Walker::Session(person.session),
            Some(Known::Program(context)) => match context.actor.key {
                Some(key) => Walker::Key(key),
                None => Walker::Unknown(Neighbourhood::of(client.address)),
            },
            None => Walker::Unknown(Neighbourhood::of(client.address)),
        };
        management.gate().pace.take(walker, now).map_err(Refusal::too_many_requests)?;
        if let (Some(known), Some(told)) = (&known, parts.extensions.get::<Told>()) {
            told.caller(known.context());
        }
        Ok(known)
    }
}

/// What the one `Authorization` shows. Several, or one that is not ours, are refused: what somebody else might read from them is
/// not ignored here.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let alone = Some(value).filter(|_| values.next().is_none());
    let words = alone.and_then(|value| value.to_str().ok()?.split_once(' '));
    match words {
        Some((scheme, shown)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(shown.trim())),
        _ => Err(Refusal::unauthenticated()),
    }
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
        let known = match &credential {
            Some(shown) => shown.known(parts, management, client).await?,
            None => None,
        };
        match (known, credential) {
            (Some(Known::Person(Person { context, session })), _) => {
                Ok(Self { context, device, session: Some(session) })
            }
            (Some(Known::Program(_)), _) => Err(not_for_programs()),
            (None, Some(Credential::Bearer(_))) => Err(Refusal::unauthenticated()),
            // A browser sends what it kept by itself, whether it is still good or not.
            (None, Some(Credential::Cookie(_)) | None) => {
                let name = client.address.to_string();
                let context = Context::visitor(name, Interface::ManagementApi, management.now())
                    .from_address(client.address);
                Ok(Self { context, device, session: None })
            }
        }
    }
}

fn device(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    agent.unwrap_or("unknown").to_owned()
}
