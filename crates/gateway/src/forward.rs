//! Forwarding: takes the permit by value, and nothing else can make one.

use std::{future::poll_fn, net::IpAddr, rc::Rc, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version, header, request::Parts,
};
use hyper::upgrade::OnUpgrade;
use keyward_core::{
    policy::{Api, Upstream},
    snapshot::Snapshot,
    verdict::{Denial, Permit, Reason},
};

use crate::{
    body::{Answer, Upload},
    connection::Connection,
    headers::{self, Identity},
    record::Ticket,
    settings::Compiled,
    tunnel,
    upstream::{AnswerHead, Call, CallFault, ConnectFault, Framing, Lease, Request},
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
    status: StatusCode,
    headers: HeaderMap,
    call: Box<Call>,
    /// Whether the client takes the end of its connection for the end of an answer (HTTP/1.0).
    until_close: bool,
    worker: Rc<Worker>,
    /// The client's side of an upgrade it asked for.
    upgrade: Option<OnUpgrade>,
    /// What a tunnel goes on needing.
    permit: Permit,
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
    let lease = match way.worker.upstreams.idle(upstream, way.settings) {
        Some(lease) => lease,
        // On the heap: few requests connect, and a handshake's room would be carried by every one of them.
        None => Box::pin(connect(&way, upstream)).await?,
    };
    let protocol = upgrade.as_ref().map(|(name, _)| name);
    let request = toward(&way, upstream, &permit, parts, upload, protocol)?;
    let mut call = Call::new(lease, request, way.worker.spare_watch());
    let answer = match poll_fn(|cx| call.poll_head(cx)).await {
        // One stale connection says little of the next, but a second try must not find another.
        Err(CallFault::Stale) if call.again_on(Box::pin(connect(&way, upstream)).await?) => {
            poll_fn(|cx| call.poll_head(cx)).await
        }
        answer => answer,
    };
    let AnswerHead { head, lines } = answer.map_err(|fault| call_denial(upstream, &fault))?;
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    if switches && upgrade.is_none() {
        return Err(no_answer(upstream, &"it changed protocols unasked"));
    }
    let status = StatusCode::from_u16(head.status).map_err(|bad| no_answer(upstream, &bad))?;
    let mut headers = headers::toward_client(&head, &lines, switches);
    let mut prepared = way.worker.prepared.borrow_mut();
    let name = prepared.request_id(way.snapshot.policy(), way.api, upstream);
    headers.entry(name).or_insert_with(|| way.request_id.clone());
    Ok(Forwarding {
        until_close: parts.version < Version::HTTP_11 && head.length.is_none(),
        status,
        headers,
        call,
        worker: way.worker.clone(),
        upgrade: upgrade.map(|(_, upgrade)| upgrade),
        permit,
    })
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
    parts: &Parts,
    upload: Upload,
    upgrade: Option<&HeaderValue>,
) -> Result<Request, Box<Denial>> {
    let organization = way.snapshot.directory().organization(permit.organization());
    let organization = organization.ok_or_else(|| internal("the organization is gone"))?;
    let identity = Identity {
        policy: way.snapshot.policy(),
        api: way.api,
        upstream,
        settings: way.settings,
        permit,
        organization: organization.id.as_str(),
        client: way.connection.header_of(way.client),
        secure: way.secure,
        request_id: way.request_id,
        host: clients_host(upstream, parts),
    };
    let mut head = way.worker.upstreams.write_buffer();
    head.extend_from_slice(parts.method.as_str().as_bytes());
    head.push(b' ');
    target(&mut head, &parts.uri, way.api, upstream);
    head.extend_from_slice(b" HTTP/1.1\r\n");
    let mut prepared = way.worker.prepared.borrow_mut();
    headers::toward_upstream(&mut head, &parts.headers, &mut prepared, &identity);
    if let Some(protocol) = upgrade {
        headers::line(&mut head, "connection", b"upgrade");
        headers::line(&mut head, "upgrade", protocol.as_bytes());
    }
    let framing = framing(&mut head, parts, &upload);
    head.extend_from_slice(b"\r\n");
    Ok(Request {
        head,
        upload,
        framing,
        is_head: parts.method == Method::HEAD,
        is_idempotent: parts.method.is_idempotent(),
        first_byte: way.settings.deadlines.first_byte,
        stall: way.settings.deadlines.upstream_stall,
    })
}

/// The client's own host, where the upstream is to see it.
fn clients_host(upstream: &Upstream, parts: &Parts) -> Option<HeaderValue> {
    if !upstream.preserve_host {
        return None;
    }
    let authority = || parts.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    parts.headers.get(header::HOST).cloned().or_else(authority)
}

/// Exactly the path that was decided on, behind the upstream's base path.
fn target(out: &mut Vec<u8>, uri: &Uri, api: &Api, upstream: &Upstream) {
    out.extend_from_slice(upstream.base_path.as_bytes());
    out.extend_from_slice(uri.path().as_bytes());
    let Some(query) = uri.query() else { return };
    let without_key = headers::query_toward_upstream(query, api);
    // An empty query stays one, unless the key was all there was in it.
    if without_key.len() == query.len() || !without_key.is_empty() {
        out.push(b'?');
        out.extend_from_slice(without_key.as_bytes());
    }
}

/// Tells the upstream where the body ends.
fn framing(head: &mut Vec<u8>, parts: &Parts, upload: &Upload) -> Framing {
    let framing = upload.framing();
    match framing {
        Some(Framing::Chunked) => headers::line(head, "transfer-encoding", b"chunked"),
        Some(Framing::Length(length)) => {
            headers::line(head, "content-length", length.to_string().as_bytes());
        }
        // Where a body is usual, its absence is told (RFC 9110, 8.6).
        None if matches!(parts.method, Method::POST | Method::PUT | Method::PATCH)
            || parts.headers.contains_key(header::CONTENT_LENGTH) =>
        {
            headers::line(head, "content-length", b"0");
        }
        None => {}
    }
    framing.unwrap_or(Framing::Length(0))
}

async fn connect(way: &Way<'_>, upstream: &Upstream) -> Result<Lease, Box<Denial>> {
    let connected = way.worker.upstreams.connect(upstream, way.settings).await;
    connected.map_err(|fault| connect_denial(upstream, &fault))
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
fn call_denial(upstream: &Upstream, fault: &CallFault) -> Box<Denial> {
    match fault {
        CallFault::Upload(fault) => fault.denial(),
        CallFault::Timeout => {
            tracing::warn!(upstream = %upstream.name, "the upstream did not answer in time");
            let detail = "The upstream did not answer in time.";
            Box::new(Denial::new(Reason::GatewayTimeout, detail))
        }
        CallFault::Stale => connect_denial(upstream, &ConnectFault::Closed),
        CallFault::Io(error) => no_answer(upstream, error),
        CallFault::Bad(bad) => no_answer(upstream, bad),
    }
}

/// What the upstream sent cannot be passed on.
fn no_answer(upstream: &Upstream, why: &dyn std::fmt::Display) -> Box<Denial> {
    tracing::warn!(upstream = %upstream.name, %why, "the upstream gave no valid answer");
    Box::new(Denial::new(Reason::BadGateway, "The upstream gave no valid answer."))
}

fn internal(what: &'static str) -> Box<Denial> {
    tracing::error!(what, "a request could not be forwarded");
    Box::new(Denial::new(Reason::Internal, "The request could not be forwarded."))
}

impl Forwarding {
    /// The answer for the client.
    pub(crate) fn into_response(self, mut ticket: Ticket) -> Response<Answer> {
        let Self { status, headers, call, until_close, worker, upgrade, permit } = self;
        ticket.answered(status.as_u16());
        let answer = match (status, upgrade) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(client)) => {
                tunnel::open(&worker, permit, client, call.into_tunnel(), ticket)
            }
            _ => Answer::relay(call, until_close, ticket),
        };
        let mut response = Response::new(answer);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// Whether the connection becomes a tunnel.
    pub(crate) fn is_upgrade(&self) -> bool {
        self.status == StatusCode::SWITCHING_PROTOCOLS
    }
}
