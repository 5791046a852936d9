//! Headers between the two sides: what is hop-by-hop or forged goes, what is ours is set after that.
//!
//! The order matters: a client that names one of our headers in `Connection`, or spells one with underscores, must
//! neither remove ours nor slip its own through (CVE-2024-45410, CVE-2026-39858, CVE-2026-31908).

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use hashbrown::HashMap;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use keyward_core::{
    credential::Slot,
    id::ApiNumber,
    permission::PermissionSet,
    policy::{Api, Policy, Upstream},
    query,
    verdict::Permit,
};

use crate::{
    settings::Compiled,
    wire::answer::{self, Head},
};

/// Header lines that many requests share, made once.
#[derive(Default)]
pub(crate) struct Prepared {
    /// The policy they were made from; another's permissions may have other names.
    policy: Option<Arc<Policy>>,
    apis: HashMap<ApiNumber, Lines>,
    permissions: HashMap<(ApiNumber, PermissionSet), Vec<u8>>,
}

/// What every request to an API's upstream says.
struct Lines {
    host: Vec<u8>,
    credential: Vec<u8>,
    /// The credential's header; a client's by this name does not pass.
    credential_name: Option<HeaderName>,
    /// The header that numbers answers.
    request_id: HeaderName,
}

impl Lines {
    fn new(api: &Api, upstream: &Upstream) -> Self {
        let default = if upstream.tls { 443 } else { 80 };
        let mut host = Vec::new();
        match upstream.port {
            port if port == default => line(&mut host, "host", upstream.host.as_bytes()),
            port => line(&mut host, "host", format!("{}:{port}", upstream.host).as_bytes()),
        }
        let mut credential = Vec::new();
        let mut credential_name = None;
        if let Some(own) = &upstream.credential
            && let Ok(name) = HeaderName::from_bytes(own.header.as_bytes())
            && let Ok(value) = HeaderValue::from_str(own.value.expose())
        {
            line(&mut credential, name.as_str(), value.as_bytes());
            credential_name = Some(name);
        }
        let request_id = HeaderName::from_bytes(api.profile.request_id.header.as_bytes());
        Self { host, credential, credential_name, request_id: request_id.unwrap_or(REQUEST_ID) }
    }
}

impl Prepared {
    fn of(&mut self, policy: &Arc<Policy>, api: &Api, upstream: &Upstream) -> &Lines {
        self.follow(policy);
        self.apis.entry(api.number).or_insert_with(|| Lines::new(api, upstream))
    }

    /// The header that numbers an API's answers.
    pub(crate) fn request_id(
        &mut self,
        policy: &Arc<Policy>,
        api: &Api,
        upstream: &Upstream,
    ) -> HeaderName {
        self.of(policy, api, upstream).request_id.clone()
    }

    /// The names of a key's permissions with commas between them.
    fn permissions(&mut self, api: &Api, set: PermissionSet) -> &[u8] {
        self.permissions.entry((api.number, set)).or_insert_with(|| {
            let names: Vec<_> = api.profile.vocabulary.names(set).collect();
            names.join(",").into_bytes()
        })
    }

    fn follow(&mut self, policy: &Arc<Policy>) {
        if !self.policy.as_ref().is_some_and(|own| Arc::ptr_eq(own, policy)) {
            self.policy = Some(policy.clone());
            self.permissions.clear();
            self.apis.clear();
        }
    }
}

/// Writes one header line.
pub(crate) fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110, 7.6.1, and what proxies added over time.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What makes some servers see another path, method or caller than was decided on, and what is set anew.
fn is_override(name: &str) -> bool {
    matches!(
        name,
        "x-method"
            | "x-method-override"
            | "x-host"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "true-client-ip"
            | "cf-connecting-ip"
            | "fastly-client-ip"
            | "forwarded"
            | "proxy"
            | "http2-settings"
            | "expect"
    ) || (name.starts_with("x-") && OVERRIDE_FAMILIES.iter().any(|family| name.starts_with(family)))
}

const OVERRIDE_FAMILIES: [&str; 5] =
    ["x-forwarded-", "x-original-", "x-real-", "x-rewrite-", "x-http-method"];

/// Where APIs elsewhere expect a key: an upstream could believe one of these instead of the credential it is given.
fn is_credential_of_others(name: &str) -> bool {
    matches!(name, "authorization" | "x-api-key" | "api-key" | "x-goog-api-key" | "x-auth-token")
}

/// Who calls, and whom: for the upstream.
pub(crate) struct Identity<'r> {
    pub(crate) policy: &'r Arc<Policy>,
    pub(crate) api: &'r Api,
    pub(crate) upstream: &'r Upstream,
    pub(crate) settings: &'r Compiled,
    pub(crate) permit: &'r Permit,
    pub(crate) organization: &'r str,
    pub(crate) client: HeaderValue,
    pub(crate) secure: bool,
    pub(crate) request_id: &'r HeaderValue,
    /// The client's host, where the upstream is to see it.
    pub(crate) host: Option<HeaderValue>,
}

/// Writes a client's headers as the upstream gets them, without those that frame the body.
pub(crate) fn toward_upstream(
    out: &mut Vec<u8>,
    headers: &HeaderMap,
    prepared: &mut Prepared,
    identity: &Identity<'_>,
) {
    let Identity { policy, api, upstream, settings, permit, .. } = *identity;
    let lines = prepared.of(policy, api, upstream);
    match &identity.host {
        Some(host) => line(out, "host", host.as_bytes()),
        None => out.extend_from_slice(&lines.host),
    }
    out.extend_from_slice(&lines.credential);

    let named = named_in_connection(headers);
    let mut numbered = false;
    for (name, value) in headers {
        let passes = may_pass(name, api, settings)
            && lines.credential_name.as_ref() != Some(name)
            && !named.contains(name);
        if passes {
            numbered |= *name == REQUEST_ID;
            line(out, name.as_str(), value.as_bytes());
        }
    }
    if !named.contains(&header::COOKIE) {
        join_cookies(out, headers);
    }
    if !named.contains(&header::SEC_WEBSOCKET_PROTOCOL) {
        keep_subprotocols(out, headers, api);
    }

    if let Some(name) = &settings.key_id {
        line(out, name.as_str(), &permit.key().encoded());
    }
    if let Some(name) = &settings.organization_id {
        line(out, name.as_str(), identity.organization.as_bytes());
    }
    if let Some(name) = &settings.permissions {
        line(out, name.as_str(), prepared.permissions(api, permit.permissions()));
    }
    line(out, "x-forwarded-for", identity.client.as_bytes());
    line(out, "x-forwarded-proto", if identity.secure { b"https" } else { b"http" });
    if !numbered {
        line(out, REQUEST_ID.as_str(), identity.request_id.as_bytes());
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is written anew for every request: where it goes, where its body ends, and what came in several parts.
fn is_written_anew(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST | header::CONTENT_LENGTH | header::COOKIE | header::SEC_WEBSOCKET_PROTOCOL
    )
}

fn may_pass(name: &HeaderName, api: &Api, settings: &Compiled) -> bool {
    let text = name.as_str();
    if is_written_anew(name)
        || is_hop_by_hop(text)
        || is_override(text)
        || is_credential_of_others(text)
        || text.contains('_')
    {
        return false;
    }
    let is_credential = |slot: &Slot| match slot {
        Slot::Header { header, .. } | Slot::Scheme { header, .. } => **header == *text,
        Slot::Query { .. } | Slot::Subprotocol { .. } => false,
    };
    let ours = text.starts_with("x-keyward-") || settings.is_identity(name);
    !ours && !api.profile.slots.iter().any(is_credential)
}

/// What `Connection` names in vain: how content is framed and how it is read was decided on, and stays so.
const END_TO_END: [HeaderName; 4] =
    [header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::CONTENT_TYPE, header::HOST];

fn named_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    if !headers.contains_key(header::CONNECTION) {
        return Vec::new();
    }
    let values = headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
    values.flat_map(names_in).collect()
}

fn names_in(list: &[u8]) -> impl Iterator<Item = HeaderName> {
    list.split(|byte| *byte == b',')
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !END_TO_END.contains(name))
}

/// A key that came as a WebSocket subprotocol goes; the subprotocols beside it stay.
fn keep_subprotocols(out: &mut Vec<u8>, headers: &HeaderMap, api: &Api) {
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return;
    }
    let is_key = |item: &str| {
        api.profile.slots.iter().any(|slot| match slot {
            Slot::Subprotocol { prefix } => item.starts_with(&**prefix),
            _ => false,
        })
    };
    let kept: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty() && !is_key(item))
        .collect();
    if !kept.is_empty() {
        line(out, header::SEC_WEBSOCKET_PROTOCOL.as_str(), kept.join(", ").as_bytes());
    }
}

/// HTTP/2 lets a client send its cookies in several headers; HTTP/1.1 knows one (RFC 9113, 8.2.3).
fn join_cookies(out: &mut Vec<u8>, headers: &HeaderMap) {
    let cookies: Vec<&[u8]> =
        headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if !cookies.is_empty() {
        line(out, header::COOKIE.as_str(), &cookies.join(&b"; "[..]));
    }
}

/// The query without the client's credential, if it stood there.
pub(crate) fn query_toward_upstream<'q>(query: &'q str, api: &Api) -> Cow<'q, str> {
    let mut query = Cow::Borrowed(query);
    for slot in &api.profile.slots {
        if let Slot::Query { parameter } = slot {
            query = query::without_parameter(&query, parameter).into();
        }
    }
    query
}

/// An upstream's headers as the client gets them; `upgraded` where the connection changes its protocol.
///
/// The length of the content is told by whoever writes it.
pub(crate) fn toward_client(head: &Head, lines: &Bytes, upgraded: bool) -> HeaderMap {
    let named: Vec<HeaderName> = match head.connection {
        true => answer::fields(lines)
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"))
            .flat_map(|(_, value)| names_in(value))
            .collect(),
        false => Vec::new(),
    };
    let mut headers = HeaderMap::with_capacity(12);
    let mut streams = false;
    for (name, value) in answer::fields(lines) {
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_maybe_shared(lines.slice_ref(value)))
        else {
            continue;
        };
        if name == header::UPGRADE && upgraded {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        } else if is_hop_by_hop(name.as_str()) || named.contains(&name) {
            continue;
        }
        streams |=
            name == header::CONTENT_TYPE && value.as_bytes().starts_with(b"text/event-stream");
        headers.append(name, value);
    }
    if streams {
        // Asks proxies between us and the client not to gather events.
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }
    headers
}

/// Adds a trailer's line to those that the client gets.
pub(crate) fn trailer_toward_client(trailers: &mut HeaderMap, line: &Bytes) {
    for (name, value) in answer::fields(line) {
        let value = HeaderValue::from_maybe_shared(line.slice_ref(value));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            trailers.append(name, value);
        }
    }
}

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
