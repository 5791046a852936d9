//! Who asks: a person by their session's token, or nobody who is known.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use keyward_core::{id::SessionId, network};
use keyward_store::Interface;

use super::{Management, problem::Refusal};
use crate::{Context, app::people::session::Device};

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
        let token = bearer(&parts.headers).ok_or_else(Refusal::unauthenticated)?;
        let (control, now) = (management.control(), management.now());
        let known = control.authenticate(token, Interface::ManagementApi, now).await?;
        let (session, context) = known.ok_or_else(Refusal::unauthenticated)?;
        Ok(Self { context, session })
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
}

impl FromRequestParts<Management> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        management: &Management,
    ) -> Result<Self, Refusal> {
        let address = address(parts);
        let device = Device { name: device(&parts.headers), address };
        let context = match bearer(&parts.headers) {
            Some(_) => Caller::from_request_parts(parts, management).await?.context,
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
