//! Headers between the two sides: what is hop-by-hop or forged goes, what is ours is set after that.
//!
//! The order matters: a client that names one of our headers in `Connection`, or spells one with underscores, must
//! neither remove ours nor slip its own through (CVE-2024-45410, CVE-2026-39858, CVE-2026-31908).

use std::{borrow::Cow, sync::Arc};

use hashbrown::HashMap;
use http::{HeaderName, HeaderValue};
use keyward_core::{
    credential::{Headers as _, Slot},
    id::ApiNumber,
    limit,
    permission::PermissionSet,
    policy::{Api, Policy, Upstream},
    profile::Limits,
    query,
    verdict::Permit,
};

use crate::{
    request::RequestHead,
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
}

impl Lines {
    fn new(upstream: &Upstream) -> Self {
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
        Self { host, credential, credential_name }
    }
}

impl Prepared {
    fn of(&mut self, policy: &Arc<Policy>, api: &Api, upstream: &Upstream) -> &Lines {
        self.follow(policy);
        self.apis.entry(api.number).or_insert_with(|| Lines::new(upstream))
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
    raw_line(out, name.as_bytes(), value);
}

/// Writes one header line, unless a line break or the like stands in it.
pub(crate) fn checked_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_bytes(value).is_ok() {
        line(out, name, value);
    }
}

/// A name's first bytes in lower case, to be held against the names below: none is longer.
struct Lowered([u8; 24], usize);

impl Lowered {
    fn new(name: &[u8]) -> Self {
        let mut lowered = [0; 24];
        let length = name.len().min(lowered.len());
        if let (Some(lowered), Some(name)) = (lowered.get_mut(..length), name.get(..length)) {
            lowered.copy_from_slice(name);
            lowered.make_ascii_lowercase();
        }
        Self(lowered, name.len())
    }

    /// The whole name, where it is short enough to be one of ours.
    fn whole(&self) -> &[u8] {
        self.0.get(..self.1).unwrap_or_default()
    }

    fn starts_with(&self, prefix: &str) -> bool {
        self.1 >= prefix.len() && self.0.starts_with(prefix.as_bytes())
    }
}

/// RFC 9110, 7.6.1, and what proxies added over time.
fn is_hop_by_hop(name: &Lowered) -> bool {
    matches!(
        name.whole(),
        b"connection"
            | b"keep-alive"
            | b"proxy-connection"
            | b"proxy-authenticate"
            | b"proxy-authorization"
            | b"te"
            | b"trailer"
            | b"transfer-encoding"
            | b"upgrade"
    )
}

/// What makes some servers see another path, method or caller than was decided on, and what is set anew.
fn is_override(name: &Lowered) -> bool {
    matches!(
        name.whole(),
        b"x-method"
            | b"x-method-override"
            | b"x-host"
            | b"x-client-ip"
            | b"x-cluster-client-ip"
            | b"true-client-ip"
            | b"cf-connecting-ip"
            | b"fastly-client-ip"
            | b"forwarded"
            | b"proxy"
            | b"http2-settings"
            | b"expect"
    ) || (name.starts_with("x-") && OVERRIDE_FAMILIES.iter().any(|family| name.starts_with(family)))
}

const OVERRIDE_FAMILIES: [&str; 6] =
    ["x-keyward-", "x-forwarded-", "x-original-", "x-real-", "x-rewrite-", "x-http-method"];

/// Where APIs elsewhere expect a key: an upstream could believe one of these instead of the credential it is given.
fn is_credential_of_others(name: &Lowered) -> bool {
    matches!(
        name.whole(),
        b"authorization" | b"x-api-key" | b"api-key" | b"x-goog-api-key" | b"x-auth-token"
    )
}

/// What is written anew for every request: where it goes, where its body ends, and what came in several parts.
fn is_written_anew(name: &Lowered) -> bool {
    matches!(name.whole(), b"host" | b"content-length" | b"cookie" | b"sec-websocket-protocol")
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
    /// Whether the answer must come uncoded, whatever the client takes.
    pub(crate) uncoded: bool,
    /// The client's host, where the upstream is to see it.
    pub(crate) host: Option<&'r [u8]>,
}

/// Writes a client's headers as the upstream gets them, without those that frame the body.
pub(crate) fn toward_upstream(
    out: &mut Vec<u8>,
    head: &RequestHead,
    prepared: &mut Prepared,
    identity: &Identity<'_>,
) {
    let Identity { policy, api, upstream, settings, permit, .. } = *identity;
    let lines = prepared.of(policy, api, upstream);
    match identity.host {
        Some(host) => line(out, "host", host),
        None => out.extend_from_slice(&lines.host),
    }
    out.extend_from_slice(&lines.credential);

    let named: Vec<&[u8]> = head.values("connection").flat_map(named_in).collect();
    let is_named = |name: &[u8]| named.iter().any(|named| named.eq_ignore_ascii_case(name));
    let mut numbered = false;
    let unwanted = |name: &[u8]| identity.uncoded && name.eq_ignore_ascii_case(b"accept-encoding");
    for (name, value) in head.fields() {
        let ours = |own: &Option<HeaderName>| own.as_ref().is_some_and(|own| is(name, own));
        if may_pass(name, api, settings)
            && !ours(&lines.credential_name)
            && !is_named(name)
            && !unwanted(name)
        {
            numbered |= name.eq_ignore_ascii_case(b"x-request-id");
            raw_line(out, name, value);
        }
    }
    let ours = |name: &str| {
        is_key_slot(name.as_bytes(), api)
            || lines.credential_name.as_ref().is_some_and(|own| own.as_str() == name)
    };
    if !is_named(b"cookie") && !ours("cookie") {
        join_cookies(out, head);
    }
    if !is_named(b"sec-websocket-protocol") && !ours("sec-websocket-protocol") {
        keep_subprotocols(out, head, api);
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
    if identity.uncoded {
        line(out, "accept-encoding", b"identity");
    }
    line(out, "x-forwarded-for", identity.client.as_bytes());
    line(out, "x-forwarded-proto", if identity.secure { b"https" } else { b"http" });
    if !numbered {
        line(out, "x-request-id", identity.request_id.as_bytes());
    }
}

fn is(name: &[u8], wanted: &HeaderName) -> bool {
    name.eq_ignore_ascii_case(wanted.as_str().as_bytes())
}

fn may_pass(name: &[u8], api: &Api, settings: &Compiled) -> bool {
    let lowered = Lowered::new(name);
    if is_written_anew(&lowered)
        || is_hop_by_hop(&lowered)
        || is_override(&lowered)
        || is_credential_of_others(&lowered)
        || name.contains(&b'_')
    {
        return false;
    }
    !settings.is_identity(name) && !is_key_slot(name, api)
}

/// Whether a key may stand in this header.
fn is_key_slot(name: &[u8], api: &Api) -> bool {
    api.profile.slots.iter().any(|slot| match slot {
        Slot::Header { header, .. } | Slot::Scheme { header, .. } => {
            name.eq_ignore_ascii_case(header.as_bytes())
        }
        Slot::Query { .. } | Slot::Subprotocol { .. } => false,
    })
}

/// What `Connection` names in vain: how content is framed and how it is read was decided on, and stays so.
const END_TO_END: [&[u8]; 4] = [b"content-encoding", b"content-length", b"content-type", b"host"];

fn named_in(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !END_TO_END.iter().any(|kept| kept.eq_ignore_ascii_case(name)))
}

/// A key that came as a WebSocket subprotocol goes; the subprotocols beside it stay.
fn keep_subprotocols(out: &mut Vec<u8>, head: &RequestHead, api: &Api) {
    let is_key = |item: &[u8]| {
        api.profile.slots.iter().any(|slot| match slot {
            Slot::Subprotocol { prefix } => item.starts_with(prefix.as_bytes()),
            _ => false,
        })
    };
    let kept: Vec<&[u8]> = head
        .values("sec-websocket-protocol")
        .flat_map(|list| list.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty() && !is_key(item))
        .collect();
    if !kept.is_empty() {
        line(out, "sec-websocket-protocol", &kept.join(&b", "[..]));
    }
}

/// HTTP/2 lets a client send its cookies in several headers; HTTP/1.1 knows one (RFC 9113, 8.2.3).
fn join_cookies(out: &mut Vec<u8>, head: &RequestHead) {
    let cookies: Vec<&[u8]> = head.values("cookie").collect();
    if !cookies.is_empty() {
        line(out, "cookie", &cookies.join(&b"; "[..]));
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

/// What an answer's header lines say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// When it was made.
    pub(crate) date: bool,
    /// Its number, in the header that was asked for.
    pub(crate) request_id: bool,
}

/// Writes an upstream's headers as the client gets them; `upgraded` where the connection changes its protocol.
///
/// The length of the content is told by whoever writes it.
pub(crate) fn toward_client(
    out: &mut Vec<u8>,
    head: &Head,
    lines: &[u8],
    upgraded: bool,
    request_id: &str,
    limits: &[u8],
    form: &Limits,
) -> Told {
    let mut told = Told::default();
    // What is told of limits is ours or the upstream's, never both: no half of one beside a half of the other.
    let own = limit::headers::names(form, limits);
    let named: Vec<&[u8]> = match head.connection {
        true => answer::fields(lines)
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"))
            .flat_map(|(_, value)| named_in(value))
            .collect(),
        false => Vec::new(),
    };
    for (name, value) in answer::fields(lines) {
        let lowered = Lowered::new(name);
        match lowered.whole() {
            b"upgrade" if upgraded => {
                line(out, "connection", b"upgrade");
                line(out, "upgrade", value);
                continue;
            }
            b"content-length" => continue,
            b"x-accel-buffering" if head.streams => continue,
            _ => {}
        }
        if is_hop_by_hop(&lowered) || named.iter().any(|named| named.eq_ignore_ascii_case(name)) {
            continue;
        }
        if own.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            continue;
        }
        told.date |= lowered.whole() == b"date";
        told.request_id |= name.eq_ignore_ascii_case(request_id.as_bytes());
        raw_line(out, name, value);
    }
    out.extend_from_slice(limits);
    if head.streams {
        // Asks proxies between us and the client not to gather events.
        line(out, "x-accel-buffering", b"no");
    }
    told
}

fn raw_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
