//! One client connection: TLS, protocol, deadlines, and its end when the gateway drains.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::HeaderValue;
use hyper::{
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioTimer;
use keyward_core::network;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::{
    exchange::exchange,
    settings::Compiled,
    watchdog::Deadline,
    wire::{
        client_io::{ClientIo, ClientStream, Patience, WireState},
        screen::{HeadLimits, Screen},
    },
    worker::Worker,
};

/// How long a connection may be silent when the gateway drains.
const LATE: Duration = Duration::from_millis(500);
/// What a client of HTTP/2 sends first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What all requests of a connection share.
pub(crate) struct Connection {
    /// The peer's address, IPv4-mapped ones as IPv4.
    pub(crate) peer: IpAddr,
    /// Whether it is encrypted.
    pub(crate) secure: bool,
    /// Whether it speaks HTTP/2.
    pub(crate) http2: bool,
    /// What stream and exchanges tell each other.
    pub(crate) wire: Arc<WireState>,
    /// The peer's address as a header's value.
    peer_header: HeaderValue,
    /// The deadline of the HTTP/2 stream that is being polled.
    stream: RefCell<Option<Deadline>>,
}

impl Connection {
    /// The deadline by which the client of the HTTP/2 stream that is being polled must take what it is sent.
    pub(crate) fn stream(&self) -> Option<Deadline> {
        self.stream.borrow().clone()
    }

    /// A client's address as a header's value, made once for the usual one, the peer's own.
    pub(crate) fn header_of(&self, client: IpAddr) -> HeaderValue {
        if client == self.peer { self.peer_header.clone() } else { address_header(client) }
    }
}

fn address_header(address: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    tcp: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
) {
    let settings = worker.settings();
    // A peer that is gone already makes this fail; then reading fails next.
    let _ = tcp.set_nodelay(true);
    let opened = tokio::select! {
        biased;
        opened = tokio::time::timeout(settings.deadlines.head, open(tcp, tls.as_ref())) => opened,
        () = too_late(&worker) => return,
    };
    let Ok(Some((stream, http2))) = opened else { return };
    let connection = Rc::new(Connection {
        peer: network::canonical(peer.ip()),
        peer_header: address_header(network::canonical(peer.ip())),
        secure: tls.is_some(),
        http2,
        wire: Arc::default(),
        stream: RefCell::default(),
    });
    if http2 {
        serve_http2(worker, connection, stream, &settings).await;
    } else {
        serve_http1(worker, connection, stream, &settings).await;
    }
}

/// Waits until the gateway has drained for a while. Who connected just before has sent its request by then, and who says
/// nothing does not hold the others up.
async fn too_late(worker: &Worker) {
    let noticed = worker.watchdog.watch();
    poll_fn(|cx| {
        noticed.overdue(cx);
        if worker.is_draining() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    tokio::time::sleep(LATE).await;
}

/// The stream ready to be read, and whether it speaks HTTP/2; `None` where the client went or spoke nonsense.
async fn open(tcp: TcpStream, tls: Option<&TlsAcceptor>) -> Option<(ClientStream, bool)> {
    match tls {
        Some(acceptor) => {
            let stream = acceptor.accept(tcp).await.ok()?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Some((ClientStream::Tls(Box::new(stream)), http2))
        }
        None => {
            // HTTP/2 with prior knowledge (RFC 9113, 3.3) begins with a preface that is no request of HTTP/1.1.
            let mut start = [0; PREFACE.len()];
            let mut seen = 0;
            while seen < start.len() {
                let now = tcp.peek(&mut start).await.ok()?;
                let so_far = start.get(..now)?;
                if now == 0 || !PREFACE.starts_with(so_far) {
                    return Some((ClientStream::Tcp(tcp), false));
                }
                if now == seen {
                    // The same byte again: wait for more without spinning.
                    tokio::time::sleep(crate::watchdog::TICK).await;
                }
                seen = now;
            }
            Some((ClientStream::Tcp(tcp), true))
        }
    }
}

fn client_io(
    worker: &Worker,
    connection: &Connection,
    stream: ClientStream,
    settings: &Compiled,
) -> ClientIo {
    let limits = &settings.limits;
    let head = HeadLimits {
        request_line: limits.uri_bytes,
        head: limits.head_bytes,
        headers: limits.headers,
    };
    let screen = (!connection.http2).then(|| Screen::new(head));
    let patience = Patience {
        head: settings.deadlines.head,
        idle: settings.deadlines.idle,
        stall: settings.deadlines.stall,
    };
    let watches = (worker.watchdog.watch(), worker.watchdog.watch());
    ClientIo::new(stream, connection.wire.clone(), screen, patience, watches)
}

async fn serve_http1(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    stream: ClientStream,
    settings: &Compiled,
) {
    let io = client_io(&worker, &connection, stream, settings);
    let service_worker = worker.clone();
    let service =
        service_fn(move |request| exchange(service_worker.clone(), connection.clone(), request));
    let served = http1::Builder::new()
        .max_headers(settings.limits.headers)
        // The screen bounds heads; hyper's buffer must only never be the tighter bound.
        .max_buf_size(settings.limits.head_bytes.max(32 * 1024) + 32 * 1024)
        .serve_connection(io, service)
        .with_upgrades();
    drive(&worker, pin!(served), |served| served.graceful_shutdown()).await;
}

async fn serve_http2(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    stream: ClientStream,
    settings: &Compiled,
) {
    let io = client_io(&worker, &connection, stream, settings);
    let wire = connection.wire.clone();
    let service_worker = worker.clone();
    let streams = Streams { worker: worker.clone(), connection: connection.clone() };
    let service =
        service_fn(move |request| exchange(service_worker.clone(), connection.clone(), request));
    let limits = &settings.limits;
    let served = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        // The guard refuses half of this, with words.
        .max_header_list_size(u32::try_from(limits.head_bytes * 2).unwrap_or(u32::MAX))
        // Streams opened and reset at once (CVE-2023-44487) and answers nobody reads are bounded.
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(64)
        .max_send_buf_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(settings.deadlines.stall)
        .keep_alive_timeout(settings.deadlines.head)
        .serve_connection(io, service);
    let mut served = pin!(served);
    let idle = worker.watchdog.watch();
    let mut quiet = false;
    let until_idle = poll_fn(|cx| {
        if wire.is_idle() {
            if !quiet {
                quiet = true;
                idle.arm(settings.deadlines.idle);
            }
            if idle.overdue(cx) {
                return Poll::Ready(());
            }
        } else {
            quiet = false;
            idle.arm(settings.deadlines.idle);
            idle.overdue(cx);
        }
        Poll::Pending
    });
    let driven = drive(&worker, served.as_mut(), |served| served.graceful_shutdown());
    tokio::select! {
        biased;
        () = driven => return,
        () = until_idle => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(settings.deadlines.head, served).await;
}

/// Polls a connection to its end; tells it once when the gateway drains.
async fn drive<C, E>(worker: &Worker, mut served: Pin<&mut C>, stop: impl Fn(Pin<&mut C>))
where
    C: Future<Output = Result<(), E>>,
{
    let noticed = worker.watchdog.watch();
    let mut told = false;
    let mut listens = false;
    poll_fn(|cx| {
        // It is woken once, for the drain: until then its waker stays the one it left at first.
        if !std::mem::replace(&mut listens, true) {
            noticed.overdue(cx);
        }
        // How a connection ends is the client's affair: every request on it was recorded by itself.
        let mut poll = served.as_mut().poll(cx);
        // Only now: a request that is there already is still answered.
        if poll.is_pending() && worker.is_draining() && !told {
            told = true;
            stop(served.as_mut());
            poll = served.as_mut().poll(cx);
        }
        poll.map(|_| ())
    })
    .await;
}

/// Runs the futures of HTTP/2 streams where they are: on this core.
///
/// hyper asks an answer for more only when the client has room for it; a client that never has, and keeps its connection
/// alive, would hold stream and upstream for ever. So each stream runs under a deadline, which its answer moves.
#[derive(Clone)]
struct Streams {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, future: F) {
        let Self { worker, connection } = self.clone();
        tokio::task::spawn_local(async move {
            let watch = worker.spare_watch();
            let deadline = watch.deadline();
            let mut future = Box::pin(future);
            poll_fn(|cx| {
                *connection.stream.borrow_mut() = Some(deadline.clone());
                let poll = future.as_mut().poll(cx);
                *connection.stream.borrow_mut() = None;
                match poll {
                    // Dropping the future resets the stream.
                    Poll::Pending if watch.overdue(cx) => Poll::Ready(()),
                    poll => poll,
                }
            })
            .await;
            drop(future);
            worker.keep_watch(watch);
        });
    }
}
