//! Forwarding: takes the permit by value, and nothing else can make one.

use std::{net::IpAddr, pin::pin, rc::Rc, sync::Arc, task::Poll};

use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header, request::Parts,
    uri::PathAndQuery,
};
use hyper::{body::Incoming, client::conn::TrySendError, upgrade::OnUpgrade};
use keyward_core::{
    policy::{Api, Upstream},
    snapshot::Snapshot,
    verdict::{Denial, Permit, Reason},
};

use crate::{
    body::{Answer, Relay, Upload, UploadFault, UploadState},
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
    pub(crate) snapshot: &'w Arc<Snapshot>,
    pub(crate) settings: &'w Compiled,
    pub(crate) api: &'w Api,
    pub(crate) client: IpAddr,
    pub(crate) secure: bool,
    pub(crate) request_id: &'w str,
}

/// An upstream's answer, its head received and its body still coming.
pub(crate) struct Forwarding {
    response: Response<Incoming>,
    relay: RelayParts,
    worker: Rc<Worker>,
    /// The client's side of an upgrade it asked for.
    upgrade: Option<OnUpgrade>,
}

struct RelayParts {
    lease: Lease,
    upload: Rc<UploadState>,
    watch: Watch,
    stall: std::time::Duration,
}

/// Sends the request to its upstream and waits for the head of the answer.
pub(crate) async fn forward(
    way: Way<'_>,
    permit: Permit,
    mut parts: Parts,
    upload: Upload,
) -> Result<Forwarding, Box<Denial>> {
    let Some(upstream) = way.snapshot.policy().upstream_of(way.api) else {
        return Err(internal("the API's upstream is not configured"));
    };
    let upgrade = wanted_upgrade(&mut parts);
    let state = upload.state();
    let request =
        toward(&way, upstream, &permit, parts, upload, upgrade.as_ref().map(|(name, _)| name))?;
    let watch = way.worker.watchdog.watch();
    let (response, lease) = send(&way, upstream, request, &state, &watch).await?;
    let mut forwarding = Forwarding {
        response,
        relay: RelayParts {
            lease,
            upload: state,
            watch,
            stall: way.settings.deadlines.upstream_stall,
        },
        worker: way.worker.clone(),
        upgrade: upgrade.map(|(_, upgrade)| upgrade),
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
    mut parts: Parts,
    upload: Upload,
    upgrade: Option<&HeaderValue>,
) -> Result<Request<Upload>, Box<Denial>> {
    let organization = way.snapshot.directory().organization(permit.organization());
    let organization = organization.ok_or_else(|| internal("the organization is gone"))?;
    let permissions = way.settings.permissions.as_ref().map(|_| {
        let mut names = way.worker.names.borrow_mut();
        names.permissions(way.snapshot.policy(), way.api, permit.permissions())
    });
    let request_id = HeaderValue::from_str(way.request_id)
        .map_err(|_| internal("a request id is no header value"))?;
    let host = host_for(upstream, &parts)?;
    let identity = Identity {
        permit,
        organization: organization.id.as_str(),
        permissions,
        client: way.client,
        secure: way.secure,
        request_id: &request_id,
    };
    headers::toward_upstream(&mut parts.headers, way.api, upstream, way.settings, &identity, &host);
    if let Some(protocol) = upgrade {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, protocol.clone());
    }
    let mut request = Request::new(upload);
    *request.method_mut() = parts.method;
    *request.uri_mut() = target(&parts.uri, way.api, upstream)?;
    *request.headers_mut() = parts.headers;
    Ok(request)
}

fn host_for(upstream: &Upstream, parts: &Parts) -> Result<HeaderValue, Box<Denial>> {
    if upstream.preserve_host {
        let authority = parts.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
        if let Some(host) = parts.headers.get(header::HOST).cloned().or(authority) {
            return Ok(host);
        }
    }
    let default = if upstream.tls { 443 } else { 80 };
    let text = match upstream.port {
        port if port == default => upstream.host.to_string(),
        port => format!("{}:{port}", upstream.host),
    };
    HeaderValue::from_str(&text).map_err(|_| internal("the upstream's host is no header value"))
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

/// Sends on an idle connection or a new one. A request is sent again only if no byte of it left on the first.
async fn send(
    way: &Way<'_>,
    upstream: &Upstream,
    mut request: Request<Upload>,
    state: &UploadState,
    watch: &Watch,
) -> Result<(Response<Incoming>, Lease), Box<Denial>> {
    let limit = way.settings.deadlines.first_byte;
    let mut may_reuse = true;
    loop {
        let lease = way.worker.upstreams.lease(upstream, way.settings, may_reuse).await;
        let mut lease = lease.map_err(|fault| connect_denial(upstream, &fault))?;
        request.body_mut().moves(watch.deadline(), limit);
        watch.arm(limit);
        let mut sending = pin!(lease.sender().try_send_request(request));
        let sent = std::future::poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(sent) => Poll::Ready(Some(sent)),
            Poll::Pending if watch.overdue(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match sent.await {
            Some(Ok(response)) => return Ok((response, lease)),
            Some(Err(mut error)) => match error.take_message() {
                Some(unsent) if lease.reused => {
                    request = unsent;
                    // One stale connection says little of the next, but a second try must not find another.
                    may_reuse = false;
                }
                _ => return Err(send_denial(upstream, error, state)),
            },
            None => {
                tracing::warn!(upstream = %upstream.name, ?limit, "the upstream did not answer in time");
                return Err(Box::new(Denial::new(
                    Reason::GatewayTimeout,
                    "The upstream did not answer in time.",
                )));
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
    match state.fault.get() {
        Some(UploadFault::TooLarge) => {
            return Box::new(Denial::new(
                Reason::BodyTooLarge,
                "The body is larger than this endpoint takes.",
            ));
        }
        Some(UploadFault::Broken) => {
            return Box::new(Denial::new(
                Reason::BadRequest,
                "The request body broke off before its end.",
            ));
        }
        None => {}
    }
    tracing::warn!(upstream = %upstream.name, error = %error.into_error(), "the upstream gave no valid answer");
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
        if switches && self.upgrade.is_none() {
            tracing::warn!("the upstream changed protocols unasked");
            return Err(Box::new(Denial::new(
                Reason::BadGateway,
                "The upstream gave no valid answer.",
            )));
        }
        let headers = self.response.headers_mut();
        headers::toward_client(headers, switches);
        if switches {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        let name = HeaderName::from_bytes(way.api.profile.request_id.header.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(way.request_id)) {
            headers.entry(name).or_insert(value);
        }
        Ok(())
    }

    /// The answer for the client.
    pub(crate) fn into_response(self, mut ticket: Ticket) -> Response<Answer> {
        let Self { mut response, relay, worker, upgrade } = self;
        ticket.answered(response.status().as_u16());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if let Some(client) = upgrade {
                let upstream = hyper::upgrade::on(&mut response);
                return response.map(|_| tunnel::open(&worker, client, upstream, ticket));
            }
        }
        let RelayParts { lease, upload, watch, stall } = relay;
        response.map(|incoming| {
            let relay = Relay { incoming, lease: Some(lease), upload, watch, stall, ended: false };
            Answer::relay(relay, ticket)
        })
    }

    /// Whether the connection becomes a tunnel.
    pub(crate) fn is_upgrade(&self) -> bool {
        self.response.status() == StatusCode::SWITCHING_PROTOCOLS
    }
}
