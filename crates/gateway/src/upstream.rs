//! Upstream connections of one core: made when needed, given back after a clean end, last in first out.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::{
    client::conn::http1::{self, SendRequest},
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::rt::TokioIo;
use keyward_core::policy::Upstream;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, task::AbortHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{body::Upload, settings::Compiled};

/// Which connections are alike: those to one address by one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Target {
    host: Box<str>,
    port: u16,
    tls: bool,
}

type Pool = Rc<RefCell<Vec<Connected>>>;

/// A connection: where requests are put in, and the task that drives it.
struct Connected {
    sender: SendRequest<Upload>,
    driver: Driver,
}

/// Ends the task with what it is for. Left alone, hyper's would first flush what it has: an upstream that stopped reading
/// would hold it, and the client's upload with it, for as long as it likes.
struct Driver(Option<AbortHandle>);

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// The connections.
#[derive(Default)]
pub(crate) struct Upstreams {
    pools: RefCell<HashMap<Target, Pool>>,
}

/// A connection for one request. Dropping it closes the connection, whatever is still under way on it.
pub(crate) struct Lease {
    connected: Connected,
    pool: Pool,
    most_idle: usize,
    /// Whether it served a request before: then it may have been closed meanwhile.
    pub(crate) reused: bool,
}

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFault {
    #[error("it did not take the connection in time")]
    Timeout,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it closed the connection before the request was sent")]
    Closed,
    #[error("its name is no TLS server name")]
    Name,
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

impl Upstreams {
    fn pool(&self, upstream: &Upstream) -> Pool {
        let mut pools = self.pools.borrow_mut();
        // Found by a look through the few there are, so that a request allocates no key.
        let known = pools.iter().find(|(target, _)| {
            target.port == upstream.port
                && target.tls == upstream.tls
                && target.host == upstream.host
        });
        if let Some((_, pool)) = known {
            return pool.clone();
        }
        let target = Target { host: upstream.host.clone(), port: upstream.port, tls: upstream.tls };
        pools.entry(target).or_default().clone()
    }

    /// A connection: an idle one, or a new one.
    pub(crate) async fn lease(
        &self,
        upstream: &Upstream,
        settings: &Compiled,
        may_reuse: bool,
    ) -> Result<Lease, ConnectFault> {
        let pool = self.pool(upstream);
        let most_idle = settings.limits.idle_upstream_connections;
        let idle = || if may_reuse { pool.borrow_mut().pop() } else { None };
        while let Some(connected) = idle() {
            if connected.sender.is_ready() {
                return Ok(Lease { connected, pool, most_idle, reused: true });
            }
        }
        // On the heap: few requests connect, and a handshake's room would be carried by every one of them.
        let connecting = Box::pin(connect(upstream, settings));
        let connected = match tokio::time::timeout(settings.deadlines.connect, connecting).await {
            Ok(connected) => connected?,
            Err(_) => return Err(ConnectFault::Timeout),
        };
        Ok(Lease { connected, pool, most_idle, reused: false })
    }
}

impl Lease {
    pub(crate) fn sender(&mut self) -> &mut SendRequest<Upload> {
        &mut self.connected.sender
    }

    /// The connection is a tunnel now, and lives as long as that.
    pub(crate) fn becomes_tunnel(mut self) {
        self.connected.driver.0 = None;
    }

    /// The request on it ended cleanly: the next may have it.
    pub(crate) fn give_back(self) {
        let mut pool = self.pool.borrow_mut();
        if self.connected.sender.is_ready() && pool.len() < self.most_idle {
            pool.push(self.connected);
        }
    }
}

async fn connect(upstream: &Upstream, settings: &Compiled) -> Result<Connected, ConnectFault> {
    let host = upstream.host.trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((host, upstream.port)).await?;
    tcp.set_nodelay(true)?;
    let stream = if upstream.tls {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectFault::Name)?;
        let connector = TlsConnector::from(Arc::clone(&settings.upstream_tls));
        UpstreamStream::Tls(TokioIo::new(Box::new(connector.connect(name, tcp).await?)))
    } else {
        UpstreamStream::Tcp(TokioIo::new(tcp))
    };
    let (sender, connection) =
        http1::Builder::new().max_buf_size(64 * 1024).handshake(stream).await?;
    let task = tokio::task::spawn_local(async move {
        // Its end is told to the request on it; an idle connection that speaks unasked is closed by hyper.
        let _ = connection.with_upgrades().await;
    });
    Ok(Connected { sender, driver: Driver(Some(task.abort_handle())) })
}

enum UpstreamStream {
    Tcp(TokioIo<TcpStream>),
    Tls(TokioIo<Box<TlsStream<TcpStream>>>),
}

impl Read for UpstreamStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, out),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, out),
        }
    }
}

impl Write for UpstreamStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, pieces),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, pieces),
        }
    }

    /// Head and body in one buffer and one plain send: half a microsecond less than a vectored write.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
