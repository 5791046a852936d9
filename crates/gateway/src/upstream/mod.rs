//! Upstream connections of one core: made when needed, given back after a clean end, last in first out.
//!
//! A connection is driven by the exchange that has it: no task of its own, no channel between. One that lies idle is asked before
//! it is used whether it is still quiet, and swept away soon after it is not. The last in is the first out, so those at the bottom are
//! what a burst has left: one that nobody needed for a while is closed.

mod call;
mod sending;
mod stream;

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

pub(crate) use call::{Call, CallFault, Request};
use keyward_core::policy::Upstream;
pub(crate) use sending::Framing;
pub(crate) use stream::ConnectFault;

use crate::{buffers::Buffers, settings::Compiled, socket::UpstreamSocket, watchdog::Watchdog};

/// Calls that are kept for the next request.
const MOST_SPARE: usize = 256;

/// Connections that are alike: to one address by one protocol.
struct Pool {
    host: Box<str>,
    port: u16,
    tls: bool,
    idle: Vec<UpstreamSocket>,
    /// So many at the bottom were not needed since then.
    unneeded: usize,
    since: Instant,
}

impl Pool {
    fn pop(&mut self) -> Option<UpstreamSocket> {
        let stream = self.idle.pop();
        self.unneeded = self.unneeded.min(self.idle.len());
        stream
    }

    /// Closes what the other side closed, or spoke on unasked; and what was not needed for so long.
    fn sweep(&mut self, now: Instant, unneeded_for: Duration) {
        self.idle.retain_mut(UpstreamSocket::is_quiet);
        if now.duration_since(self.since) >= unneeded_for {
            self.idle.drain(..self.unneeded.min(self.idle.len()));
            (self.unneeded, self.since) = (self.idle.len(), now);
        }
    }
}

/// The connections.
pub(crate) struct Upstreams {
    pools: RefCell<Vec<Pool>>,
    buffers: Rc<Buffers>,
    watchdog: Rc<Watchdog>,
    #[expect(clippy::vec_box, reason = "boxes are lent, and calls are large")]
    spare: RefCell<Vec<Box<Call>>>,
}

/// A connection for one request. Dropping it closes the connection, whatever is still under way on it.
pub(crate) struct Lease {
    stream: UpstreamSocket,
    home: Rc<Upstreams>,
    pool: usize,
    most_idle: usize,
    /// Whether it served a request before: then it may have been closed meanwhile.
    reused: bool,
}

impl Upstreams {
    /// None yet.
    pub(crate) fn new(buffers: Rc<Buffers>, watchdog: Rc<Watchdog>) -> Self {
        Self { pools: RefCell::default(), buffers, watchdog, spare: RefCell::default() }
    }

    /// A request on a connection.
    pub(crate) fn call(&self, lease: Lease, request: Request) -> Box<Call> {
        let spare = self.spare.borrow_mut().pop();
        let mut call = spare.unwrap_or_else(|| Box::new(Call::new(self.watchdog.watch())));
        call.begin(lease, request);
        call
    }

    fn keep_call(&self, call: Box<Call>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(call);
        }
    }

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
                unneeded: 0,
                since: Instant::now(),
            });
            pools.len() - 1
        })
    }

    fn pop(&self, pool: usize) -> Option<UpstreamSocket> {
        self.pools.borrow_mut().get_mut(pool)?.pop()
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
        stream: UpstreamSocket,
        pool: usize,
        settings: &Compiled,
        reused: bool,
    ) -> Lease {
        let most_idle = settings.limits.idle_upstream_connections;
        Lease { stream, home: self.clone(), pool, most_idle, reused }
    }

    /// Closes idle connections that are not good any more, or that were not needed for so long.
    pub(crate) fn sweep(&self, unneeded_for: Duration) {
        let now = Instant::now();
        for pool in self.pools.borrow_mut().iter_mut() {
            pool.sweep(now, unneeded_for);
        }
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
}

/// The other side has gone.
fn closed() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
