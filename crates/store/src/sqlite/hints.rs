//! Wake-ups: somebody committed something.
//!
//! Within the process a counter is moved. Across processes (the CLI beside the server) every store that waits has a Unix
//! datagram socket in the data folder, and every committer sends one datagram to each: some tens of
//! microseconds, where polling would cost milliseconds or a core. A hint may come for nothing or get lost; the feed is the
//! truth. Sockets of the dead are removed by whoever is refused.
//!
//! Rejected: file notification (`inotify` tells of every byte of the log, also of usage), signals, abstract sockets (any user
//! of the machine could send), SQLite's own hooks (they see this process only).

use std::{
    fs::{self, DirBuilder, File},
    io::ErrorKind,
    os::{
        fd::AsRawFd,
        unix::{fs::DirBuilderExt, net::UnixDatagram},
    },
    path::{Path, PathBuf},
    sync::{OnceLock, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::watch;

use super::connection;

/// What a socket's address may have at most, in bytes (`sockaddr_un`, without the closing zero).
const LONGEST_ADDRESS: usize = 107;
/// How often the database is asked where no socket can be had.
const POLL: Duration = Duration::from_millis(50);
const SOCKET: &str = "sock";

/// Where hints are given and taken.
pub(super) struct Hints {
    folder: Option<Folder>,
    sender: Option<UnixDatagram>,
    database: PathBuf,
    pulse: watch::Sender<u64>,
    listener: OnceLock<Listener>,
}

/// The folder of the sockets, kept open: through it they can be reached however long its path is.
struct Folder {
    path: PathBuf,
    handle: File,
}

impl Folder {
    fn open(path: &Path) -> std::io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Absolute, so that it stays right where the process changes its working directory.
        let path = path.canonicalize()?;
        let handle = File::open(&path)?;
        if !handle.metadata()?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Self { path, handle })
    }

    /// An address that fits.
    fn address(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        if path.as_os_str().len() <= LONGEST_ADDRESS {
            return path;
        }
        PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd())).join(name)
    }
}

fn pulse(counter: &watch::Sender<u64>) {
    counter.send_modify(|count| *count = count.wrapping_add(1));
}

impl Hints {
    /// Hints of the store whose database this is, by sockets in `folder`.
    pub(super) fn open(database: &Path, folder: &Path) -> Self {
        let folder = Folder::open(folder)
            .inspect_err(|error| {
                tracing::warn!(folder = %folder.display(), %error,
                    "there can be no sockets for hints: other processes learn of changes some 50 ms later");
            })
            .ok();
        let sender = UnixDatagram::unbound()
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .ok();
        Self {
            folder,
            sender,
            database: database.to_owned(),
            pulse: watch::Sender::new(0),
            listener: OnceLock::new(),
        }
    }

    /// Tells everyone that something was committed. Never waits, never fails.
    pub(super) fn tell(&self) {
        pulse(&self.pulse);
        let (Some(folder), Some(sender)) = (&self.folder, &self.sender) else { return };
        let own = self.listener.get().and_then(|listener| listener.name.as_deref());
        let Ok(entries) = fs::read_dir(&folder.path) else { return };
        for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            let is_socket = Path::new(&name).extension().is_some_and(|it| it == SOCKET);
            if !is_socket || Some(name.as_str()) == own {
                continue;
            }
            // A full buffer is as good as a delivery: its owner has hints waiting.
            let Err(error) = sender.send_to(&[1], folder.address(&name)) else { continue };
            if error.kind() == ErrorKind::ConnectionRefused {
                let _ = fs::remove_file(folder.path.join(&name));
            }
        }
    }

    /// Hints from now on. The first call makes the socket.
    pub(super) fn listen(&self) -> watch::Receiver<u64> {
        let taken = self.pulse.subscribe();
        self.listener.get_or_init(|| self.start_listening());
        taken
    }

    fn start_listening(&self) -> Listener {
        let by_socket = self
            .folder
            .as_ref()
            .ok_or_else(|| std::io::Error::from(ErrorKind::NotFound))
            .and_then(|folder| Listener::by_socket(folder, self.pulse.clone()));
        by_socket.unwrap_or_else(|error| {
            tracing::warn!(%error,
                "no socket for hints: asking the database for other processes' changes every 50 ms");
            Listener::by_polling(&self.database, self.pulse.clone())
        })
    }
}

enum Stop {
    Socket { socket: UnixDatagram, file: PathBuf },
    Channel(Option<mpsc::Sender<()>>),
}

/// The thread that takes hints from other processes.
struct Listener {
    name: Option<String>,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    fn by_socket(folder: &Folder, counter: watch::Sender<u64>) -> std::io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let name = format!("{}-{:016x}.{SOCKET}", std::process::id(), u64::from_le_bytes(random));
        // Bound under a name that nobody looks at and renamed: between the making of the file and the binding of the socket,
        // a committer would be refused and would take it for a dead one's.
        let unfinished = format!(".{name}.new");
        let socket = UnixDatagram::bind(folder.address(&unfinished))?;
        let file = folder.path.join(&name);
        fs::rename(folder.path.join(&unfinished), &file)?;
        let taking = socket.try_clone()?;
        let thread = std::thread::Builder::new().name("store-hints".to_owned()).spawn(move || {
            let mut byte = [0; 1];
            loop {
                match taking.recv(&mut byte) {
                    Ok(0) => return,
                    Ok(_) => pulse(&counter),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => {
                        tracing::warn!(%error, "hints from other processes end: their changes come by polling");
                        return;
                    }
                }
            }
        })?;
        Ok(Self { name: Some(name), stop: Stop::Socket { socket, file }, thread: Some(thread) })
    }

    fn by_polling(database: &Path, counter: watch::Sender<u64>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let version = |connection: &Connection| {
            connection.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0)).ok()
        };
        // Looked at before anyone waits, so that a change after this moment is one that is noticed.
        let begun = connection::reading(database).map(|it| (version(&it), it));
        let thread = std::thread::Builder::new().name("store-hints".to_owned()).spawn(move || {
            let Ok((mut last, connection)) = begun else { return };
            while stopped.recv_timeout(POLL) == Err(mpsc::RecvTimeoutError::Timeout) {
                let now = version(&connection);
                if now != last {
                    pulse(&counter);
                }
                last = now;
            }
        });
        Self { name: None, stop: Stop::Channel(Some(stop)), thread: thread.ok() }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        match &mut self.stop {
            Stop::Socket { socket, file } => {
                let _ = fs::remove_file(file);
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
            Stop::Channel(sender) => *sender = None,
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
