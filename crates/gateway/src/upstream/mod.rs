//! Upstream connections of one core: made when needed, given back after a clean end, last in first out.
//!
//! A connection is driven by the exchange that has it: no task of its own, no channel between. One that lies idle is asked before
//! it is used whether it is still quiet, and swept away soon after it is not.

mod call;
mod sending;
mod stream;

use std::{cell::RefCell, io, rc::Rc};

use bytes::BytesMut;
pub(crate) use call::{AnswerHead, Call, CallFault, Request};
use keyward_core::policy::Upstream;
pub(crate) use sending::Framing;
use stream::UpstreamStream;
pub(crate) use stream::{ConnectFault, Tunnelled};

use crate::settings::Compiled;

/// Buffers kept for the next requests.
const MOST_SPARE: usize = 64;
/// A larger buffer is given back to the system.
const SPARE_BYTES: usize = 64 * 1024;

/// Connections that are alike: to one address by one protocol.
struct Pool {
    host: Box<str>,
    port: u16,
    tls: bool,
    idle: Vec<UpstreamStream>,
}

/// The connections.
#[derive(Default)]
pub(crate) struct Upstreams {
    pools: RefCell<Vec<Pool>>,
    spare_reads: RefCell<Vec<BytesMut>>,
    spare_writes: RefCell<Vec<Vec<u8>>>,
}

/// A connection for one request. Dropping it closes the connection, whatever is still under way on it.
pub(crate) struct Lease {
    stream: UpstreamStream,
    home: Rc<Upstreams>,
    pool: usize,
    most_idle: usize,
    /// Whether it served a request before: then it may have been closed meanwhile.
    reused: bool,
}

impl Upstreams {
    /// Which pool is an upstream's; there are few, and a look through them allocates no key.
    fn pool(&self, upstream: &Upstream) -> usize {
        let mut pools = self.pools.borrow_mut();
        let known = pools.iter().position(|pool| {
            pool.port == upstream.port && pool.tls == upstream.tls && pool.host == upstream.host
        });
        known.unwrap_or_else(|| {
            pools.push(Pool {
                host: upstream.host.clone(),
                port: upstream.port,
                tls: upstream.tls,
                idle: Vec::new(),
            });
            pools.len() - 1
        })
    }

    fn pop(&self, pool: usize) -> Option<UpstreamStream> {
        self.pools.borrow_mut().get_mut(pool)?.idle.pop()
    }

    /// An idle connection that is still quiet.
    pub(crate) fn idle(self: &Rc<Self>, upstream: &Upstream, settings: &Compiled) -> Option<Lease> {
        let pool = self.pool(upstream);
        loop {
            let mut stream = self.pop(pool)?;
            if stream.is_quiet() {
                return Some(self.lease(stream, pool, settings, true));
            }
        }
    }

    /// A new connection.
    pub(crate) async fn connect(
        self: &Rc<Self>,
        upstream: &Upstream,
        settings: &Compiled,
    ) -> Result<Lease, ConnectFault> {
        let connecting = stream::connect(upstream, settings);
        let stream = match tokio::time::timeout(settings.deadlines.connect, connecting).await {
            Ok(connected) => connected?,
            Err(_) => return Err(ConnectFault::Timeout),
        };
        Ok(self.lease(stream, self.pool(upstream), settings, false))
    }

    fn lease(
        self: &Rc<Self>,
        stream: UpstreamStream,
        pool: usize,
        settings: &Compiled,
        reused: bool,
    ) -> Lease {
        let most_idle = settings.limits.idle_upstream_connections;
        Lease { stream, home: self.clone(), pool, most_idle, reused }
    }

    /// Closes idle connections that the other side closed, or on which it spoke unasked.
    pub(crate) fn sweep(&self) {
        for pool in self.pools.borrow_mut().iter_mut() {
            pool.idle.retain_mut(UpstreamStream::is_quiet);
        }
    }

    /// An empty buffer to write a request into.
    pub(crate) fn write_buffer(&self) -> Vec<u8> {
        self.spare_writes.borrow_mut().pop().unwrap_or_default()
    }

    fn keep_write_buffer(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        keep(&self.spare_writes, buffer, Vec::capacity);
    }

    fn read_buffer(&self) -> BytesMut {
        self.spare_reads.borrow_mut().pop().unwrap_or_default()
    }

    fn keep_read_buffer(&self, mut buffer: BytesMut) {
        buffer.clear();
        keep(&self.spare_reads, buffer, BytesMut::capacity);
    }
}

fn keep<B>(spare: &RefCell<Vec<B>>, buffer: B, capacity: impl Fn(&B) -> usize) {
    let mut spare = spare.borrow_mut();
    if spare.len() < MOST_SPARE && capacity(&buffer) <= SPARE_BYTES {
        spare.push(buffer);
    }
}

impl Lease {
    /// The request on it ended cleanly: the next may have it.
    fn give_back(self) {
        let Self { stream, home, pool, most_idle, .. } = self;
        if let Some(pool) = home.pools.borrow_mut().get_mut(pool)
            && pool.idle.len() < most_idle
        {
            pool.idle.push(stream);
        }
    }

    fn io(&mut self) -> &mut UpstreamStream {
        &mut self.stream
    }
}

/// The other side has gone.
fn closed() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
