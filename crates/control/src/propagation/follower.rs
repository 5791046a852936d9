//! The loop that follows the store.

use std::{collections::VecDeque, future, sync::Arc};

use arc_swap::ArcSwap;
use keyward_core::{
    directory::Directory,
    policy::Policy,
    snapshot::{Freshness, Snapshot},
};
use keyward_store::{Feed, Revision, Store, StoreError};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Answer, Command, PropagationError, Source, Timing, apply,
    compare::{self, Differences},
    confirm,
    load::{self, State},
    report::Reporter,
};
use crate::{
    plan::{self, Credentials, Plan},
    thread::Stopping,
};

/// Entries of the feed that are read at once.
const HANDFUL: u32 = 1_000;

/// What runs beside the loop, on a thread of its own, because it takes seconds where there are millions of keys.
enum Background {
    Nothing,
    /// A new state is being loaded, for a configuration that somebody waits for or because of a gap.
    Loading {
        plan: Box<Plan>,
        answer: Option<Answer>,
        task: JoinHandle<Result<State, PropagationError>>,
    },
    Comparing(JoinHandle<Result<Differences, StoreError>>),
}

enum Finished {
    Loaded(Box<Plan>, Option<Answer>, Result<State, PropagationError>),
    Compared(Result<Differences, StoreError>),
}

enum Event {
    Look,
    Compare,
    Command(Command),
    Finished(Finished),
    Stop,
}

/// How far the feed led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Current,
    Gap,
}

pub(super) struct Follower {
    source: Source,
    plan: Plan,
    timing: Timing,
    policy: Arc<Policy>,
    directory: Arc<Directory>,
    credentials: Credentials,
    known: Revision,
    freshness: Arc<Freshness>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    background: Background,
    /// Configurations that came while another state was being loaded.
    waiting: VecDeque<(Box<Plan>, Answer)>,
    reporter: Reporter,
    /// Whether the last look failed: then it is tried again after a while, and not told of again.
    is_away: bool,
}

impl Follower {
    /// Loads everything.
    pub(super) async fn start(
        source: Source,
        plan: Plan,
        timing: Timing,
    ) -> Result<Self, PropagationError> {
        let at = (source.clock)();
        let State { policy, directory, credentials, revision } =
            load::load(&source, &plan, 0).await?;
        let freshness = Arc::new(Freshness::default());
        confirm(&freshness, revision, at);
        tracing::info!(
            revision = revision.get(),
            secrets = directory.secrets(),
            "all keys are loaded"
        );
        let reporter =
            Reporter::start(&source).map_err(|error| PropagationError::NoId(error.to_string()))?;
        reporter.applied(revision, (source.clock)());
        let snapshot = Snapshot::new(
            policy.clone(),
            directory.clone(),
            source.peppers.clone(),
            freshness.clone(),
        );
        Ok(Self {
            source,
            plan,
            timing,
            policy,
            directory,
            credentials,
            known: revision,
            freshness,
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            background: Background::Nothing,
            waiting: VecDeque::new(),
            reporter,
            is_away: false,
        })
    }

    pub(super) fn published(&self) -> Arc<ArcSwap<Snapshot>> {
        self.snapshot.clone()
    }

    /// Follows the store until it is asked to stop.
    pub(super) async fn run(
        &mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut stopping: Stopping,
    ) {
        let mut next_comparison = Instant::now() + self.timing.compare;
        loop {
            match self.next_event(&mut commands, &mut stopping, next_comparison).await {
                Event::Stop => return,
                Event::Look => self.look_and_tell().await,
                Event::Compare => {
                    next_comparison = Instant::now() + self.timing.compare;
                    self.trim().await;
                    self.begin_comparison();
                }
                Event::Command(Command::Republish(plan, answer)) => {
                    self.waiting.push_back((plan, answer));
                    self.republish_next();
                }
                Event::Finished(Finished::Loaded(plan, answer, loaded)) => {
                    self.take_over(plan, answer, loaded).await;
                    self.republish_next();
                }
                Event::Finished(Finished::Compared(found)) => self.mend(found).await,
            }
        }
    }

    /// Nothing is followed any more.
    pub(super) async fn finish(self) {
        self.reporter.finish().await;
    }

    async fn next_event(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        stopping: &mut Stopping,
        next_comparison: Instant,
    ) -> Event {
        let pause = if self.is_away { self.timing.retry } else { self.timing.poll };
        let is_idle = matches!(self.background, Background::Nothing);
        tokio::select! {
            () = stopping.asked() => Event::Stop,
            command = commands.recv() => command.map_or(Event::Stop, Event::Command),
            () = self.source.store.wait_for_change(self.known), if !self.is_away => Event::Look,
            () = sleep(pause) => Event::Look,
            finished = finished(&mut self.background) => Event::Finished(finished),
            () = sleep_until(next_comparison), if is_idle => Event::Compare,
        }
    }

    async fn look_and_tell(&mut self) {
        match self.look().await {
            Ok(Look::Current) => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!(revision = self.known.get(), "the store is followed again");
                }
            }
            Ok(Look::Gap) => {
                // Until the new state is there, looking again would find the same gap.
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(
                        revision = self.known.get(),
                        "the change feed has a gap: everything is loaded anew, and until then requests are decided from the state of this revision"
                    );
                }
                if !self.is_loading() {
                    self.begin_load(Box::new(self.plan.clone()), None);
                }
            }
            Err(error) => self.away(&error),
        }
    }

    /// Told once an outage, not once a try.
    fn away(&mut self, error: &dyn std::error::Error) {
        if !std::mem::replace(&mut self.is_away, true) {
            tracing::warn!(
                revision = self.known.get(),
                error = %error,
                "the store cannot be followed: requests are decided from the state of this revision"
            );
        }
    }

    /// Applies whatever is new.
    async fn look(&mut self) -> Result<Look, StoreError> {
        loop {
            // Before asking: what the store says is true at least of this moment.
            let at = (self.source.clock)();
            let store = &*self.source.store;
            let entries = match store.changes_since(self.known, HANDFUL).await? {
                Feed::Entries(entries) => entries,
                Feed::Gap => return Ok(Look::Gap),
            };
            let applied = apply::apply(store, &self.directory, &self.policy, &entries).await?;
            if applied.credentials {
                self.read_credentials().await?;
            }
            if let Some(last) = entries.last() {
                self.known = last.revision;
                self.reporter.applied(self.known, (self.source.clock)());
                tracing::debug!(revision = self.known.get(), "changes are applied");
            }
            if entries.len() < HANDFUL as usize {
                confirm(&self.freshness, self.known, at);
                return Ok(Look::Current);
            }
        }
    }

    async fn read_credentials(&mut self) -> Result<(), StoreError> {
        let Source { store, sealer, .. } = &self.source;
        self.credentials =
            load::credentials(&**store, sealer, &self.plan, &self.credentials).await?;
        match self.plan.policy(&self.credentials) {
            Ok(policy) => self.publish(Arc::new(policy)),
            // The same APIs were served together a moment ago.
            Err(error) => tracing::error!(%error, "the policy cannot be compiled again"),
        }
        Ok(())
    }

    fn publish(&mut self, policy: Arc<Policy>) {
        self.policy = policy;
        self.snapshot.store(Arc::new(Snapshot::new(
            self.policy.clone(),
            self.directory.clone(),
            self.source.peppers.clone(),
            self.freshness.clone(),
        )));
    }

    /// One load at a time: what is asked for meanwhile waits its turn.
    fn republish_next(&mut self) {
        while !self.is_loading()
            && let Some((plan, answer)) = self.waiting.pop_front()
        {
            self.republish(plan, answer);
        }
    }

    const fn is_loading(&self) -> bool {
        matches!(self.background, Background::Loading { .. })
    }

    fn republish(&mut self, plan: Box<Plan>, answer: Answer) {
        let policy = match plan.policy(&self.credentials) {
            Ok(policy) => policy,
            Err(error) => {
                let _ = answer.send(Err(error.into()));
                return;
            }
        };
        // Credentials that the old plan had no use for were not opened.
        let same_credentials = plan.stored.keys().eq(self.plan.stored.keys());
        if !same_credentials || plan::keys_compile_differently(&self.policy, &policy) {
            self.begin_load(plan, Some(answer));
            return;
        }
        self.plan = *plan;
        self.publish(Arc::new(policy));
        let _ = answer.send(Ok(()));
    }

    fn begin_load(&mut self, plan: Box<Plan>, answer: Option<Answer>) {
        let (source, of) = (self.source.clone(), plan.clone());
        let expected = self.directory.secrets();
        let task = beside(async move { load::load(&source, &of, expected).await });
        self.background = Background::Loading { plan, answer, task };
    }

    fn begin_comparison(&mut self) {
        let store = self.source.store.clone();
        let (directory, policy) = (self.directory.clone(), self.policy.clone());
        let task = beside(async move { compare::compare(&*store, &directory, &policy).await });
        self.background = Background::Comparing(task);
    }

    /// Serves a state that was loaded, once it has caught up with what was committed meanwhile.
    async fn take_over(
        &mut self,
        plan: Box<Plan>,
        answer: Option<Answer>,
        loaded: Result<State, PropagationError>,
    ) {
        let caught_up = match loaded {
            Ok(state) => self.catch_up(*plan, state).await,
            Err(error) => Err(error),
        };
        match (caught_up, answer) {
            (Ok(()), answer) => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!(revision = self.known.get(), "the store is followed again");
                }
                if let Some(answer) = answer {
                    let _ = answer.send(Ok(()));
                }
            }
            (Err(error), Some(answer)) => {
                let _ = answer.send(Err(error));
            }
            // The next look finds the gap again, and begins again.
            (Err(error), None) => self.away(&error),
        }
    }

    async fn catch_up(&mut self, plan: Plan, state: State) -> Result<(), PropagationError> {
        let State { mut policy, directory, mut credentials, mut revision } = state;
        let Source { store, sealer, clock, .. } = &self.source;
        let at = loop {
            let at = clock();
            let Feed::Entries(entries) = store.changes_since(revision, HANDFUL).await? else {
                // So much happened while it was loaded that it is too old already.
                return Err(StoreError::Unavailable {
                    what: "the change feed has a gap".to_owned(),
                    remedy: "loading is tried again".to_owned(),
                }
                .into());
            };
            let applied = apply::apply(&**store, &directory, &policy, &entries).await?;
            if applied.credentials {
                credentials = load::credentials(&**store, sealer, &plan, &credentials).await?;
                policy = Arc::new(plan.policy(&credentials)?);
            }
            revision = entries.last().map_or(revision, |last| last.revision);
            if entries.len() < HANDFUL as usize {
                break at;
            }
        };
        (self.plan, self.directory, self.credentials) = (plan, directory, credentials);
        self.known = revision;
        self.publish(policy);
        self.reporter.applied(revision, (self.source.clock)());
        confirm(&self.freshness, revision, at);
        Ok(())
    }

    async fn trim(&self) {
        match self.source.store.trim_changes(self.timing.keep_changes).await {
            Ok(0) => {}
            Ok(gone) => tracing::debug!(gone, "old entries of the change feed are forgotten"),
            Err(error) => {
                tracing::warn!(%error, "old entries of the change feed cannot be forgotten");
            }
        }
    }

    /// Reads again what a comparison found to differ, and tells of what was not just on its way.
    async fn mend(&mut self, found: Result<Differences, StoreError>) {
        let found = match found {
            Ok(found) if found.is_empty() => return,
            Ok(found) => found,
            Err(error) => return self.away(&error),
        };
        self.look_and_tell().await;
        if found.are_many() {
            tracing::error!("thousands of keys differ from the store: everything is loaded anew");
            if matches!(self.background, Background::Nothing) {
                self.begin_load(Box::new(self.plan.clone()), None);
            }
            return;
        }
        if let Err(error) = self.read_again(found).await {
            self.away(&error);
        }
    }

    async fn read_again(&self, found: Differences) -> Result<(), StoreError> {
        let store: &dyn Store = &*self.source.store;
        if found.terms {
            apply::plans(store, &self.directory).await?;
            apply::prices(store, &self.directory).await?;
        }
        for id in &found.organizations {
            apply::organization(store, &self.directory, id).await?;
        }
        for id in found.keys {
            let Some(record) = store.key(id).await? else { continue };
            if !compare::holds(&self.directory, &self.policy, &record) {
                tracing::error!(key = %id, "a key differed from the store and is mended: please report this");
                apply::key(store, &self.directory, &self.policy, id).await?;
            }
        }
        Ok(())
    }
}

/// Runs what takes long, and much of a core, beside the loop.
fn beside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work))
}

/// Ends when what runs in the background does, and takes it from there.
async fn finished(background: &mut Background) -> Finished {
    let panicked = || StoreError::Unavailable {
        what: "reading everything from the store ended by a panic".to_owned(),
        remedy: "please report this".to_owned(),
    };
    match background {
        Background::Nothing => future::pending().await,
        Background::Comparing(task) => {
            let found = task.await;
            *background = Background::Nothing;
            Finished::Compared(found.unwrap_or_else(|_| Err(panicked())))
        }
        Background::Loading { task, .. } => {
            let loaded = task.await.unwrap_or_else(|_| Err(panicked().into()));
            match std::mem::replace(background, Background::Nothing) {
                Background::Loading { plan, answer, .. } => Finished::Loaded(plan, answer, loaded),
                _ => future::pending().await,
            }
        }
    }
}
