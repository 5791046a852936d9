//! The listener of the management API, on a thread of its own: what people do never waits for requests, nor requests for them.
//!
//! Whoever connects meets deadlines and caps: for a handshake and a request's head, for its body (in `exchange`), for taking what is
//! answered, on connections in all and from one neighbourhood. HTTP/1.1 alone: browsers and programs that manage keys need no more, and each
//! protocol is one more to defend.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::{
    Management,
    client::Connected,
    router,
    tls::{Certificate, CertificateError, CertificateFiles},
};
use crate::{
    password,
    thread::{Stopping, Thread},
    throttle::Neighbourhood,
};

/// How often the certificate's files are looked at.
const REFRESH: Duration = Duration::from_secs(10);
/// Of all connections, so many may come from one neighbourhood: one part of this many.
const SHARE: usize = 4;
const MOST_HEADERS: usize = 100;
const MOST_HEAD_BYTES: usize = 64 * 1024;

/// Where the management API is listened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Without it, requests come in the clear.
    pub tls: Option<CertificateFiles>,
}

/// Bounds on what clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; a quarter of them from one neighbourhood that is no trusted proxy's.
    pub connections: usize,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// For a handshake, and for a request's head from when one may come to its last byte.
    pub head: Duration,
    /// For a request's body, from first to last byte.
    pub body: Duration,
    /// For a client to take a piece of an answer.
    pub stall: Duration,
    /// For requests in flight when it is asked to stop.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 512,
            body_bytes: 1 << 20,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// Why the management API is not listened for.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be listened at.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A management API that is listened for.
pub struct Server {
    address: SocketAddr,
    management: Management,
    thread: Thread,
}

impl Server {
    /// Listens, on a socket that was handed over where there is one.
    pub fn start(
        listener: Listener,
        handed: Option<TcpListener>,
        management: Management,
    ) -> Result<Self, ListenError> {
        let Listener { address, tls } = listener;
        let certificate = tls.map(Certificate::load).transpose()?;
        let acceptor = match &certificate {
            Some(certificate) => Some(TlsAcceptor::from(certificate.server()?)),
            None => None,
        };
        let socket = handed.map_or_else(|| TcpListener::bind(address), Ok)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let listening = Listening {
            acceptor,
            certificate,
            router: router(management.clone()),
            management: management.clone(),
            places: Places::default(),
        };
        // A password that is being hashed is not waited for at its end.
        let thread = Thread::start("management", "the management API", async move |stopping| {
            if let Err(error) = listening.run(socket, stopping).await {
                tracing::error!(%error, "the management API has ended");
            }
        })?;
        Ok(Self { address, management, thread })
    }

    /// Where it listens, with its real port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its endpoints work on.
    pub const fn management(&self) -> &Management {
        &self.management
    }

    /// Takes no more requests, and lets those in flight end. Blocking, for as long as the bounds say at most.
    pub fn stop(self) {
        self.thread.finish();
    }
}

/// Connections there are, by neighbourhood.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<Neighbourhood, usize>,
}

/// A connection's place, until it is dropped.
struct Place {
    places: Places,
    of: Neighbourhood,
}

impl Places {
    fn take(&self, of: Neighbourhood, most: usize, most_of_one: usize) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = taken.by.get(&of).copied().unwrap_or(0);
        if taken.all >= most || there >= most_of_one {
            return None;
        }
        taken.all += 1;
        taken.by.insert(of, there + 1);
        drop(taken);
        Some(Place { places: self.clone(), of })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        match taken.by.get_mut(&self.of) {
            Some(there) if *there > 1 => *there -= 1,
            _ => {
                taken.by.remove(&self.of);
            }
        }
    }
}

struct Listening {
    acceptor: Option<TlsAcceptor>,
    certificate: Option<Arc<Certificate>>,
    router: Router,
    management: Management,
    places: Places,
}

impl Listening {
    async fn run(self, socket: TcpListener, mut stopping: Stopping) -> io::Result<()> {
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let mut connections = JoinSet::new();
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // So that the first login of somebody unknown takes no longer than others.
        tokio::task::spawn_blocking(password::prepare);
        let stop_too = stopping.clone();
        let mut stop = pin!(stopping.asked());
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = refresh.tick() => if let Some(certificate) = &self.certificate {
                    certificate.refresh();
                },
                Some(_) = connections.join_next() => {}
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        if let Some(place) = self.place(peer.ip()) {
                            let connection = self.connection(stream, peer.ip(), stop_too.clone());
                            connections.spawn(async move {
                                connection.await;
                                drop(place);
                            });
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the management API could not accept a connection");
                        // Out of file descriptors, it would be asked again at once and for nothing.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(socket);
        let drained = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(self.management.bounds().drain, drained).await;
        Ok(())
    }

    fn place(&self, peer: IpAddr) -> Option<Place> {
        let most = self.management.bounds().connections;
        let is_proxy = self.management.gate().trusted_proxies.iter().any(|one| one.contains(peer));
        let most_of_one = if is_proxy { most } else { most.div_ceil(SHARE) };
        self.places.take(Neighbourhood::of(peer), most, most_of_one)
    }

    /// One connection, to its end.
    fn connection(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        stopping: Stopping,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (acceptor, router, bounds) =
            (self.acceptor.clone(), self.router.clone(), self.management.bounds());
        let connected = Connected { peer, tls: acceptor.is_some() };
        async move {
            let _ = stream.set_nodelay(true);
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(bounds.stall));
            let stream = Box::pin(stream);
            match acceptor {
                None => serve(stream, router, connected, bounds, stopping).await,
                Some(acceptor) => match timeout(bounds.head, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, router, connected, bounds, stopping).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
                    Err(_) => tracing::debug!("a handshake took too long"),
                },
            }
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    connected: Connected,
    bounds: Bounds,
    mut stopping: Stopping,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connected);
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_headers(MOST_HEADERS)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.asked() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the management API broke off");
    }
}
