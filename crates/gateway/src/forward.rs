//! Forwarding: takes the permit by value, and nothing else can make one.

use std::{net::IpAddr, pin::pin, rc::Rc, sync::Arc, task::Poll};

use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request::Parts,
    uri::PathAndQuery,
};
use http_body::Body as _;
use hyper::{body::Incoming, client::conn::TrySendError, upgrade::OnUpgrade};
use keyward_core::{
    policy::{Api, Upstream},
    snapshot::Snapshot,
    verdict::{Denial, Permit, Reason},
};

use crate::{
    body::{Answer, Relay, Upload, UploadState},
    connection::Connection,
    headers::{self, Identity},
    record::Ticket,
    settings::Compiled,
    tunnel,
    upstream::{ConnectFault, Lease},
    watchdog::Watch,
    worker::Worker,
};

/// Where a request is on its way.
pub(crate) struct Way<'w> {
    pub(crate) worker: &'w Rc<Worker>,
    pub(crate) connection: &'w Connection,
    pub(crate) snapshot: &'w Arc<Snapshot>,
    pub(crate) settings: &'w Compiled,
    pub(crate) api: &'w Api,
    pub(crate) client: IpAddr,
    pub(crate) secure: bool,
    pub(crate) request_id: &'w HeaderValue,
}

/// An upstream's answer, its head received and its body still coming.
pub(crate) struct Forwarding {
    response: Response<Incoming>,
    relay: RelayParts,
    worker: Rc<Worker>,
    /// The client's side of an upgrade it asked for.
    upgrade: Option<OnUpgrade>,
    /// What a tunnel goes on needing.
    permit: Permit,
}

struct RelayParts {
    lease: Lease,
    until_close: bool,
    watch: Watch,
    stall: std::time::Duration,
}

/// Sends the request to its upstream and waits for the head of the answer.
pub(crate) async fn forward(
    way: Way<'_>,
    permit: Permit,
    parts: &mut Parts,
    upload: Upload,
) -> Result<Forwarding, Box<Denial>> {
    let Some(upstream) = way.snapshot.policy().upstream_of(way.api) else {
        return Err(internal("the API's upstream is not configured"));
    };
    if upstream.credential_missing {
        tracing::error!(upstream = %upstream.name, "the upstream's credential is not set: see `keyward upstreams`");
        let detail = "The upstream cannot be called now.";
        return Err(Box::new(Denial::new(Reason::BadGateway, detail)));
    }
    let upgrade = wanted_upgrade(parts);
    let state = upload.state();
    let lease = lease(&way, upstream, true).await?;
    let protocol = upgrade.as_ref().map(|(name, _)| name);
    let request = toward(&way, upstream, &permit, parts, upload, protocol)?;
    let watch = way.worker.spare_watch();
    let (response, lease) = match send(&way, upstream, lease, request, &state, &watch).await {
        Ok(answered) => answered,
        // One stale connection says little of the next, but a second try must not find another.
        Err(Unsent::Stale(request)) => {
            let lease = Box::pin(self::lease(&way, upstream, false)).await?;
            let again = Box::pin(send(&way, upstream, lease, *request, &state, &watch)).await;
            again.map_err(|unsent| unsent.into_denial(upstream))?
        }
        Err(Unsent::Denied(denial)) => return Err(denial),
    };
    state.limit.set(way.settings.deadlines.upstream_stall);
    let mut forwarding = Forwarding {
        response,
        relay: RelayParts {
            lease,
            until_close: parts.version < Version::HTTP_11,
            watch,
            stall: way.settings.deadlines.upstream_stall,
        },
        worker: way.worker.clone(),
        upgrade: upgrade.map(|(_, upgrade)| upgrade),
        permit,
    };
    forwarding.finish_head(&way)?;
    Ok(forwarding)
}

/// The protocol a client wants to change to, and its side of the change.
fn wanted_upgrade(parts: &mut Parts) -> Option<(HeaderValue, OnUpgrade)> {
    if parts.version != Version::HTTP_11 {
        return None;
    }
    let protocol = parts.headers.get(header::UPGRADE)?.clone();
    Some((protocol, parts.extensions.remove::<OnUpgrade>()?))
}

/// The request as the upstream gets it.
fn toward(
    way: &Way<'_>,
    upstream: &Upstream,
    permit: &Permit,
    parts: &mut Parts,
    upload: Upload,
    upgrade: Option<&HeaderValue>,
) -> Result<Request<Upload>, Box<Denial>> {
    let organization = way.snapshot.directory().organization(permit.organization());
    let organization = organization.ok_or_else(|| internal("the organization is gone"))?;
    let permissions = way.settings.permissions.as_ref().map(|_| {
        let mut names = way.worker.names.borrow_mut();
        names.permissions(way.snapshot.policy(), way.api, permit.permissions())
    });
    let host = host_for(way, upstream, parts);
    let identity = Identity {
        permit,
        organization: organization.id.as_str(),
        permissions,
        client: way.connection.header_of(way.client),
        secure: way.secure,
        request_id: way.request_id,
    };
    headers::toward_upstream(&mut parts.headers, way.api, upstream, way.settings, &identity, &host);
    if let Some(protocol) = upgrade {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, protocol.clone());
    }
    let of_unknown_length = !upload.is_end_stream() && upload.size_hint().exact().is_none();
    if of_unknown_length && matches!(parts.method, Method::GET | Method::HEAD) {
        // Unasked, hyper sends no such body with these methods, and the client's would be lost.
        parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut request = Request::new(upload);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = target(&parts.uri, way.api, upstream)?;
    *request.headers_mut() = std::mem::take(&mut parts.headers);
    Ok(request)
}

fn host_for(way: &Way<'_>, upstream: &Upstream, parts: &Parts) -> HeaderValue {
    if upstream.preserve_host {
        let authority = parts.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
        if let Some(host) = parts.headers.get(header::HOST).cloned().or(authority) {
            return host;
        }
    }
    way.worker.names.borrow_mut().host(way.snapshot.policy(), way.api, upstream)
}

/// Exactly the path that was decided on, behind the upstream's base path.
fn target(uri: &Uri, api: &Api, upstream: &Upstream) -> Result<Uri, Box<Denial>> {
    let query = uri.query().map(|query| headers::query_toward_upstream(query, api));
    let unchanged = match (&query, uri.query()) {
        (Some(now), Some(before)) => now.len() == before.len(),
        _ => true,
    };
    match uri.path_and_query() {
        Some(target) if unchanged && upstream.base_path.is_empty() => Ok(Uri::from(target.clone())),
        _ => {
            let mut text = format!("{}{}", upstream.base_path, uri.path());
            if let Some(query) = query.filter(|query| !query.is_empty()) {
                text.push('?');
                text.push_str(&query);
            }
            let target = PathAndQuery::try_from(text)
                .map_err(|_| internal("the path cannot be forwarded"))?;
            Ok(Uri::from(target))
        }
    }
}

async fn lease(way: &Way<'_>, upstream: &Upstream, may_reuse: bool) -> Result<Lease, Box<Denial>> {
    let leased = way.worker.upstreams.lease(upstream, way.settings, may_reuse).await;
    leased.map_err(|fault| connect_denial(upstream, &fault))
}

/// Why a request has no answer.
enum Unsent {
    /// The idle connection was closed before a byte of the request left: it may be sent again.
    Stale(Box<Request<Upload>>),
    /// It may not.
    Denied(Box<Denial>),
}

impl Unsent {
    fn into_denial(self, upstream: &Upstream) -> Box<Denial> {
        match self {
            Self::Denied(denial) => denial,
            Self::Stale(_) => connect_denial(upstream, &ConnectFault::Closed),
        }
    }
}

/// Sends the request; what is returned waits for the first byte of the answer.
///
/// Not an `async fn`: its future would have room for the request, which has left when the wait begins.
fn send<'s>(
    way: &Way<'_>,
    upstream: &'s Upstream,
    mut lease: Lease,
    mut request: Request<Upload>,
    state: &'s UploadState,
    watch: &'s Watch,
) -> impl Future<Output = Result<(Response<Incoming>, Lease), Unsent>> + use<'s> {
    let limit = way.settings.deadlines.first_byte;
    state.limit.set(limit);
    request.body_mut().moves(watch.deadline());
    watch.arm(limit);
    let sending = lease.sender().try_send_request(request);
    async move {
        let mut sending = pin!(sending);
        let sent = std::future::poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(sent) => Poll::Ready(Some(sent)),
            Poll::Pending if watch.overdue(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match sent.await {
            Some(Ok(response)) => Ok((response, lease)),
            Some(Err(mut error)) => match error.take_message() {
                Some(unsent) if lease.reused => Err(Unsent::Stale(Box::new(unsent))),
                _ => Err(Unsent::Denied(send_denial(upstream, error, state))),
            },
            None => {
                tracing::warn!(upstream = %upstream.name, ?limit, "the upstream did not answer in time");
                let detail = "The upstream did not answer in time.";
                Err(Unsent::Denied(Box::new(Denial::new(Reason::GatewayTimeout, detail))))
            }
        }
    }
}

fn connect_denial(upstream: &Upstream, fault: &ConnectFault) -> Box<Denial> {
    tracing::warn!(upstream = %upstream.name, %fault, "no connection to the upstream");
    let (reason, detail) = match fault {
        ConnectFault::Timeout => {
            (Reason::GatewayTimeout, "The upstream could not be reached in time.")
        }
        _ => (Reason::BadGateway, "The upstream could not be reached."),
    };
    Box::new(Denial::new(reason, detail))
}

/// Whose fault it is that no answer came.
fn send_denial(
    upstream: &Upstream,
    error: TrySendError<Request<Upload>>,
    state: &UploadState,
) -> Box<Denial> {
    if let Some(fault) = state.fault.get() {
        return fault.denial();
    }
    tracing::warn!(upstream = %upstream.name, error = %error.into_error(), "the upstream gave no valid answer");
    Box::new(Denial::new(Reason::BadGateway, "The upstream gave no valid answer."))
}

/// The upstream's answer cannot be passed on.
fn no_answer(why: &'static str) -> Box<Denial> {
    tracing::warn!(why, "the upstream gave no valid answer");
    Box::new(Denial::new(Reason::BadGateway, "The upstream gave no valid answer."))
}

fn internal(what: &'static str) -> Box<Denial> {
    tracing::error!(what, "a request could not be forwarded");
    Box::new(Denial::new(Reason::Internal, "The request could not be forwarded."))
}

impl Forwarding {
    /// Makes the answer's head the client's; an upgrade nobody asked for is no answer.
    fn finish_head(&mut self, way: &Way<'_>) -> Result<(), Box<Denial>> {
        let switches = self.response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let http11 = self.response.version() == Version::HTTP_11;
        if switches && self.upgrade.is_none() {
            return Err(no_answer("it changed protocols unasked"));
        }
        let headers = self.response.headers_mut();
        // hyper reads by the coding and leaves the length, which would then frame what the client gets; and what else than
        // chunks was put around the content would be taken for the content.
        if let Some(coding) = headers.get(header::TRANSFER_ENCODING) {
            let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
            let alone = headers.get_all(header::TRANSFER_ENCODING).iter().nth(1).is_none();
            if !chunked || !alone || headers.contains_key(header::CONTENT_LENGTH) || !http11 {
                return Err(no_answer("it is framed in two ways, or in one that is not ours"));
            }
        }
        headers::toward_client(headers, switches);
        let name = way.worker.names.borrow_mut().request_id(way.snapshot.policy(), way.api);
        headers.entry(name).or_insert_with(|| way.request_id.clone());
        Ok(())
    }

    /// The answer for the client.
    pub(crate) fn into_response(self, mut ticket: Ticket) -> Response<Answer> {
        let Self { mut response, relay, worker, upgrade, permit } = self;
        ticket.answered(response.status().as_u16());
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (response.status(), upgrade) {
            let upstream = hyper::upgrade::on(&mut response);
            relay.lease.becomes_tunnel();
            return response.map(|_| tunnel::open(&worker, permit, client, upstream, ticket));
        }
        let RelayParts { lease, until_close, watch, stall } = relay;
        let until_close = until_close && !response.headers().contains_key(header::CONTENT_LENGTH);
        response.map(|incoming| {
            let relay = Relay {
                incoming,
                lease: Some(lease),
                until_close,
                watch: Some(watch),
                stall,
                ended: false,
            };
            Answer::relay(relay, ticket)
        })
    }

    /// Whether the connection becomes a tunnel.
    pub(crate) fn is_upgrade(&self) -> bool {
        self.response.status() == StatusCode::SWITCHING_PROTOCOLS
    }
}
