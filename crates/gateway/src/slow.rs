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
        let sets = suspect.candidates().to_vec();
        let answer = self.ask(suspect.digest(), sets, || suspect.key())?;
        // A check that ended by a panic says nothing.
        answer.await.map_err(|_| Full)
    }

    fn ask(
        &self,
        digest: Digest,
        sets: Sets,
        key: impl FnOnce() -> Zeroizing<Box<[u8]>>,
    ) -> Result<oneshot::Receiver<Checked>, Full> {
        let (answer, answered) = oneshot::channel();
        let mut state = lock(&self.state);
        if let Some(refused) = state.refused.get(&digest) {
            if are_same(refused, &sets) {
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
        let job = Job { digest, key: key(), sets };
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use keyward_core::id::SecretId;

    use super::*;

    /// Counts its checks, and makes each wait until it is let go.
    struct Gate {
        checks: AtomicUsize,
        open: Mutex<mpsc::Receiver<()>>,
    }

    impl SlowCheck for Gate {
        fn is(&self, candidate: &Candidate, presented: &[u8]) -> bool {
            self.checks.fetch_add(1, Ordering::SeqCst);
            let _ = self.open.lock().unwrap().recv();
            presented == &*candidate.sealed
        }
    }

    fn gate() -> (Arc<Gate>, mpsc::Sender<()>, Pool) {
        let (let_go, open) = mpsc::channel();
        let gate = Arc::new(Gate { checks: AtomicUsize::new(0), open: Mutex::new(open) });
        let check: Arc<dyn SlowCheck> = gate.clone();
        let pool = Pool::start(&check, 1).unwrap();
        (gate, let_go, pool)
    }

    fn digest(number: usize) -> Digest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Digest::from_bytes(bytes)
    }

    fn set(secrets: &[&str]) -> Arc<[Candidate]> {
        let candidate = |secret: &&str| Candidate {
            secret: SecretId::from_bits([1; 16]),
            organization: "org".parse().unwrap(),
            sealed: secret.as_bytes().into(),
            digest: digest(secret.len()),
        };
        secrets.iter().map(candidate).collect()
    }

    fn key(text: &str) -> impl FnOnce() -> Zeroizing<Box<[u8]>> {
        let key = Zeroizing::new(text.as_bytes().into());
        move || key
    }

    #[tokio::test]
    async fn the_right_candidate_is_found_and_told_to_all_who_asked() {
        let (gate, let_go, pool) = gate();
        let sets = vec![set(&["one", "two!"])];
        let asked: Vec<_> =
            (0..3).map(|_| pool.ask(digest(1), sets.clone(), key("two!")).unwrap()).collect();
        drop(let_go);
        for answer in asked {
            let checked = answer.await.unwrap();
            assert!(matches!(checked, Checked::Is(found) if *found.sealed == *b"two!"));
        }
        assert_eq!(gate.checks.load(Ordering::SeqCst), 2, "each candidate once");
    }

    #[tokio::test]
    async fn one_wrong_key_costs_one_check_until_its_candidates_change() {
        let (gate, let_go, pool) = gate();
        drop(let_go);
        let sets = vec![set(&["one"])];
        for _ in 0..100 {
            let answer = pool.ask(digest(1), sets.clone(), key("wrong")).unwrap();
            assert!(matches!(answer.await.unwrap(), Checked::None));
        }
        assert_eq!(gate.checks.load(Ordering::SeqCst), 1);
        let changed = vec![set(&["one", "wrong"])];
        let answer = pool.ask(digest(1), changed, key("wrong")).unwrap();
        assert!(matches!(answer.await.unwrap(), Checked::Is(_)), "the key came to be there");
    }

    #[tokio::test]
    async fn who_finds_too_much_waiting_is_told_so_and_not_that_the_key_is_wrong() {
        let (_gate, let_go, pool) = gate();
        let sets = vec![set(&["one"])];
        let mut asked = Vec::new();
        // One is being checked, and so many wait.
        let full = loop {
            match pool.ask(digest(asked.len()), sets.clone(), key("wrong")) {
                Ok(answer) => asked.push(answer),
                Err(full) => break full,
            }
        };
        assert_eq!(full, Full);
        assert!((MOST_WAITING..=MOST_WAITING + 1).contains(&asked.len()), "{}", asked.len());
        drop(let_go);
        for answer in asked {
            assert!(matches!(answer.await.unwrap(), Checked::None));
        }
    }
}
