//! An upstream that does as a test says and keeps every byte it is sent.

use std::{
    io::{self, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    listener::Listener,
    wait::LONG,
    wire::{Body, Head},
};

/// A server on loopback, one thread a connection. It stops listening when it is dropped.
pub struct Upstream {
    listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    requests: AtomicU64,
    /// `None` where bytes are only counted.
    received: Option<Mutex<Vec<u8>>>,
    answer: Box<Answerer>,
}

type Answerer = dyn Fn(Exchange<'_>) -> io::Result<()> + Send + Sync;

/// One request and the way to answer it.
pub struct Exchange<'c> {
    /// Request line and headers.
    pub head: Head,
    reader: &'c mut BufReader<Tap>,
    body_read: bool,
}

impl Upstream {
    /// Answers each request as `answer` says, which has to read the request's body.
    pub fn start(answer: impl Fn(Exchange<'_>) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::listen(Some(Mutex::default()), Box::new(answer))
    }

    /// Like [`Upstream::start`], but it keeps nothing: for bodies that do not fit in memory.
    pub fn forgetful(
        answer: impl Fn(Exchange<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(None, Box::new(answer))
    }

    /// Answers every request with 200 and this JSON, after reading its body.
    pub fn json(body: &'static str) -> Self {
        Self::start(move |exchange| exchange.json(200, body))
    }

    fn listen(received: Option<Mutex<Vec<u8>>>, answer: Box<Answerer>) -> Self {
        let shared = Arc::new(Shared { requests: AtomicU64::new(0), received, answer });
        let serving = shared.clone();
        Self { listener: Listener::start(move |stream| serving.serve(stream)), shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Connections it has accepted.
    pub fn connections(&self) -> u64 {
        self.listener.connections()
    }

    /// Requests whose head it has read.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Every byte it was sent.
    pub fn received(&self) -> Vec<u8> {
        let kept = self.shared.received.as_ref().expect("this upstream keeps nothing");
        kept.lock().unwrap().clone()
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(LONG))?;
        let tap = Tap { stream, shared: self.clone() };
        let mut reader = BufReader::with_capacity(1 << 18, tap);
        while let Some(head) = Head::read(&mut reader)? {
            self.requests.fetch_add(1, Ordering::SeqCst);
            let closes = head.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
            (self.answer)(Exchange { head, reader: &mut reader, body_read: false })?;
            if closes {
                break;
            }
        }
        Ok(())
    }
}

/// Keeps what is read through it.
struct Tap {
    stream: TcpStream,
    shared: Arc<Shared>,
}

impl Read for Tap {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(into)?;
        if let Some(received) = &self.shared.received {
            received.lock().unwrap().extend_from_slice(&into[..read]);
        }
        Ok(read)
    }
}

impl Exchange<'_> {
    /// Reads what is left of the body and gives its length.
    pub fn drain(&mut self) -> io::Result<u64> {
        if std::mem::replace(&mut self.body_read, true) {
            return Ok(0);
        }
        Body::of_request(&self.head, self.reader).drain()
    }

    /// Reads the body into memory.
    pub fn body(&mut self) -> io::Result<Vec<u8>> {
        self.body_read = true;
        let mut body = Vec::new();
        Body::of_request(&self.head, self.reader).read_to_end(&mut body)?;
        Ok(body)
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().stream.write_all(bytes)
    }

    /// Reads what is left of the body, then answers with JSON.
    pub fn json(mut self, status: u16, body: &str) -> io::Result<()> {
        self.drain()?;
        let head = format!(
            "HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.write(head.as_bytes())?;
        self.write(body.as_bytes())
    }
}
