//! Headers between the two sides: what is hop-by-hop or forged goes, what is ours is set after that.
//!
//! The order matters: a client that names one of our headers in `Connection`, or spells one with underscores, must
//! neither remove ours nor slip its own through (CVE-2024-45410, CVE-2026-39858, CVE-2026-31908).

use std::{borrow::Cow, ops::Range, sync::Arc};

use hashbrown::HashMap;
use http::{HeaderName, HeaderValue};
use keyward_core::{
    credential::Slot,
    directory::Directory,
    id::{ApiNumber, OrganizationId},
    limit,
    permission::PermissionSet,
    policy::{Api, Policy, Upstream},
    profile::Limits,
    query,
    verdict::Permit,
};
use smallvec::SmallVec;

use crate::{
    request::RequestHead,
    settings::Compiled,
    wire::{
        answer::Head,
        fields::{self, COLON, CRLF, Field, Fields, Name},
        syntax::{is_field_name, is_field_value},
    },
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

    fn is_credential(&self, name: &[u8]) -> bool {
        let own = self.credential_name.as_ref();
        own.is_some_and(|own| name.eq_ignore_ascii_case(own.as_str().as_bytes()))
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
    if is_field_name(name.as_bytes()) && is_field_value(value) {
        line(out, name, value);
    }
}

/// Who calls, and whom: for the upstream.
pub(crate) struct Identity<'r> {
    pub(crate) policy: &'r Arc<Policy>,
    pub(crate) api: &'r Api,
    pub(crate) upstream: &'r Upstream,
    pub(crate) settings: &'r Compiled,
    pub(crate) permit: &'r Permit,
    pub(crate) directory: &'r Directory,
    pub(crate) client: &'r str,
    pub(crate) secure: bool,
    pub(crate) request_id: &'r [u8],
    /// Whether the answer must come uncoded, whatever the client takes.
    pub(crate) uncoded: bool,
    /// The client's host, where the upstream is to see it.
    pub(crate) host: Option<&'r [u8]>,
}

/// The organization of a permit is not there.
pub(crate) struct Gone;

/// Writes a client's headers as the upstream gets them, without those that frame the body.
pub(crate) fn toward_upstream(
    out: &mut Vec<u8>,
    head: &RequestHead,
    prepared: &mut Prepared,
    identity: &Identity<'_>,
) -> Result<(), Gone> {
    let Identity { policy, api, upstream, settings, permit, .. } = *identity;
    let lines = prepared.of(policy, api, upstream);
    match identity.host {
        Some(host) => line(out, "host", host),
        None => out.extend_from_slice(&lines.host),
    }
    out.extend_from_slice(&lines.credential);

    let named: Named<'_> = head.all(Name::Connection).flat_map(named_in).collect();
    let is_named = |name: &[u8]| named.iter().any(|named| named.eq_ignore_ascii_case(name));
    let may_pass = |is: Name, name: &[u8]| {
        let stays = is.passes() && !(identity.uncoded && is == Name::AcceptEncoding);
        let is_ours = || settings.is_identity(name) || is_key_slot(name, api);
        stays && !is_ours() && !lines.is_credential(name) && !is_named(name)
    };
    let mut numbered = false;
    let mut passing = Passing::default();
    let (bytes, fields) = head.fields();
    for field in fields.iter().filter(|field| may_pass(field.is, field.name(bytes))) {
        numbered |= field.is == Name::RequestId;
        passing.add(out, bytes, field);
    }
    passing.end(out, bytes);
    let ours = |name: &[u8]| is_key_slot(name, api) || lines.is_credential(name);
    let goes_on = |name: &[u8]| !is_named(name) && !ours(name);
    if head.has(Name::Cookie) && goes_on(b"cookie") {
        join_cookies(out, head);
    }
    if head.has(Name::WebSocketProtocol) && goes_on(b"sec-websocket-protocol") {
        keep_subprotocols(out, head, api);
    }

    if let Some(name) = &settings.key_id {
        line(out, name.as_str(), &permit.key().encoded());
    }
    if let Some(name) = &settings.organization_id {
        let write = |id: &OrganizationId| line(out, name.as_str(), id.as_str().as_bytes());
        identity.directory.organization_id(permit.organization(), write).ok_or(Gone)?;
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
        line(out, "x-request-id", identity.request_id);
    }
    Ok(())
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

/// What `Connection` names.
type Named<'n> = SmallVec<[&'n [u8]; 4]>;

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
        .all(Name::WebSocketProtocol)
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
    let cookies: Vec<&[u8]> = head.all(Name::Cookie).collect();
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
    (bytes, fields): (&[u8], &Fields),
    upgraded: bool,
    request_id: &str,
    limits: &[u8],
    form: &Limits,
) -> Told {
    let mut told = Told::default();
    // What is told of limits is ours or the upstream's, never both: no half of one beside a half of the other.
    let own = limit::headers::names(form, limits);
    let connection = fields.of(Name::Connection).map(|field| field.value(bytes));
    let named: Named<'_> = connection.flat_map(named_in).collect();
    let goes = |name: &[u8]| own.iter().chain(&named).any(|gone| gone.eq_ignore_ascii_case(name));
    let mut passing = Passing::default();
    for field in fields.iter() {
        let name = field.name(bytes);
        match field.is {
            Name::Upgrade if upgraded => {
                line(out, "connection", b"upgrade");
                line(out, "upgrade", field.value(bytes));
            }
            Name::ContentLength => {}
            Name::AccelBuffering if head.streams => {}
            is if is.is_hop_by_hop() || goes(name) => {}
            is => {
                told.date |= is == Name::Date;
                told.request_id |= name.eq_ignore_ascii_case(request_id.as_bytes());
                passing.add(out, bytes, field);
            }
        }
    }
    passing.end(out, bytes);
    out.extend_from_slice(limits);
    if head.streams {
        // Asks proxies between us and the client not to gather events.
        line(out, "x-accel-buffering", b"no");
    }
    told
}

/// Lines that pass as they came, gathered as long as they stand one behind the other: most heads are copied in a few pieces.
#[derive(Default)]
struct Passing(Range<u32>);

impl Passing {
    fn add(&mut self, out: &mut Vec<u8>, head: &[u8], field: &Field) {
        match field.usual_line(head) {
            Some(line) if line.start == self.0.end => self.0.end = line.end,
            line => {
                self.end(out, head);
                match line {
                    Some(line) => self.0 = line,
                    None => raw_line(out, field.name(head), field.value(head)),
                }
            }
        }
    }

    /// Writes what was gathered.
    fn end(&mut self, out: &mut Vec<u8>, head: &[u8]) {
        out.extend_from_slice(fields::bytes(head, &std::mem::take(&mut self.0)));
    }
}

fn raw_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + COLON.len() + value.len() + CRLF.len());
    out.extend_from_slice(name);
    out.extend_from_slice(COLON);
    out.extend_from_slice(value);
    out.extend_from_slice(CRLF);
}
