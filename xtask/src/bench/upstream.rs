//! The trivial upstream behind every proxy: it reads a request and answers the same 200 each time,
//! on one thread, with one `epoll`, one `recv` and one `send` per request. It shares a core with
//! the generator, so its cost bounds how fast a proxy can be measured; a runtime here would only
//! lower that bound.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::message;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to listen
    #[arg(long)]
    address: SocketAddr,
}

impl Options {
    /// To listen there.
    pub(super) const fn at(address: SocketAddr) -> Self {
        Self { address }
    }
}

/// The event that stands for the listener; connections count up from the next.
const LISTENER: u64 = 0;

/// Room for one request with everything that a proxy may add to it.
const BUFFER: usize = 16 * 1024;

/// About 200 bytes, the size of a short answer from a model.
const BODY: &str = concat!(
    r#"{"id":"resp_0123456789abcdef","object":"response","model":"bench-model","output":"#,
    r#"[{"type":"text","text":"The answer is forty-two, as it was yesterday."}],"#,
    r#""usage":{"input_tokens":12,"output_tokens":9}}"#
);

/// What stands in for a body that this upstream cannot delimit: it must show as a failed round, not
/// as a stall.
const NOT_IMPLEMENTED: &[u8] = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n";

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// Serves until the process is ended.
pub(crate) fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(options.address)
        .with_context(|| format!("the upstream cannot listen on {}", options.address))?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let answer = answer();
    let mut connections = HashMap::new();
    let mut last = LISTENER;
    let mut events = vec![EpollEvent::empty(); 1024];
    loop {
        let ready = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            outcome => outcome.context("epoll failed")?,
        };
        for event in events.iter().take(ready) {
            if event.data() == LISTENER {
                accept(&listener, &epoll, &mut connections, &mut last)?;
            } else if let Some(connection) = connections.get_mut(&event.data()) {
                // A proxy may close a connection at any time; that is its affair, and the generator
                // sees what follows.
                if connection.serve(&answer).is_err() {
                    connections.remove(&event.data());
                }
            }
        }
    }
}

fn answer() -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
    format!("{head}{}\r\n\r\n{BODY}", BODY.len()).into_bytes()
}

fn accept(
    listener: &TcpListener,
    epoll: &Epoll,
    connections: &mut HashMap<u64, Connection>,
    last: &mut u64,
) -> Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("the upstream cannot accept"),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        *last += 1;
        epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, *last))?;
        connections.insert(*last, Connection { stream, buffer: vec![0; BUFFER], filled: 0 });
    }
}

impl Connection {
    /// Reads once and answers every complete request; an error when the connection is over.
    fn serve(&mut self, answer: &[u8]) -> Result<()> {
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = match self.stream.read(room) {
            Ok(0) => bail!("closed"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.filled += read;
        let mut done = 0;
        while let Some(head) =
            message::head(self.buffer.get(done..self.filled).unwrap_or_default())?
        {
            if head.is_chunked {
                self.stream.write_all(NOT_IMPLEMENTED)?;
                bail!("a chunked request");
            }
            let end = done + head.length + head.content_length.unwrap_or(0);
            if end > self.filled {
                break;
            }
            self.stream.write_all(answer)?;
            done = end;
        }
        self.buffer.copy_within(done..self.filled, 0);
        self.filled -= done;
        Ok(())
    }
}
