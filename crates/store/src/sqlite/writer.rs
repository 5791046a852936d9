//! The one thread that writes, in groups.
//!
//! A durable commit costs one wait for the disk, whatever it holds. So the thread takes all that waits for it (256 at most),
//! runs each piece in a savepoint of its own, makes the group durable once, and acknowledges each. A piece that is
//! refused leaves nothing and hurts no other. When the group itself cannot be made durable, every piece of it is
//! refused, and the next group starts afresh.
//!
//! Rejected: a pool of writing connections. SQLite lets one write at a time; the others would wait on its lock by sleeping.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{faults::fault, hints::Hints};
use crate::error::StoreError;

const MOST_IN_A_GROUP: usize = 256;
/// More callers than this wait before they are let in: what waits costs memory.
const MOST_WAITING: usize = 4096;
/// How far the write-ahead log grows, in pages, before its content is moved into the database.
const CHECKPOINT_PAGES: u32 = 1000;

/// Whether others are to be told once it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tell {
    /// It made a revision.
    Others,
    /// It made none.
    Nobody,
}

/// A piece of work on its way through the writer.
trait Piece: Send {
    /// Does it. Its result is kept for [`Piece::settle`]; a refusal says that its savepoint must be undone.
    fn run(&mut self, connection: &Connection) -> Result<(), Refused>;
    fn tell(&self) -> Tell;
    /// Answers the caller: its own result, or the group's failure.
    fn settle(self: Box<Self>, group: Result<(), StoreError>);
}

/// The piece was refused; why is known to the piece.
struct Refused;

struct Work<T, F> {
    work: Option<F>,
    tell: Tell,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Piece for Work<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), Refused> {
        let result = self.work.take().map(|work| work(connection));
        let refused = !matches!(result, Some(Ok(_)));
        self.result = result;
        if refused { Err(Refused) } else { Ok(()) }
    }

    fn tell(&self) -> Tell {
        self.tell
    }

    fn settle(self: Box<Self>, group: Result<(), StoreError>) {
        let Self { result, answer, .. } = *self;
        // A caller that went away is no fault: its change stands.
        let _ = answer.send(group.and_then(|()| result.unwrap_or_else(|| Err(closed()))));
    }
}

/// The error once the threads are gone.
pub(super) fn closed() -> StoreError {
    StoreError::unavailable(
        "the store is closed",
        "this happens while Keyward stops; otherwise restart it and report a defect",
    )
}

/// The way to the writing thread.
pub(super) struct Writer {
    pieces: Option<mpsc::Sender<Box<dyn Piece>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread on a connection that is its own from now on.
    pub(super) fn start(mut connection: Connection, hints: Arc<Hints>) -> Result<Self, StoreError> {
        let log_pages = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&log_pages);
        connection
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
                seen.store(u32::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
                Ok(())
            }))
            .map_err(fault)?;
        let (pieces, waiting) = mpsc::channel(MOST_WAITING);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write(&connection, waiting, &hints, &log_pages))
            .map_err(|error| no_thread(&error))?;
        Ok(Self { pieces: Some(pieces), thread: Some(thread) })
    }

    /// Runs `work` in a transaction and returns once it is durable.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        tell: Tell,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let piece = Work { work: Some(work), tell, result: None, answer };
        let pieces = self.pieces.as_ref().ok_or_else(closed)?;
        pieces.send(Box::new(piece)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

impl Drop for Writer {
    /// Lets the thread finish what it was given and close the database in order.
    fn drop(&mut self) {
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The error for a thread that cannot be started.
pub(super) fn no_thread(error: &std::io::Error) -> StoreError {
    StoreError::unavailable(
        format!("the operating system gave no thread ({error})"),
        "raise the limit on processes (`ulimit -u`) or free memory",
    )
}

fn write(
    connection: &Connection,
    mut waiting: mpsc::Receiver<Box<dyn Piece>>,
    hints: &Hints,
    log_pages: &AtomicU32,
) {
    let mut group = Vec::with_capacity(MOST_IN_A_GROUP);
    let mut checkpoint_at = CHECKPOINT_PAGES;
    while waiting.blocking_recv_many(&mut group, MOST_IN_A_GROUP) > 0 {
        let done = commit_group(connection, &mut group);
        // Told before it is acknowledged: whoever follows the feed is on the way while the answer is.
        if done.is_ok() && group.iter().any(|piece| piece.tell() == Tell::Others) {
            hints.tell();
        }
        for piece in group.drain(..) {
            piece.settle(done.clone());
        }
        let pages = log_pages.load(Ordering::Relaxed);
        if pages < CHECKPOINT_PAGES {
            checkpoint_at = CHECKPOINT_PAGES;
        } else if pages >= checkpoint_at {
            // After the answers, so that no change waits for it. A reader of an old state may keep the log from starting
            // over: try again only after as many pages more.
            checkpoint_at = pages.saturating_add(CHECKPOINT_PAGES);
            checkpoint(connection);
        }
    }
}

fn checkpoint(connection: &Connection) {
    let done = connection.wal_checkpoint_v2(None::<&str>, rusqlite::wal::CheckpointMode::PASSIVE);
    if let Err(error) = done {
        // Nothing is lost: the log holds all, it only goes on growing.
        tracing::warn!(%error, "could not move the write-ahead log into the database; trying again later");
    }
}

/// Runs the group and makes it durable. On an error nothing of the group stands.
fn commit_group(connection: &Connection, group: &mut [Box<dyn Piece>]) -> Result<(), StoreError> {
    let done = execute(connection, "BEGIN IMMEDIATE")
        .and_then(|()| {
            group.iter_mut().try_for_each(|piece| in_savepoint(connection, &mut **piece))
        })
        .and_then(|()| execute(connection, "COMMIT"));
    if done.is_err() && !connection.is_autocommit() {
        // If even this fails the connection is still in the transaction, and the next BEGIN fails and comes here again.
        let _ = execute(connection, "ROLLBACK");
    }
    done
}

/// Runs one piece. An error means that the whole group is lost, not that the piece was refused.
fn in_savepoint(connection: &Connection, piece: &mut dyn Piece) -> Result<(), StoreError> {
    execute(connection, "SAVEPOINT piece")?;
    if piece.run(connection).is_err() {
        if connection.is_autocommit() {
            // A full disk or a failed write can make SQLite roll the transaction back on its own.
            return Err(StoreError::unavailable(
                "nothing was stored: the disk that holds the data folder is full or failed",
                "free some space or look at the disk; changes work again at once",
            ));
        }
        execute(connection, "ROLLBACK TO piece")?;
    }
    execute(connection, "RELEASE piece")
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(|_| ())
        .map_err(fault)
}
