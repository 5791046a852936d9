//! One core: its runtime, its listener sockets, its upstream connections, its counters.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    ops::Deref,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Cache};
use keyward_core::{
    limit::{
        Steady,
        counters::{Counters, Moment},
    },
    snapshot::Snapshot,
    time::Timestamp,
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    buffers::Buffers,
    clock, connection,
    gateway::Ports,
    headers::Prepared,
    meter::Meters,
    record::{Open, Recorder},
    settings::Compiled,
    slow::Pool,
    upstream::Upstreams,
    watchdog::{self, Watch, Watchdog},
};

/// Bytes of request bodies a core keeps at once while they are read to be decided on.
const MOST_HELD: usize = 128 * 1024 * 1024;
const MOST_SPARE: usize = 256;
/// What a core tells its counts after.
const FLUSH: Duration = Duration::from_secs(1);

/// A thread's own state. Nothing in it is shared with another core.
pub(crate) struct Worker {
    snapshot: RefCell<Cached<Snapshot>>,
    settings: RefCell<Cached<Compiled>>,
    /// Shared with the other cores: a limit is one for all of them.
    pub(crate) counters: Arc<Counters>,
    began: Instant,
    pub(crate) watchdog: Rc<Watchdog>,
    pub(crate) upstreams: Rc<Upstreams>,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) date: RefCell<clock::HttpDate>,
    wall: Cell<clock::Wall>,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) prepared: RefCell<Prepared>,
    pub(crate) meters: RefCell<Meters>,
    /// Shared with the other cores: for requests that would have been refused otherwise.
    pub(crate) slow: Arc<Pool>,
    spare_watches: RefCell<Vec<Watch>>,
    #[expect(clippy::vec_box, reason = "boxes are lent, and tickets are large")]
    spare_tickets: RefCell<Vec<Box<Open>>>,
    request_ids: Cell<(u64, u64)>,
    connections: Cell<usize>,
    held: Cell<usize>,
    draining: Cell<bool>,
}

/// A count of references of this core's own around the one that all cores share: to write to that one per request would
/// be to write to a cache line of all cores.
type Lent<T> = Rc<Arc<T>>;

/// What all cores share, lent to requests without touching its count of references: that would be a cache line all
/// cores write to.
struct Cached<T> {
    cache: Cache<Arc<ArcSwap<T>>, Arc<T>>,
    lent: Lent<T>,
}

impl<T> Cached<T> {
    fn new(shared: Arc<ArcSwap<T>>) -> Self {
        let mut cache = Cache::new(shared);
        let lent = Rc::new(cache.load().clone());
        Self { cache, lent }
    }

    fn load(&mut self) -> Lent<T> {
        let now = self.cache.load();
        if !Arc::ptr_eq(now, &self.lent) {
            self.lent = Rc::new(now.clone());
        }
        self.lent.clone()
    }
}

/// A socket to accept from.
pub(crate) struct Listening {
    pub(crate) socket: std::net::TcpListener,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

/// What a worker's thread is started with.
pub(crate) struct WorkerParts {
    pub(crate) ports: Ports,
    pub(crate) settings: Arc<ArcSwap<Compiled>>,
    pub(crate) slow: Arc<Pool>,
    pub(crate) listening: Vec<Listening>,
    pub(crate) drain: watch::Receiver<bool>,
    /// This worker's share of the connections.
    pub(crate) workers: usize,
    /// Random, so that request ids differ between processes and cores.
    pub(crate) seed: u64,
}

impl Worker {
    /// The state to decide from.
    pub(crate) fn snapshot(&self) -> Lent<Snapshot> {
        self.snapshot.borrow_mut().load()
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Lent<Compiled> {
        self.settings.borrow_mut().load()
    }

    /// What the system's clock tells at a moment; noticed within a tick when somebody sets it.
    pub(crate) fn wall(&self, at: Instant) -> Timestamp {
        self.wall.get().at(at)
    }

    /// Reads the system's clock.
    fn read_clock(&self) {
        let wall = clock::Wall::read();
        self.wall.set(wall);
        self.date.borrow_mut().turn(wall.told);
    }

    /// A moment by both clocks.
    pub(crate) fn moment(&self, at: Instant) -> Moment {
        let wall = self.wall(at);
        Moment { wall, steady: Steady::from_elapsed(at.saturating_duration_since(self.began)) }
    }

    /// A deadline for one exchange; to be given back by [`Worker::keep_watch`].
    pub(crate) fn spare_watch(&self) -> Watch {
        self.spare_watches.borrow_mut().pop().unwrap_or_else(|| self.watchdog.watch())
    }

    /// Keeps a deadline for the next exchange.
    pub(crate) fn keep_watch(&self, watch: Watch) {
        let mut spare = self.spare_watches.borrow_mut();
        if spare.len() < MOST_SPARE {
            watch.disarm();
            spare.push(watch);
        }
    }

    /// What a request's ticket is made of; to be given back by [`Worker::keep_ticket`].
    pub(crate) fn spare_ticket(self: &Rc<Self>) -> Box<Open> {
        let spare = self.spare_tickets.borrow_mut().pop();
        spare.unwrap_or_else(|| Box::new(Open::new(self.clone())))
    }

    /// Keeps what a request's ticket was made of for the next.
    pub(crate) fn keep_ticket(&self, open: Box<Open>) {
        let mut spare = self.spare_tickets.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(open);
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// 128 bits that no other request has: this core's random half, and a scrambled count.
    pub(crate) fn next_request_id(&self) -> u128 {
        let (seed, count) = self.request_ids.get();
        self.request_ids.set((seed, count.wrapping_add(1)));
        u128::from(seed) << 64 | u128::from(scramble(seed ^ count))
    }
}

/// The finalizer of SplitMix64: every input has its own output.
const fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Runs a worker until it is drained. Called on its own thread.
pub(crate) fn run(parts: WorkerParts) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let worker = runtime.block_on(work(parts))?;
    // What the deadline cuts is recorded as it is dropped.
    drop(runtime);
    worker.recorder.borrow_mut().flush(clock::now());
    // They know the worker, which would never go otherwise.
    worker.spare_tickets.borrow_mut().clear();
    Ok(())
}

async fn work(parts: WorkerParts) -> std::io::Result<Rc<Worker>> {
    let mut drain = parts.drain;
    let workers = parts.workers.max(1);
    let buffers = Rc::<Buffers>::default();
    let watchdog = Watchdog::new();
    let worker = Rc::new(Worker {
        snapshot: RefCell::new(Cached::new(parts.ports.snapshot)),
        counters: parts.ports.counters,
        began: parts.ports.began,
        settings: RefCell::new(Cached::new(parts.settings)),
        upstreams: Rc::new(Upstreams::new(buffers.clone(), watchdog.clone())),
        watchdog,
        buffers,
        date: RefCell::default(),
        wall: Cell::new(clock::Wall::read()),
        recorder: RefCell::new(Recorder::new(parts.ports.usage)),
        prepared: RefCell::default(),
        meters: RefCell::default(),
        slow: parts.slow,
        spare_watches: RefCell::default(),
        spare_tickets: RefCell::default(),
        request_ids: Cell::new((parts.seed, 0)),
        connections: Cell::new(0),
        held: Cell::new(0),
        draining: Cell::new(false),
    });
    worker.read_clock();
    let mut accepting = Vec::new();
    for listening in parts.listening {
        let listener = TcpListener::from_std(listening.socket)?;
        let tls = listening.tls.map(TlsAcceptor::from);
        accepting.push(tokio::task::spawn_local(accept(worker.clone(), listener, tls, workers)));
    }
    let ticking = tokio::task::spawn_local(tick(worker.clone()));

    // An error means that the gateway itself is gone: stop as well.
    let _ = drain.wait_for(|draining| *draining).await;
    accepting.iter().for_each(tokio::task::JoinHandle::abort);
    worker.draining.set(true);
    worker.watchdog.wake_all();
    let deadline = Instant::now() + worker.settings().deadlines.drain;
    while worker.connections.get() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ticking.abort();
    Ok(worker)
}

async fn tick(worker: Rc<Worker>) {
    let mut flushed = Instant::now();
    let mut ticks = tokio::time::interval(watchdog::TICK);
    loop {
        ticks.tick().await;
        worker.read_clock();
        worker.watchdog.tick();
        worker.upstreams.sweep(worker.settings().deadlines.upstream_idle);
        if flushed.elapsed() >= FLUSH {
            flushed = Instant::now();
            worker.recorder.borrow_mut().flush(clock::now());
        }
    }
}

async fn accept(
    worker: Rc<Worker>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    workers: usize,
) {
    loop {
        let (tcp, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: accepting on would spin until some are closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(watchdog::TICK).await;
                continue;
            }
        };
        let most = (worker.settings().limits.connections / workers).max(1);
        if worker.connections.get() >= most {
            tracing::debug!(most, "a connection above the limit was closed");
            continue;
        }
        let place = Place::take(&worker);
        tokio::task::spawn_local(serve(worker.clone(), tcp, peer, tls.clone(), place));
    }
}

async fn serve(
    worker: Rc<Worker>,
    tcp: tokio::net::TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    place: Place,
) {
    connection::serve(worker, tcp, peer, tls).await;
    drop(place);
}

/// One of the connections a worker may have.
pub(crate) struct Place(Rc<Worker>);

impl Place {
    /// Counts a connection, or a tunnel that outlives the connection it was made on.
    pub(crate) fn take(worker: &Rc<Worker>) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        Self(worker.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get().saturating_sub(1));
    }
}

impl Worker {
    /// A body that is kept whole, and empty yet.
    pub(crate) fn hold(self: &Rc<Self>) -> Held {
        Held { worker: self.clone(), bytes: self.buffers.write() }
    }
}

/// A request body that is kept whole. All of them together are bounded, or one key could fill the memory.
pub(crate) struct Held {
    worker: Rc<Worker>,
    bytes: Vec<u8>,
}

/// There is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Held {
    /// Keeps more of it, if there is room.
    pub(crate) fn add(&mut self, piece: &[u8]) -> Result<(), NoRoom> {
        let held = self.worker.held.get() + piece.len();
        if held > MOST_HELD {
            return Err(NoRoom);
        }
        self.worker.held.set(held);
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Keeps another in its place; what it is longer by finds room.
    pub(crate) fn replace(&mut self, with: &[u8]) {
        self.give_back();
        self.worker.held.set(self.worker.held.get() + with.len());
        self.bytes.extend_from_slice(with);
    }

    fn give_back(&mut self) {
        self.worker.held.set(self.worker.held.get().saturating_sub(self.bytes.len()));
        self.bytes.clear();
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back();
        self.worker.buffers.keep_write(std::mem::take(&mut self.bytes));
    }
}
