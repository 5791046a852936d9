//! Checks of imported secrets that take a tenth of a second and more: on threads of their own, few at once.
//!
//! A request waits for its check without keeping its core from others. What waits is bounded: when too much does, the answer is that
//! we cannot know (503), never that the key is wrong. The same secret, presented a thousand times at once, is checked once; one that was
//! found to be none of its candidates is remembered for as long as these are the same sets, so that a flood of one wrong key costs one check.
//! What was found to be right is remembered in the directory, and kept in the store as ours soon after.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::JoinHandle,
};

use keyward_core::{decide::Suspect, directory::Candidate, key::Digest, slow::SlowCheck};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Secrets that may wait to be checked.
const MOST_WAITING: usize = 64;
/// Requests that may wait for one check.
const MOST_ASKING: usize = 256;
/// Wrong secrets that are remembered.
const MOST_REMEMBERED: usize = 4096;
/// Checks at once: the cores have requests to serve.
const MOST_THREADS: usize = 4;

type Sets = Vec<Arc<[Candidate]>>;

/// What came of a check.
#[derive(Clone, Debug)]
pub(crate) enum Checked {
    /// It is this one.
    Is(Candidate),
    /// It is none of them.
    None,
}

/// Too much waits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

struct Job {
    digest: Digest,
    key: Zeroizing<Box<[u8]>>,
    sets: Sets,
}

#[derive(Default)]
struct State {
    asking: HashMap<Digest, Vec<oneshot::Sender<Checked>>>,
    refused: HashMap<Digest, Sets>,
}

/// The threads, and the way to them.
pub(crate) struct Pool {
    jobs: Option<SyncSender<Job>>,
    state: Arc<Mutex<State>>,
    threads: Vec<JoinHandle<()>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn are_same(one: &[Arc<[Candidate]>], other: &[Arc<[Candidate]>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}

impl Pool {
    /// Starts a quarter as many threads as there are cores.
    pub(crate) fn start(check: &Arc<dyn SlowCheck>, cores: usize) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::sync_channel::<Job>(MOST_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let state = Arc::<Mutex<State>>::default();
        let mut threads = Vec::new();
        for number in 0..(cores / 4).clamp(1, MOST_THREADS) {
            let (check, waiting, state) = (check.clone(), waiting.clone(), state.clone());
            let run = move || {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = next else { return };
                    work(&*check, &state, job);
                }
            };
            let name = format!("slow-check-{number}");
            threads.push(std::thread::Builder::new().name(name).spawn(run)?);
        }
        Ok(Self { jobs: Some(jobs), state, threads })
    }

    /// Finds out which of its candidates the suspect is.
    pub(crate) async fn check(&self, suspect: &Suspect) -> Result<Checked, Full> {
        let answer = self.ask(suspect)?;
        // A check that ended by a panic says nothing.
        answer.await.map_err(|_| Full)
    }

    fn ask(&self, suspect: &Suspect) -> Result<oneshot::Receiver<Checked>, Full> {
        let (answer, answered) = oneshot::channel();
        let digest = suspect.digest();
        let mut state = lock(&self.state);
        if let Some(sets) = state.refused.get(&digest) {
            if are_same(sets, suspect.candidates()) {
                let _ = answer.send(Checked::None);
                return Ok(answered);
            }
            state.refused.remove(&digest);
        }
        if let Some(asking) = state.asking.get_mut(&digest) {
            // Those who went are not waited for.
            asking.retain(|one| !one.is_closed());
            if asking.len() >= MOST_ASKING {
                return Err(Full);
            }
            asking.push(answer);
            return Ok(answered);
        }
        let jobs = self.jobs.as_ref().ok_or(Full)?;
        let job = Job { digest, key: suspect.key(), sets: suspect.candidates().to_vec() };
        match jobs.try_send(job) {
            Ok(()) => {
                state.asking.insert(digest, vec![answer]);
                Ok(answered)
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Full),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Whether everybody who asked has left; then the check is over.
fn is_given_up(state: &mut State, digest: &Digest) -> bool {
    let asking = state.asking.get(digest);
    let left = asking.is_none_or(|all| all.iter().all(oneshot::Sender::is_closed));
    if left {
        state.asking.remove(digest);
    }
    left
}

/// Whoever asked is answered, also where the check panics: by the end of their channel.
fn work(check: &dyn SlowCheck, state: &Mutex<State>, job: Job) {
    let Job { digest, key, sets } = job;
    let candidates = sets.iter().flat_map(|set| set.iter());
    let mut found = None;
    for candidate in candidates {
        if is_given_up(&mut lock(state), &digest) {
            return;
        }
        if check.is(candidate, &key) {
            found = Some(candidate.clone());
            break;
        }
    }
    let mut state = lock(state);
    let checked = match found {
        Some(candidate) => Checked::Is(candidate),
        None => {
            if state.refused.len() >= MOST_REMEMBERED {
                state.refused.clear();
            }
            state.refused.insert(digest, sets);
            Checked::None
        }
    };
    for answer in state.asking.remove(&digest).unwrap_or_default() {
        let _ = answer.send(checked.clone());
    }
}
