//! The trivial upstream behind every proxy: it reads a request and answers 200 each time, on one
//! thread, with one `epoll`, one `recv` and one `send` per request. It shares a core with the
//! generator, so its cost bounds how fast a proxy can be measured; a runtime here would only lower
//! that bound.
//!
//! The path says which answer is wanted: see `connection::Wanted`.

mod connection;
mod pacer;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::socket::Skipper;
pub(in crate::bench) use connection::LARGE;
use connection::{Connection, Next};
use pacer::Pacer;

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

/// The events that stand for the listener and for the timer; connections count up from the next.
const LISTENER: u32 = 0;
const TIMER: u32 = 1;

/// Serves until the process is ended.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut upstream = Upstream::listen(options.address)?;
    let mut events = vec![EpollEvent::empty(); 1024];
    loop {
        let ready = match upstream.epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            outcome => outcome.context("epoll failed")?,
        };
        for event in events.iter().take(ready) {
            match u32::try_from(event.data())? {
                LISTENER => upstream.accept()?,
                TIMER => upstream.send_what_is_due()?,
                id => upstream.serve(id)?,
            }
        }
    }
}

struct Upstream {
    listener: TcpListener,
    epoll: Epoll,
    connections: HashMap<u32, Connection>,
    last: u32,
    pacer: Pacer,
    /// Streams whose next event somebody asked for.
    asked: Vec<u32>,
    skipper: Skipper,
}

impl Upstream {
    fn listen(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .with_context(|| format!("the upstream cannot listen on {address}"))?;
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER.into()))?;
        let pacer = Pacer::new()?;
        epoll.add(pacer.timer(), EpollEvent::new(EpollFlags::EPOLLIN, TIMER.into()))?;
        let connections = HashMap::new();
        let (asked, skipper) = (Vec::new(), Skipper::new());
        Ok(Self { listener, epoll, connections, last: TIMER, pacer, asked, skipper })
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("the upstream cannot accept"),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            self.last += 1;
            self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, self.last.into()))?;
            self.connections.insert(self.last, Connection::new(stream, self.last));
        }
    }

    /// A proxy may close a connection at any time; that is its affair, and the generator sees what
    /// follows. So a connection that fails is forgotten, and nothing else happens.
    fn serve(&mut self, id: u32) -> Result<()> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        match connection.serve(&mut self.asked, &mut self.skipper) {
            Err(_) => self.forget(id),
            Ok(Next::Read) => {}
            Ok(Next::Write) => self.watch(id, EpollFlags::EPOLLOUT)?,
            Ok(Next::ReadAgain) => self.watch(id, EpollFlags::EPOLLIN)?,
            Ok(Next::Send(interval)) => self.pacer.add(id, interval)?,
        }
        for stream in std::mem::take(&mut self.asked) {
            self.send_event(stream);
        }
        Ok(())
    }

    fn watch(&self, id: u32, flags: EpollFlags) -> Result<()> {
        if let Some(connection) = self.connections.get(&id) {
            self.epoll.modify(connection.socket(), &mut EpollEvent::new(flags, id.into()))?;
        }
        Ok(())
    }

    fn send_what_is_due(&mut self) -> Result<()> {
        for stream in self.pacer.due()? {
            if !self.send_event(stream) {
                self.pacer.remove(stream)?;
            }
        }
        Ok(())
    }

    /// Whether that stream goes on.
    fn send_event(&mut self, id: u32) -> bool {
        let sent = self.connections.get_mut(&id).map(Connection::send_event);
        if matches!(sent, Some(Err(_))) {
            self.forget(id);
        }
        matches!(sent, Some(Ok(true)))
    }

    fn forget(&mut self, id: u32) {
        self.connections.remove(&id);
    }
}
