//! The gateway as a whole: bind, start a worker a core, reload, drain.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use keyward_core::{
    limit::counters::Counters, slow::SlowCheck, snapshot::Snapshot, usage::UsageSink,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use crate::{
    GatewayConfig, ListenerConfig, Settings,
    settings::{Compiled, SettingsError},
    slow::Pool,
    tls::{self, Certificate},
    worker::{self, Listening, WorkerParts},
};

/// Connections the kernel keeps ready to be accepted, per socket.
const BACKLOG: i32 = 4096;
const CERTIFICATE_CHECK: Duration = Duration::from_secs(1);

/// Why the gateway does not start, or does not take new settings.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {cause}; free the address or choose another")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Settings that cannot be.
    #[error("{0}")]
    Settings(String),
    /// No thread could be started.
    #[error("no worker thread can be started: {0}")]
    Thread(std::io::Error),
}

impl From<SettingsError> for StartError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error.to_string())
    }
}

impl From<tls::TlsError> for StartError {
    fn from(error: tls::TlsError) -> Self {
        Self::Settings(error.to_string())
    }
}

/// What the gateway decides from, and whom it tells.
#[derive(Clone)]
pub struct Ports {
    /// What requests are decided from.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What limits count.
    pub counters: Arc<Counters>,
    /// What windows that slide are counted from.
    pub began: Instant,
    /// Who hears of requests.
    pub usage: Arc<dyn UsageSink>,
    /// Checks imported secrets, on threads of its own.
    pub slow: Arc<dyn SlowCheck>,
}

/// Sockets that listen already: whoever started this process holds them, and hands them to the next one too. So an address is never
/// without a listener, and who connects between two processes waits and is not refused.
#[derive(Debug, Default)]
pub struct Handed(Vec<TcpListener>);

impl Handed {
    /// These.
    pub const fn new(sockets: Vec<TcpListener>) -> Self {
        Self(sockets)
    }

    /// Those that listen at an address.
    pub fn take(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        let is_at = |socket: &mut TcpListener| socket.local_addr().is_ok_and(|at| at == address);
        self.0.extract_if(.., is_at).collect()
    }

    /// An address that one listens at and that is none of these.
    pub fn elsewhere(&self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        let mut all = self.0.iter().filter_map(|socket| socket.local_addr().ok());
        all.find(|address| !addresses.contains(address))
    }
}

/// A running gateway. Dropping it without [`Gateway::drain`] stops it too, without waiting.
pub struct Gateway {
    addresses: Vec<SocketAddr>,
    settings: Arc<ArcSwap<Compiled>>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    certificates: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Binds every listener that was not handed over and starts the worker threads. Requests are taken when this returns.
    #[expect(clippy::needless_pass_by_value, reason = "the gateway holds them for its life")]
    pub fn start(
        config: GatewayConfig,
        ports: Ports,
        handed: &mut Handed,
    ) -> Result<Self, StartError> {
        let settings = Arc::new(ArcSwap::from_pointee(Compiled::new(config.settings)?));
        let count = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let mut addresses = Vec::with_capacity(config.listeners.len());
        let mut certificates = Vec::new();
        let mut listening: Vec<Vec<Listening>> = (0..count).map(|_| Vec::new()).collect();
        for listener in config.listeners {
            let tls = match &listener.tls {
                Some(files) => {
                    let certificate = Certificate::load(files.clone())?;
                    certificates.push(certificate.clone());
                    Some(tls::server(certificate)?)
                }
                None => None,
            };
            let sockets = match handed.take(listener.address) {
                none if none.is_empty() => bind(&listener, count)?,
                handed => share(&listener, &handed, count)?,
            };
            let bound = sockets.first().and_then(|socket| socket.local_addr().ok());
            addresses.push(bound.unwrap_or(listener.address));
            for (at, socket) in sockets.into_iter().enumerate() {
                if let Some(worker) = listening.get_mut(at % count) {
                    worker.push(Listening { socket, tls: tls.clone() });
                }
            }
        }

        let (stop, drain) = watch::channel(false);
        let slow = Arc::new(Pool::start(&ports.slow, count).map_err(StartError::Thread)?);
        let mut workers = Vec::with_capacity(count);
        for (at, listening) in listening.into_iter().enumerate() {
            let parts = WorkerParts {
                ports: ports.clone(),
                settings: settings.clone(),
                slow: slow.clone(),
                listening,
                drain: drain.clone(),
                workers: count,
                seed: random_seed(),
            };
            workers.push(spawn(&format!("gateway-{at}"), move || {
                if let Err(error) = worker::run(parts) {
                    tracing::error!(%error, "a worker stopped: its core serves no more requests");
                }
            })?);
        }
        let watching = drain;
        let certificates = match certificates.is_empty() {
            true => None,
            false => {
                Some(spawn("certificates", move || watch_certificates(&certificates, watching))?)
            }
        };
        Ok(Self { addresses, settings, stop, workers, certificates })
    }

    /// Where it listens, in the order of its configuration, with the ports it was given.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes new settings for the requests and connections that begin from now on; bad ones change nothing.
    pub fn reload(&self, settings: Settings) -> Result<(), StartError> {
        self.settings.store(Arc::new(Compiled::new(settings)?));
        Ok(())
    }

    /// Stops listening, lets requests in flight end within the drain deadline, and returns.
    pub fn drain(self) {
        let _ = self.stop.send(true);
        for worker in self.workers.into_iter().chain(self.certificates) {
            if worker.join().is_err() {
                tracing::error!(
                    "a worker ended by a panic; its counts of the last second are lost"
                );
            }
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(StartError::Thread)
}

/// One socket a worker on the same address: the kernel spreads connections over them.
fn bind(listener: &ListenerConfig, count: usize) -> Result<Vec<TcpListener>, StartError> {
    let fail = |cause| StartError::Listen { address: listener.address, cause };
    let mut address = listener.address;
    // A port that another process listens on with the same option would be shared with it silently: ask without it first.
    drop(socket(address, false).map_err(fail)?);
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = socket(address, count > 1).map_err(fail)?;
        address = socket.local_addr().map_err(fail)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Sockets that were handed over, one a worker: where there are fewer, several accept from the same.
fn share(
    listener: &ListenerConfig,
    handed: &[TcpListener],
    count: usize,
) -> Result<Vec<TcpListener>, StartError> {
    let fail = |cause| StartError::Listen { address: listener.address, cause };
    let ready = |socket: &TcpListener| {
        socket.set_nonblocking(true)?;
        socket.try_clone()
    };
    // One that nobody accepts from would leave its connections waiting.
    let most = count.max(handed.len());
    let all = handed.iter().cycle().take(most).map(ready);
    all.collect::<Result<_, _>>().map_err(fail)
}

fn socket(address: SocketAddr, reuse_port: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn watch_certificates(certificates: &[Arc<Certificate>], mut stop: watch::Receiver<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else {
        tracing::error!("certificates are not watched: a change needs a restart");
        return;
    };
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(CERTIFICATE_CHECK) => {}
            }
            certificates.iter().for_each(|certificate| certificate.refresh());
        }
    });
}

/// From the standard library's own random keys: good enough to tell processes apart, and no secret.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
