//! Who asks: a person by their session's token, a program by a management key, or nobody who is known.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use keyward_api::ErrorCode;
use keyward_core::{id::SessionId, network};
use keyward_store::Interface;

use super::{Management, problem::Refusal};
use crate::{Context, app::people::session::Device};

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
            Known::Program(_) => Err(Refusal::new(
                ErrorCode::Forbidden,
                "this is for people, not for keys: log in, and send the session's token",
            )),
        }
    }
}

enum Known {
    Person(Person),
    Program(Context),
}

async fn identify(parts: &Parts, management: &Management) -> Result<Known, Refusal> {
    let shown = bearer(&parts.headers)?.ok_or_else(Refusal::unauthenticated)?;
    let (control, now) = (management.control(), management.now());
    let interface = Interface::ManagementApi;
    if let Some((session, context)) = control.authenticate(shown, interface, now).await? {
        return Ok(Known::Person(Person { context, session }));
    }
    let context = control.authenticate_key(shown, address(parts), interface, now).await?;
    context.map(Known::Program).ok_or_else(Refusal::unauthenticated)
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
}

impl FromRequestParts<Management> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        management: &Management,
    ) -> Result<Self, Refusal> {
        let address = address(parts);
        let device = Device { name: device(&parts.headers), address };
        let context = match bearer(&parts.headers)? {
            Some(_) => Person::from_request_parts(parts, management).await?.context,
            None => {
                let name = address.to_string();
                Context::visitor(name, Interface::ManagementApi, management.now())
            }
        };
        Ok(Self { context, device })
    }
}

fn address(parts: &Parts) -> IpAddr {
    let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let address = connected.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    network::canonical(address)
}

fn device(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    agent.unwrap_or("unknown").to_owned()
}
