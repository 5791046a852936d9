//! Around every request, whatever becomes of it: an id, one record in the log, a body that is bounded in size and time, headers that every
//! answer carries, and words for what went wrong. Endpoints know of none of it.
//!
//! A client's own `X-Request-Id` is logged beside ours and not taken over: a log in which others choose the ids can be made to lie.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use keyward_api::ErrorCode;

use super::{
    Management, browser,
    client::{self, Client},
    problem::{self, Refusal},
};
use crate::{
    context::{self, Context},
    mint,
    throttle::{Neighbourhood, Walker},
};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a client's own id that are logged.
const LONGEST_OWN_ID: usize = 128;
/// Endpoints that read their body themselves, within bounds of their own, once it is known that the caller may send it.
const READ_THEIR_OWN: &[&str] = &["/v1/organizations/{organization}/keys/import"];
/// Beyond the bound, so much is thrown away and for so long before a body is refused: an answer that comes before its request has
/// ended is lost on clients that still send.
const READ_OUT: u64 = 16 << 20;
const READ_OUT_FOR: Duration = Duration::from_secs(5);

/// How much of a body is read, and how long it may take to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyBounds {
    pub(super) bytes: u64,
    pub(super) deadline: Duration,
}

/// What is learnt on the way of a request, for its record.
#[derive(Clone, Default)]
pub(super) struct Told {
    caller: Arc<OnceLock<&'static str>>,
}

impl Told {
    /// Who it was.
    pub(super) fn caller(&self, context: &Context) {
        let kind = match &context.caller {
            context::Caller::Operator(_) => "operator",
            context::Caller::Person(..) => "person",
            context::Caller::Key(..) => "key",
            context::Caller::Visitor => "visitor",
        };
        // Asked twice, it is the same.
        let _ = self.caller.set(kind);
    }

    fn kind(&self) -> &'static str {
        self.caller.get().copied().unwrap_or("visitor")
    }
}

/// The outermost layer.
pub(super) async fn exchange(
    State(management): State<Management>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id();
    let told = Told::default();
    let client =
        Client::of(request.extensions(), request.headers(), &management.gate().trusted_proxies);
    let is_forwarded = request.headers().contains_key(client::FORWARDED_FOR);
    if is_forwarded && client.address.is_loopback() {
        management.gate().tell_of_proxy(client.address);
    }
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(told.clone());
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let own_id = own_id(request.headers());
    let response = answer(&management, client, request, next).await;
    let mut response = problem::write(response, &id);
    dress(response.headers_mut(), client, &id);
    tracing::info!(
        request_id = id,
        client_request_id = own_id,
        %method,
        path = path.as_ref().map_or("none", MatchedPath::as_str),
        status = response.status().as_u16(),
        caller = told.kind(),
        duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "a request of the management API was answered"
    );
    response
}

async fn answer(management: &Management, client: Client, request: Request, next: Next) -> Response {
    if shows_nothing(request.headers()) {
        let walker = Walker::Unknown(Neighbourhood::of(client.address));
        if let Err(wait) = management.gate().pace.take(walker, management.now()) {
            return Refusal::too_many_requests(wait).into_response();
        }
    }
    let matched = request.extensions().get::<MatchedPath>();
    if matched.is_some_and(|path| READ_THEIR_OWN.contains(&path.as_str())) {
        return next.run(request).await;
    }
    match with_whole_body(request, management.body_bounds()).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Whoever shows something is counted where it is looked at.
fn shows_nothing(headers: &HeaderMap) -> bool {
    let cookie = browser::cookie(headers, browser::SESSION);
    !headers.contains_key(header::AUTHORIZATION) && matches!(cookie, Ok(None))
}

fn request_id() -> String {
    // An id is no secret: without randomness, requests are still answered.
    let random: [u8; 26] = mint::random().unwrap_or_default();
    mint::digits(&random).fold("req_".to_owned(), |mut id, digit| {
        id.push(digit);
        id
    })
}

/// What a client calls its request, as far as it can stand in a log.
fn own_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=LONGEST_OWN_ID).contains(&value.len());
    (fits && value.bytes().all(|byte| byte.is_ascii_graphic())).then(|| value.to_owned())
}

/// Reads the body before anything is done.
pub(super) async fn with_whole_body(
    request: Request,
    bounds: BodyBounds,
) -> Result<Request, Refusal> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    let too_large = || {
        let detail = format!("a body of more than {} bytes is not read here", bounds.bytes);
        Refusal::new(ErrorCode::TooLarge, detail)
    };
    let asks_first = head.headers.contains_key(header::EXPECT);
    if asks_first && body.size_hint().lower() > bounds.bytes {
        return Err(too_large());
    }
    let read = tokio::time::timeout(bounds.deadline, read(body, bounds.bytes)).await;
    let Ok(read) = read else {
        let detail = "the body did not come in time: send it faster, or less of it";
        return Err(Refusal::new(ErrorCode::TooSlow, detail));
    };
    match read? {
        Read::Whole(bytes) => Ok(Request::from_parts(head, Body::from(bytes))),
        Read::TooLarge(rest) => {
            // Whether it ends in time or not, the answer is the same.
            let _ = tokio::time::timeout(READ_OUT_FOR, read_out(rest)).await;
            Err(too_large())
        }
    }
}

enum Read {
    Whole(Bytes),
    TooLarge(Body),
}

async fn read(mut body: Body, most: u64) -> Result<Read, Refusal> {
    let broken = |_| Refusal::new(ErrorCode::Invalid, "the body broke off: send it again");
    let mut bytes = Vec::new();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if bytes.len().saturating_add(data.len()) > most {
            return Ok(Read::TooLarge(body));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Read::Whole(bytes.into()))
}

async fn read_out(mut body: Body) {
    let mut read = 0_u64;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        read = read.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if read > READ_OUT {
            return;
        }
    }
}

/// What every answer carries. A page that is served beside the API may have said some of it itself.
fn dress(headers: &mut HeaderMap, client: Client, id: &str) {
    let always = [
        // No answer is for a cache: some hold what is shown once.
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in always {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if client.secure {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(year);
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// What a panic of an endpoint is answered with; what it said is in the log.
pub(super) fn after_panic(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("an endpoint of the management API ended by a panic");
    Refusal::internal().into_response()
}
