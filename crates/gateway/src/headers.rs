//! Headers between the two sides: what is hop-by-hop or forged goes, what is ours is set after that.
//!
//! The order matters: a client that names one of our headers in `Connection`, or spells one with underscores, must
//! neither remove ours nor slip its own through (CVE-2024-45410, CVE-2026-39858, CVE-2026-31908).

use std::sync::Arc;

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

use crate::settings::Compiled;

/// Header values that many requests share, made once.
#[derive(Default)]
pub(crate) struct Names {
    /// The policy the values were made from; another's permissions may have other names.
    policy: Option<Arc<Policy>>,
    permissions: HashMap<(ApiNumber, PermissionSet), HeaderValue>,
    request_ids: HashMap<ApiNumber, HeaderName>,
    hosts: HashMap<usize, HeaderValue>,
}

impl Names {
    /// The names of a key's permissions with commas between them.
    pub(crate) fn permissions(
        &mut self,
        policy: &Arc<Policy>,
        api: &Api,
        set: PermissionSet,
    ) -> HeaderValue {
        self.follow(policy);
        let value = self.permissions.entry((api.number, set)).or_insert_with(|| {
            let names: Vec<_> = api.profile.vocabulary.names(set).collect();
            HeaderValue::from_str(&names.join(",")).unwrap_or_else(|_| HeaderValue::from_static(""))
        });
        value.clone()
    }
}

impl Names {
    /// The header that numbers an API's answers.
    pub(crate) fn request_id(&mut self, policy: &Arc<Policy>, api: &Api) -> HeaderName {
        self.follow(policy);
        let name = self.request_ids.entry(api.number).or_insert_with(|| {
            HeaderName::from_bytes(api.profile.request_id.header.as_bytes()).unwrap_or(REQUEST_ID)
        });
        name.clone()
    }

    /// The Host header of an API's upstream.
    pub(crate) fn host(
        &mut self,
        policy: &Arc<Policy>,
        api: &Api,
        upstream: &Upstream,
    ) -> HeaderValue {
        self.follow(policy);
        let host = self.hosts.entry(api.upstream).or_insert_with(|| {
            let default = if upstream.tls { 443 } else { 80 };
            let text = match upstream.port {
                port if port == default => upstream.host.to_string(),
                port => format!("{}:{port}", upstream.host),
            };
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
        });
        host.clone()
    }

    fn follow(&mut self, policy: &Arc<Policy>) {
        if !self.policy.as_ref().is_some_and(|own| Arc::ptr_eq(own, policy)) {
            self.policy = Some(policy.clone());
            self.permissions.clear();
            self.request_ids.clear();
            self.hosts.clear();
        }
    }
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
    ) || OVERRIDE_FAMILIES.iter().any(|family| name.starts_with(family))
}

const OVERRIDE_FAMILIES: [&str; 5] =
    ["x-forwarded-", "x-original-", "x-real-", "x-rewrite-", "x-http-method"];

/// Where APIs elsewhere expect a key: an upstream could believe one of these instead of the credential it is given.
fn is_credential_of_others(name: &str) -> bool {
    matches!(name, "authorization" | "x-api-key" | "api-key" | "x-goog-api-key" | "x-auth-token")
}

/// Who calls, for the upstream.
pub(crate) struct Identity<'r> {
    pub(crate) permit: &'r Permit,
    pub(crate) organization: &'r str,
    pub(crate) permissions: Option<HeaderValue>,
    pub(crate) client: HeaderValue,
    pub(crate) secure: bool,
    pub(crate) request_id: &'r HeaderValue,
}

/// Makes a client's headers the upstream's.
pub(crate) fn toward_upstream(
    headers: &mut HeaderMap,
    api: &Api,
    upstream: &Upstream,
    settings: &Compiled,
    identity: &Identity<'_>,
    host: &HeaderValue,
) {
    let doomed: Vec<HeaderName> =
        headers.keys().filter(|name| !may_pass(name, api, settings)).cloned().collect();
    if doomed.contains(&header::CONNECTION) {
        remove_named_in_connection(headers);
    }
    for name in doomed {
        headers.remove(name);
    }
    take_credential(headers, api);
    join_cookies(headers);

    headers.insert(header::HOST, host.clone());
    let mut set = |name: &Option<HeaderName>, value: Option<HeaderValue>| {
        if let (Some(name), Some(value)) = (name, value) {
            headers.insert(name, value);
        }
    };
    set(&settings.key_id, HeaderValue::from_bytes(&identity.permit.key().encoded()).ok());
    set(&settings.organization_id, HeaderValue::from_str(identity.organization).ok());
    set(&settings.permissions, identity.permissions.clone());
    let scheme = if identity.secure { "https" } else { "http" };
    set(&Some(FORWARDED_FOR), Some(identity.client.clone()));
    set(&Some(FORWARDED_PROTO), Some(HeaderValue::from_static(scheme)));
    if let Some(credential) = &upstream.credential {
        let name = HeaderName::from_bytes(credential.header.as_bytes()).ok();
        let value = HeaderValue::from_str(credential.value.expose()).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        set(&name, value);
    }
    headers.entry(REQUEST_ID).or_insert_with(|| identity.request_id.clone());
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn may_pass(name: &HeaderName, api: &Api, settings: &Compiled) -> bool {
    let text = name.as_str();
    if is_hop_by_hop(text)
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

fn remove_named_in_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(|name| !END_TO_END.contains(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// A key that came as a WebSocket subprotocol goes; the subprotocols beside it stay.
fn take_credential(headers: &mut HeaderMap, api: &Api) {
    for slot in &api.profile.slots {
        let Slot::Subprotocol { prefix } = slot else { continue };
        let kept: Vec<String> = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .filter(|item| !item.starts_with(&**prefix))
            .map(str::to_owned)
            .collect();
        headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_str(&kept.join(", "))) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
    }
}

/// HTTP/2 lets a client send its cookies in several headers; HTTP/1.1 knows one (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> =
        headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// The query without the client's credential, if it stood there.
pub(crate) fn query_toward_upstream<'q>(query: &'q str, api: &Api) -> std::borrow::Cow<'q, str> {
    let mut query = std::borrow::Cow::Borrowed(query);
    for slot in &api.profile.slots {
        if let Slot::Query { parameter } = slot {
            query = query::without_parameter(&query, parameter).into();
        }
    }
    query
}

/// Makes an upstream's headers the client's.
pub(crate) fn toward_client(headers: &mut HeaderMap, upgraded: bool) {
    let protocol = if upgraded { headers.remove(header::UPGRADE) } else { None };
    // Most answers have none: looking costs less than removing each by name.
    let doomed: Vec<HeaderName> =
        headers.keys().filter(|name| is_hop_by_hop(name.as_str())).cloned().collect();
    if doomed.contains(&header::CONNECTION) {
        remove_named_in_connection(headers);
    }
    for name in doomed {
        headers.remove(name);
    }
    one_length(headers);
    if let Some(protocol) = protocol {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    let streams = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if streams {
        // Asks proxies between us and the client not to gather events.
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }
}

/// A length told several times, which the parser found equal, is told once.
fn one_length(headers: &mut HeaderMap) {
    let Some(first) = headers.get(header::CONTENT_LENGTH) else { return };
    let several = headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some();
    if several || first.as_bytes().contains(&b',') {
        let text = first.to_str().unwrap_or_default().split(',').next().unwrap_or_default().trim();
        if let Ok(length) = HeaderValue::from_str(text) {
            headers.insert(header::CONTENT_LENGTH, length);
        }
    }
}

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
