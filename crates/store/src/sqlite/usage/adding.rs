//! Adds usage that waits, piece by piece, beside whoever else needs the database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{
    super::{
        readers::Readers,
        writer::{Tell, Writer},
    },
    waiting::{self, Added, Waiting},
};
use crate::error::StoreError;

/// Whoever waits for it has it rest so many times shorter than a piece takes.
const HURRY: u32 = 8;
/// However long a piece was held up.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How usage that waits is added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::sqlite) enum Pace {
    /// Somebody waits for it.
    AtOnce,
    /// Beside requests, which need the core as well: it rests after each piece for as long as that took.
    Leisurely,
}

/// Whoever adds usage that waits.
#[derive(Default)]
pub(in crate::sqlite) struct Adding {
    /// One at a time in this process: the next finds it done.
    turn: Mutex<()>,
    /// How many want it at once.
    hurried: AtomicU32,
}

/// Somebody waits for it.
struct Hurry<'a>(&'a AtomicU32);

impl<'a> Hurry<'a> {
    fn begin(hurried: &'a AtomicU32) -> Self {
        hurried.fetch_add(1, Ordering::Relaxed);
        Self(hurried)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Adding {
    /// Adds all that waits now.
    pub(in crate::sqlite) async fn all(
        &self,
        readers: &Readers,
        writer: &Writer,
        pace: Pace,
    ) -> Result<(), StoreError> {
        let _hurry = (pace == Pace::AtOnce).then(|| Hurry::begin(&self.hurried));
        let _turn = self.turn.lock().await;
        let mut newest = None;
        while let Some(waiting) = readers.ask(waiting::gather).await? {
            let newest = *newest.get_or_insert(waiting.newest());
            let is_last = waiting.reaches(newest);
            let done = self.add_gathered(Arc::new(waiting), writer).await?;
            if is_last && done == Added::All {
                break;
            }
        }
        Ok(())
    }

    /// Adds it piece by piece, until all is added or somebody else did.
    async fn add_gathered(
        &self,
        waiting: Arc<Waiting>,
        writer: &Writer,
    ) -> Result<Added, StoreError> {
        let mut done = Added::UpTo(waiting.added());
        while let Added::UpTo(added) = done {
            let (waiting, began) = (waiting.clone(), Instant::now());
            let work = move |connection: &_| waiting.add_piece(connection, added);
            done = writer.run(Tell::Nobody, work).await?;
            let is_hurried = self.hurried.load(Ordering::Relaxed) > 0;
            // Never without a gap: another process's write looks for one now and then, and gives up in the end.
            let rest = began.elapsed() / if is_hurried { HURRY } else { 1 };
            sleep(rest.min(LONGEST_REST)).await;
        }
        Ok(done)
    }
}
