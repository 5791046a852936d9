//! An upstream that records every byte it receives, connection by connection, and does exactly what it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::{
    message::{Duplex, Log, Message, Wire, find},
    soon,
};

pub struct Upstream {
    pub address: SocketAddr,
    logs: Arc<Mutex<Vec<Log>>>,
    connections: mpsc::UnboundedReceiver<UpstreamConnection>,
}

impl Upstream {
    /// Hands its connections to the test: see [`Upstream::next`].
    pub async fn scripted() -> Self {
        Self::bind(None).await
    }

    /// The same behind TLS.
    pub async fn scripted_tls(config: rustls::ServerConfig) -> Self {
        Self::bind(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    /// Answers every request with the bytes that `answer` gives, on connections that stay open.
    pub async fn answering(answer: impl Fn(&Message) -> Vec<u8> + Clone + Send + 'static) -> Self {
        let mut upstream = Self::bind(None).await;
        let (keep_open, nobody) = mpsc::unbounded_channel();
        let mut connections = std::mem::replace(&mut upstream.connections, nobody);
        tokio::spawn(async move {
            while let Some(mut connection) = connections.recv().await {
                let answer = answer.clone();
                let keep_open = keep_open.clone();
                tokio::spawn(async move {
                    while let Ok(Some(request)) = connection.try_request().await {
                        connection.send(answer(&request)).await;
                    }
                    drop(keep_open);
                });
            }
        });
        upstream
    }

    async fn bind(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let logs: Arc<Mutex<Vec<Log>>> = Arc::default();
        let (tell, connections) = mpsc::unbounded_channel();
        let all = logs.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tcp.set_nodelay(true).unwrap();
                let log = Log::default();
                all.lock().unwrap().push(log.clone());
                let (tls, tell) = (tls.clone(), tell.clone());
                tokio::spawn(async move {
                    let raw = SockRef::from(&tcp).try_clone().unwrap();
                    let stream: Box<dyn Duplex> = match tls {
                        None => Box::new(tcp),
                        Some(tls) => match tls.accept(tcp).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    let _ = tell.send(UpstreamConnection {
                        wire: Wire::new(stream, Some(log.clone())),
                        raw,
                        log,
                    });
                });
            }
        });
        Self { address, logs, connections }
    }

    /// The next connection the gateway makes.
    pub async fn next(&mut self) -> UpstreamConnection {
        soon(self.connections.recv()).await.unwrap()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.logs.lock().unwrap().len()
    }

    /// Every byte received so far, connection by connection.
    pub fn each(&self) -> Vec<Vec<u8>> {
        self.logs.lock().unwrap().iter().map(|log| log.lock().unwrap().clone()).collect()
    }

    /// Every byte received so far, over all connections.
    pub fn received(&self) -> Vec<u8> {
        self.each().concat()
    }

    /// Whether these bytes came in, over whichever connection.
    pub fn saw(&self, bytes: impl AsRef<[u8]>) -> bool {
        find(&self.received(), bytes.as_ref()).is_some()
    }

    /// An address at which nobody listens. It stays taken: another test, or the gateway itself, would be given it next.
    pub fn nobody() -> SocketAddr {
        static TAKEN: OnceLock<Socket> = OnceLock::new();
        let taken = TAKEN.get_or_init(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            socket
        });
        taken.local_addr().unwrap().as_socket().unwrap()
    }
}

/// One connection from the gateway.
pub struct UpstreamConnection {
    pub wire: Wire<Box<dyn Duplex>>,
    raw: socket2::Socket,
    log: Log,
}

impl UpstreamConnection {
    /// The next whole request.
    pub async fn request(&mut self) -> Message {
        soon(self.try_request()).await.unwrap().expect("a request, not the end")
    }

    async fn try_request(&mut self) -> std::io::Result<Option<Message>> {
        match self.wire.try_head().await? {
            Some(head) => self.wire.request_body(head).await.map(Some),
            None => Ok(None),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.wire.send(bytes)).await;
    }

    /// Waits until the gateway closes the connection; gives what it still sent.
    pub async fn closed(&mut self) -> Vec<u8> {
        // A reset is an end as well.
        soon(self.wire.rest()).await.unwrap_or_default()
    }

    /// Breaks the connection off with a reset.
    pub fn reset(self) {
        self.raw.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// What came on this connection so far.
    pub fn received(&self) -> Vec<u8> {
        self.log.lock().unwrap().clone()
    }
}

/// The raw socket beside a stream, for what only a socket can do.
pub fn raw(tcp: &TcpStream) -> socket2::Socket {
    SockRef::from(tcp).try_clone().unwrap()
}
