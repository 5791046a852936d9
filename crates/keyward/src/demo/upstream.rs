//! The built-in upstream: what stands behind the gateway in a demo. It listens on loopback only, and answers what the profiles
//! say that the real one would.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep},
};

use super::{
    answers::{self, Answers, Facts, Place},
    compress,
    configuration::Demonstration,
    counts::Counts,
};
use crate::clock;

/// The largest body it reads.
const LARGEST_BODY: usize = 64 * 1024 * 1024;
/// Between two events of a stream, so that one can see that they arrive one by one.
const GAP: Duration = Duration::from_millis(20);

/// Hosts, prefixes and answers of one API.
struct Served {
    hosts: Vec<String>,
    prefixes: Vec<String>,
    answers: Answers,
}

/// Starts it on a free port, on the runtime that calls. It runs as long as that does.
pub(super) async fn start(demonstrations: &[Demonstration]) -> anyhow::Result<SocketAddr> {
    let served = demonstrations.iter().map(|one| Served {
        hosts: one.demo.hosts.clone(),
        prefixes: one.demo.prefixes.clone(),
        answers: Answers::new(&one.demo),
    });
    let served: Arc<[Served]> = served.collect();
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
        .await
        .context("the demo's upstream finds no free port")?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(serve(stream, served.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the demo's upstream could not accept a connection");
                    sleep(GAP).await;
                }
            }
        }
    });
    Ok(address)
}

async fn serve(stream: TcpStream, served: Arc<[Served]>) {
    // Events are small: without this, each would wait for the one before to be acknowledged.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let served = served.clone();
        async move { Ok::<_, Infallible>(answer(request, &served).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    // A client that goes away is nobody's mistake.
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, served: &[Served]) -> Response<Reply> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
        return reply(
            413,
            whole(json!({ "error": "the demo's upstream takes 64 MiB" }).to_string()),
        );
    };
    let body = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
    let found =
        find(served, host, path).and_then(|it| it.answers.find(parts.method.as_str(), path));
    let Some((found, pattern)) = found else {
        let what = format!("the demo's upstream has no answer for {} {path}", parts.method);
        return reply(404, whole(json!({ "error": what }).to_string()));
    };
    let id = random_id();
    let facts = Facts { path, body: &body, id: &id, now: clock::now(), counts: Counts::of(&body) };
    let query = parts.uri.query().unwrap_or_default();
    let wants_stream = body.get("stream").and_then(Value::as_bool) == Some(true)
        || found.stream_query.as_ref().is_some_and(|asks| query.split('&').any(|one| one == asks));
    let answer = match wants_stream && !found.events.is_empty() {
        true => {
            let events = answers::events(found, pattern, &facts);
            let waiting = events.into_iter().map(|event| Bytes::from(format!("{event}\n\n")));
            reply(200, Reply::Events { waiting: waiting.collect(), gap: None })
        }
        false => {
            let text = answers::fill(&found.body, pattern, &facts, Place::default());
            reply(found.status.unwrap_or(200), whole(text))
        }
    };
    if compress::wanted(&parts.headers) { compress::gzip(answer) } else { answer }
}

/// The API with the longest prefix at this host.
fn find<'s>(served: &'s [Served], host: &str, path: &str) -> Option<&'s Served> {
    let fits = |prefix: &&String| {
        let rest = path.strip_prefix(prefix.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let longest = |one: &Served| one.prefixes.iter().filter(fits).map(String::len).max();
    served
        .iter()
        .filter(|one| one.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)))
        .filter_map(|one| Some((longest(one)?, one)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, one)| one)
}

/// Any id will do here: where there is no randomness, all are the same.
fn random_id() -> String {
    let mut bytes = [0; 12];
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn reply(status: u16, body: Reply) -> Response<Reply> {
    let kind = match &body {
        Reply::Whole(_) => "application/json",
        Reply::Events { .. } => "text/event-stream",
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn whole(text: String) -> Reply {
    Reply::Whole(Some(text.into()))
}

/// A body: whole, or event by event.
pub(super) enum Reply {
    Whole(Option<Bytes>),
    Events { waiting: VecDeque<Bytes>, gap: Option<Pin<Box<Sleep>>> },
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Whole(whole) => whole.take(),
            Self::Events { waiting, gap } => {
                if let Some(waited) = gap {
                    std::task::ready!(waited.as_mut().poll(context));
                }
                *gap = Some(Box::pin(sleep(GAP)));
                waiting.pop_front()
            }
        };
        Poll::Ready(next.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_none(),
            Self::Events { waiting, .. } => waiting.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => {
                SizeHint::with_exact(whole.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Events { .. } => SizeHint::default(),
        }
    }
}
