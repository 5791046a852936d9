//! Where a request comes from: the address that connected, or what a trusted proxy says of it.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    Extension,
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, HeaderName, request::Parts},
};
use keyward_core::network::{self, Network};

use super::{Management, problem::Refusal};

/// The connection that a request came on, put there by the listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connected {
    pub(super) peer: IpAddr,
    pub(super) tls: bool,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// In one form (`keyward_core::network`).
    pub(super) address: IpAddr,
    /// Whether the client speaks TLS, to us or to a trusted proxy.
    pub(super) secure: bool,
}

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl Client {
    pub(super) fn of(extensions: &Extensions, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let connected = extensions.get::<Connected>().copied();
        let Connected { peer, tls } =
            connected.unwrap_or(Connected { peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED), tls: false });
        let peer = network::canonical(peer);
        let is_trusted =
            |address: &IpAddr| trusted.iter().any(|network| network.contains(*address));
        if !is_trusted(&peer) {
            return Self { address: peer, secure: tls };
        }
        // From the right: each trusted proxy says who connected to it. The first that is none of ours is the client, and
        // what stands left of it is the client's own claim.
        let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let claims: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut address = peer;
        for claim in claims.into_iter().rev() {
            let Ok(claimed) = claim.parse() else { break };
            address = network::canonical(claimed);
            if !is_trusted(&address) {
                break;
            }
        }
        let mut schemes = headers.get_all(FORWARDED_PROTO).iter();
        let secure = match (schemes.next(), schemes.next()) {
            (Some(scheme), None) => scheme.as_bytes().eq_ignore_ascii_case(b"https"),
            _ => tls,
        };
        Self { address, secure }
    }
}

impl FromRequestParts<Management> for Client {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Management) -> Result<Self, Refusal> {
        let Ok(Extension(client)) = Extension::<Self>::from_request_parts(parts, &()).await else {
            return Err(Refusal::internal());
        };
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_says_who_asks() {
        let trusted: Vec<Network> =
            ["127.0.0.1", "10.0.0.0/8"].map(|one| one.parse().unwrap()).into();
        for (peer, forwarded, expected) in [
            ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
            ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("::ffff:127.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
            ("127.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
            ("127.0.0.1", "6.6.6.6, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
            ("127.0.0.1", "", "127.0.0.1"),
            ("127.0.0.1", "6.6.6.6, unknown", "127.0.0.1"),
            ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ] {
            let mut extensions = Extensions::new();
            extensions.insert(Connected { peer: peer.parse().unwrap(), tls: false });
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, forwarded.parse().unwrap());
            headers.insert(FORWARDED_PROTO, "https".parse().unwrap());
            let client = Client::of(&extensions, &headers, &trusted);
            assert_eq!(client.address, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded}");
            assert_eq!(client.secure, peer != "203.0.113.7");
        }
    }
}
