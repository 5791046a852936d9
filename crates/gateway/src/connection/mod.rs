//! One client connection: TLS, protocol, deadlines, and its end when the gateway drains.
//!
//! What is particular to a protocol stands in [`http1`] and [`http2`]; both end in [`crate::exchange`].

mod http1;
mod http2;

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use keyward_core::network;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::{
    socket::{ClientSocket, Socket},
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
    /// Requests that are being answered.
    in_flight: Rc<Cell<u32>>,
    /// The peer's address as text.
    peer_text: Box<str>,
    /// The HTTP/2 stream that is being polled.
    stream: RefCell<Option<Rc<http2::Stream>>>,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight(Rc<Cell<u32>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Connection {
    /// A request begins; until what is returned is dropped, the connection is not idle.
    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight(self.in_flight.clone())
    }

    /// Whether nothing is being answered.
    fn is_idle(&self) -> bool {
        self.in_flight.get() == 0
    }

    /// A client's address as text, made once for the usual one, the peer's own.
    pub(crate) fn text_of(&self, client: IpAddr) -> Cow<'_, str> {
        match client == self.peer {
            true => Cow::Borrowed(&self.peer_text),
            false => Cow::Owned(client.to_string()),
        }
    }
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
        peer_text: network::canonical(peer.ip()).to_string().into(),
        secure: tls.is_some(),
        http2,
        in_flight: Rc::default(),
        stream: RefCell::default(),
    });
    if http2 {
        http2::serve(worker, connection, stream, &settings).await;
    } else {
        http1::serve(worker, connection, stream, &settings).await;
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
async fn open(tcp: TcpStream, tls: Option<&TlsAcceptor>) -> Option<(ClientSocket, bool)> {
    match tls {
        Some(acceptor) => {
            let stream = acceptor.accept(tcp).await.ok()?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Some((Socket::Tls(Box::new(stream)), http2))
        }
        None => {
            // HTTP/2 with prior knowledge (RFC 9113, 3.3) begins with a preface that is no request of HTTP/1.1.
            let mut start = [0; PREFACE.len()];
            let mut seen = 0;
            while seen < start.len() {
                let now = tcp.peek(&mut start).await.ok()?;
                let so_far = start.get(..now)?;
                if now == 0 || !PREFACE.starts_with(so_far) {
                    return Some((Socket::Tcp(tcp), false));
                }
                if now == seen {
                    // The same byte again: wait for more without spinning.
                    tokio::time::sleep(crate::watchdog::TICK).await;
                }
                seen = now;
            }
            Some((Socket::Tcp(tcp), true))
        }
    }
}
