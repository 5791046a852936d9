//! Forwarding: takes the permit by value, and nothing else can make one.

use std::{future::poll_fn, net::IpAddr, rc::Rc, sync::Arc, task::Context};

use http::{Method, Version};
use keyward_core::{
    policy::{Api, Upstream},
    route::LimitsTold,
    snapshot::Snapshot,
    verdict::{Denial, Permit, Reason},
};

use crate::{
    body::{Answer, Upload},
    connection::Connection,
    headers::{self, Gone, Identity},
    record::Ticket,
    reply::{Reply, length_line},
    request::RequestHead,
    settings::Compiled,
    tunnel::Tunnel,
    upstream::{Call, CallFault, ConnectFault, Framing, Lease, Request},
    wire::{answer::Media, fields::Name},
    worker::Worker,
};

/// Where a request is on its way.
pub(crate) struct Way<'w> {
    pub(crate) worker: &'w Rc<Worker>,
    pub(crate) connection: &'w Connection,
    pub(crate) snapshot: &'w Arc<Snapshot>,
    pub(crate) settings: &'w Compiled,
    pub(crate) head: &'w RequestHead,
    pub(crate) api: &'w Api,
    pub(crate) client: IpAddr,
    pub(crate) secure: bool,
    pub(crate) request_id: &'w [u8],
    /// Whose limits the answer tells of.
    pub(crate) limits_told: LimitsTold,
}

/// An upstream's answer, its head received and its body still coming.
pub(crate) struct Forwarding {
    status: u16,
    lines: Vec<u8>,
    dated: bool,
    length: Option<u64>,
    call: Box<Call>,
    /// What a tunnel goes on needing.
    permit: Permit,
}

/// Sends the request to its upstream and waits for the head of the answer.
pub(crate) async fn forward(
    way: Way<'_>,
    permit: Permit,
    upload: Upload,
    ticket: &mut Ticket,
) -> Result<Forwarding, Box<Denial>> {
    let Some(upstream) = way.snapshot.policy().upstream_of(way.api) else {
        return Err(internal("the API's upstream is not configured"));
    };
    if upstream.credential_missing {
        tracing::error!(upstream = %upstream.name, "the upstream's credential is not set: see `keyward upstreams`");
        let detail = "The upstream cannot be called now.";
        return Err(Box::new(Denial::new(Reason::BadGateway, detail)));
    }
    let upgrade = wanted_upgrade(way.head);
    let lease = match way.worker.upstreams.idle(upstream, way.settings) {
        Some(lease) => lease,
        // On the heap: few requests connect, and a handshake's room would be carried by every one of them.
        None => Box::pin(connect(&way, upstream)).await?,
    };
    let filters = ticket.meter.as_ref().is_some_and(|meter| meter.filters());
    let uncoded = filters || ticket.stretch.is_some();
    let request = toward(&way, upstream, &permit, upload, upgrade, uncoded)?;
    let mut call = way.worker.upstreams.call(lease, request);
    let sent = &ticket.upload.sent;
    let poll = |call: &mut Call, cx: &mut Context<'_>| {
        let poll = call.poll_head(cx);
        sent.set(sent.get() || call.is_sent());
        poll
    };
    let answer = match poll_fn(|cx| poll(&mut call, cx)).await {
        // One stale connection says little of the next, but a second try must not find another.
        Err(CallFault::Stale) => {
            call.again_on(Box::pin(connect(&way, upstream)).await?);
            poll_fn(|cx| poll(&mut call, cx)).await
        }
        answer => answer,
    };
    let head = answer.map_err(|fault| call_denial(upstream, &fault))?;
    if let Some(meter) = &mut ticket.meter {
        meter.answered(&head, call.head());
    }
    if head.media != Media::Events {
        ticket.stretch = None;
    }
    let switches = head.status == SWITCHING_PROTOCOLS;
    if switches && (upgrade.is_none() || !call.is_sent()) {
        return Err(no_answer(upstream, &"it changed protocols unasked"));
    }
    let number = &way.api.profile.request_id.header;
    let mut out = way.worker.buffers.write();
    let limits = match way.limits_told {
        LimitsTold::Ours => &ticket.limits[..],
        LimitsTold::Upstream => b"",
    };
    let form = &way.api.profile.limits;
    let told = headers::toward_client(&mut out, &head, call.head(), switches, number, limits, form);
    if !told.request_id {
        headers::line(&mut out, number, way.request_id);
    }
    Ok(Forwarding {
        status: head.status,
        lines: out,
        dated: told.date,
        // What is taken out of the content, or left off its end, is not known before.
        length: head.length.filter(|_| !ticket.may_end_otherwise()),
        call,
        permit,
    })
}

const SWITCHING_PROTOCOLS: u16 = 101;

/// The protocol a client wants to change to. Only HTTP/1.1 has a way to.
pub(crate) fn wanted_upgrade(head: &RequestHead) -> Option<&[u8]> {
    if head.version == Version::HTTP_11 { head.value(Name::Upgrade) } else { None }
}

/// The request as the upstream gets it.
fn toward(
    way: &Way<'_>,
    upstream: &Upstream,
    permit: &Permit,
    upload: Upload,
    upgrade: Option<&[u8]>,
    uncoded: bool,
) -> Result<Request, Box<Denial>> {
    let identity = Identity {
        directory: way.snapshot.directory(),
        policy: way.snapshot.policy(),
        api: way.api,
        upstream,
        settings: way.settings,
        permit,
        client: &way.connection.text_of(way.client),
        secure: way.secure,
        request_id: way.request_id,
        uncoded,
        host: if upstream.preserve_host { clients_host(way.head) } else { None },
    };
    let method = &way.head.method;
    let mut head = way.worker.buffers.write();
    head.extend_from_slice(method.as_str().as_bytes());
    head.push(b' ');
    target(&mut head, way.head, way.api, upstream);
    head.extend_from_slice(b" HTTP/1.1\r\n");
    let mut prepared = way.worker.prepared.borrow_mut();
    headers::toward_upstream(&mut head, way.head, &mut prepared, &identity)
        .map_err(|Gone| internal("the organization is gone"))?;
    if let Some(protocol) = upgrade {
        headers::line(&mut head, "connection", b"upgrade");
        headers::line(&mut head, "upgrade", protocol);
    }
    let framing = framing(&mut head, way.head, &upload);
    head.extend_from_slice(b"\r\n");
    Ok(Request {
        head,
        upload,
        framing,
        is_head: method == Method::HEAD,
        is_idempotent: method.is_idempotent(),
        first_byte: way.settings.deadlines.first_byte,
        stall: way.settings.deadlines.upstream_stall,
    })
}

/// The client's own host.
fn clients_host(head: &RequestHead) -> Option<&[u8]> {
    head.value(Name::Host).or_else(|| head.authority().map(str::as_bytes))
}

/// Exactly the path that was decided on, behind the upstream's base path.
fn target(out: &mut Vec<u8>, head: &RequestHead, api: &Api, upstream: &Upstream) {
    out.extend_from_slice(upstream.base_path.as_bytes());
    out.extend_from_slice(head.path().as_bytes());
    let Some(query) = head.query() else { return };
    let without_key = headers::query_toward_upstream(query, api);
    // An empty query stays one, unless the key was all there was in it.
    if without_key.len() == query.len() || !without_key.is_empty() {
        out.push(b'?');
        out.extend_from_slice(without_key.as_bytes());
    }
}

/// Tells the upstream where the body ends.
fn framing(out: &mut Vec<u8>, head: &RequestHead, upload: &Upload) -> Framing {
    let framing = upload.framing();
    match framing {
        Some(Framing::Chunked) => headers::line(out, "transfer-encoding", b"chunked"),
        Some(Framing::Length(length)) => length_line(out, length),
        // Where a body is usual, its absence is told (RFC 9110, 8.6).
        None if matches!(head.method, Method::POST | Method::PUT | Method::PATCH)
            || head.has(Name::ContentLength) =>
        {
            length_line(out, 0);
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
    pub(crate) fn into_reply(self, mut ticket: Ticket) -> Reply {
        let Self { status, lines, dated, length, call, permit } = self;
        ticket.answered(status);
        let (body, tunnel) = match status {
            SWITCHING_PROTOCOLS => {
                let upstream = call.into_tunnelled();
                let tunnel = upstream.map(|upstream| Tunnel { permit, upstream, ticket });
                (Answer::empty(), tunnel.map(Box::new))
            }
            _ => (Answer::relay(call, ticket), None),
        };
        Reply { status, lines, dated, declared: length, close: false, body, tunnel }
    }
}
