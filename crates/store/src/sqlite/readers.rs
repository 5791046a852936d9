//! A few threads that read, each on its own connection.
//!
//! A write-ahead log lets them read while the writer writes. Threads of our own rather than the runtime's blocking pool: the
//! data plane has a runtime per core, and answers must not depend on which of them asks.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    connection,
    faults::fault,
    writer::{closed, no_thread},
};
use crate::{error::StoreError, query::Loaded};

/// Threads for what is asked often, and what others wait for: changes, keys, sessions.
const THREADS: usize = 3;
/// Threads for what adds up many rows: whoever asks for that may wait for others who do, and for nobody else.
const ADDING_THREADS: usize = 2;
const MOST_WAITING: usize = 1024;
/// How many items of a full load are handed over at once, and how many such handfuls may wait.
const HANDFUL: usize = 1024;
const HANDFULS: usize = 4;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// The way to the reading threads.
pub(super) struct Readers {
    questions: Option<mpsc::Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
    database: PathBuf,
}

impl Readers {
    /// Opens the connections and starts the threads.
    pub(super) fn start(database: &Path) -> Result<Self, StoreError> {
        Self::with(database, THREADS, "store-reader")
    }

    /// The same for what adds up many rows, so that it holds up nothing else.
    pub(super) fn start_adding(database: &Path) -> Result<Self, StoreError> {
        Self::with(database, ADDING_THREADS, "store-adder")
    }

    fn with(database: &Path, count: usize, name: &str) -> Result<Self, StoreError> {
        let (questions, waiting) = mpsc::channel::<Question>(MOST_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let connection = connection::reading(database)?;
            let waiting = Arc::clone(&waiting);
            let thread = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || answer(&connection, &waiting))
                .map_err(|error| no_thread(&error))?;
            threads.push(thread);
        }
        Ok(Self { questions: Some(questions), threads, database: database.to_owned() })
    }

    /// Asks in one read transaction.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |connection| {
            let _ = answer.send(in_one_moment(connection, question));
        });
        let questions = self.questions.as_ref().ok_or_else(closed)?;
        questions.send(question).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Asks in one read transaction on a connection and a thread of its own: a walk over everything must not keep others
    /// waiting.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.database.clone();
        let (answer, answered) = oneshot::channel();
        std::thread::Builder::new()
            .name("store-walker".to_owned())
            .spawn(move || {
                let answered = connection::reading(&database)
                    .and_then(|connection| in_one_moment(&connection, question));
                let _ = answer.send(answered);
            })
            .map_err(|error| no_thread(&error))?;
        answered.await.map_err(|_| closed())?
    }

    /// Walks over everything and hands it over as it goes. Only a few handfuls of it are in memory here at any time.
    pub(super) async fn walk<T: Send + 'static>(
        &self,
        sink: &mut (dyn FnMut(Loaded) + Send),
        walk: impl FnOnce(&Connection, &mut Handing) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (handfuls, mut arriving) = mpsc::channel(HANDFULS);
        let walked = self.apart(move |connection| {
            let mut handing = Handing { next: Vec::with_capacity(HANDFUL), handfuls };
            let end = walk(connection, &mut handing)?;
            handing.flush()?;
            Ok(end)
        });
        let taken = async {
            while let Some(handful) = arriving.recv().await {
                handful.into_iter().for_each(&mut *sink);
            }
        };
        tokio::join!(walked, taken).0
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Where a walk puts what it finds.
pub(super) struct Handing {
    next: Vec<Loaded>,
    handfuls: mpsc::Sender<Vec<Loaded>>,
}

impl Handing {
    /// Hands one item over. An error says that nobody takes it any more.
    pub(super) fn give(&mut self, item: Loaded) -> Result<(), StoreError> {
        self.next.push(item);
        if self.next.len() < HANDFUL {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let handful = std::mem::replace(&mut self.next, Vec::with_capacity(HANDFUL));
        self.handfuls.blocking_send(handful).map_err(|_| closed())
    }
}

fn answer(connection: &Connection, waiting: &Mutex<mpsc::Receiver<Question>>) {
    loop {
        // Whoever holds the lock waits for the next question; the others wait for the lock.
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(question) = next else { return };
        question(connection);
    }
}

fn in_one_moment<T>(
    connection: &Connection,
    question: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Rolled back when dropped: nothing was written.
    let moment = connection.unchecked_transaction().map_err(fault)?;
    question(&moment)
}
