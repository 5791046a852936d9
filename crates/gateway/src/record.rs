//! One usage record per request, added up on its core and handed on once a second.
//!
//! A request that ends is noted down and counted with a few hundred others: what was counted of each key lies far away in memory, and who
//! reaches for many of them at once waits for all of them together.

mod names;

use std::{
    hash::BuildHasher as _,
    net::IpAddr,
    ops::{Deref, DerefMut},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use keyward_core::{
    directory::OrganizationSlot,
    id::{KeyId, SecretId},
    limit::{
        Price, Unit,
        counters::{Moment, Reservation},
    },
    policy::Api,
    route::Route,
    snapshot::Snapshot,
    time::Timestamp,
    usage::{
        Exposure, LastUse, Latencies, Upgrade, UsageBatch, UsageRow, UsageScope, UsageSink,
        UsageSums,
    },
    verdict::Reason,
};

use self::names::{Label, Model, Names, Owner};
use crate::{
    body::{AnswerFault, UploadState},
    connection::InFlight,
    meter::Meter,
    request::RequestHead,
    stretch::Stretch,
    worker::Worker,
};

/// What was found so long ago still holds.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(1);
/// The client left before there was an answer; nobody is ever sent this status.
const CLIENT_LEFT: u16 = 499;
/// Scopes of one minute a core keeps before it hands them on early.
const MOST_SCOPES: usize = 16_384;
/// Requests that are noted down before they are counted.
const MOST_NOTED: usize = 256;
/// So many counts are reached for at once.
const AT_ONE_REACH: usize = 16;

/// A core's counts since it last told.
pub(crate) struct Recorder {
    sink: Arc<dyn UsageSink>,
    minute: u64,
    names: Names,
    noted: Vec<Noted>,
    counts: HashTable<Counts>,
    hashes: DefaultHashBuilder,
    exposures: Vec<Exposure>,
    upgrades: HashMap<SecretId, Upgrade>,
}

/// Whose requests are counted together. Of the two, the secret is known only when the key was accepted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Scope {
    label: Label,
    owner: Owner,
    model: Model,
    key: Option<KeyId>,
    secret: Option<SecretId>,
}

/// A request that ended, or one that lasts and has used a secret.
struct Noted {
    scope: Scope,
    hash: u64,
    outcome: Outcome,
    sums: UsageSums,
    used: Option<(Timestamp, IpAddr)>,
}

/// How a request ended.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Outcome {
    status: u16,
    reason: Option<Reason>,
}

/// The requests of a scope that ended alike.
#[derive(Default)]
struct Tally {
    outcome: Outcome,
    sums: UsageSums,
    latencies: Latencies,
}

impl Tally {
    fn add(&mut self, sums: &UsageSums) {
        self.sums.add(sums);
        self.latencies.add(sums.latency_micros);
    }
}

/// What is counted of the requests of a scope.
struct Counts {
    scope: Scope,
    used: Option<(Timestamp, IpAddr)>,
    first: Tally,
    /// The same for other outcomes than the first; most keys see one.
    others: Vec<Tally>,
}

impl Counts {
    fn of(scope: Scope) -> Self {
        Self { scope, used: None, first: Tally::default(), others: Vec::new() }
    }

    /// Something from each of the cache lines that it lies in.
    fn reach(&self) -> u64 {
        let UsageSums { requests, tokens, cost, .. } = &self.first.sums;
        let ends = [self.used.is_some(), self.others.is_empty()].map(u64::from);
        ends.iter().fold(requests ^ tokens.input ^ cost.billionths(), |all, one| all ^ one)
    }

    fn add(&mut self, outcome: Outcome, sums: &UsageSums) {
        if self.first.sums.requests == 0 || self.first.outcome == outcome {
            self.first.outcome = outcome;
            self.first.add(sums);
            return;
        }
        if let Some(known) = self.others.iter_mut().find(|other| other.outcome == outcome) {
            known.add(sums);
            return;
        }
        let mut other = Tally { outcome, ..Tally::default() };
        other.add(sums);
        self.others.push(other);
    }

    fn requests(&self) -> u64 {
        let others = self.others.iter().map(|other| other.sums.requests);
        others.fold(self.first.sums.requests, u64::saturating_add)
    }

    fn by_outcome(self) -> impl Iterator<Item = Tally> {
        let first = Some(self.first).filter(|first| first.sums.requests > 0);
        first.into_iter().chain(self.others)
    }
}

impl Recorder {
    pub(crate) fn new(sink: Arc<dyn UsageSink>) -> Self {
        Self {
            sink,
            minute: 0,
            names: Names::default(),
            noted: Vec::with_capacity(MOST_NOTED),
            counts: HashTable::new(),
            hashes: DefaultHashBuilder::default(),
            exposures: Vec::new(),
            upgrades: HashMap::new(),
        }
    }

    /// A request has ended, or used a secret while it lasts.
    fn note(
        &mut self,
        scope: Scope,
        outcome: Outcome,
        sums: UsageSums,
        used: Option<(Timestamp, IpAddr)>,
        now: Timestamp,
    ) {
        // What belongs to another minute is handed on first.
        if now.as_minutes() != self.minute {
            self.flush(now);
        }
        self.names.counted(scope.model, self.minute);
        let hash = self.hashes.hash_one(scope);
        self.noted.push(Noted { scope, hash, outcome, sums, used });
        if self.noted.len() >= MOST_NOTED {
            self.count();
        }
        if self.counts.len() >= MOST_SCOPES {
            self.flush(now);
        }
    }

    /// Counts what was noted down.
    fn count(&mut self) {
        let Self { noted, counts, hashes, .. } = self;
        for some in noted.chunks(AT_ONE_REACH) {
            // None of these waits for another, so all of them are on their way from memory at once.
            let found = some.iter().filter_map(|one| {
                counts.find(one.hash, |counts| counts.scope == one.scope).map(Counts::reach)
            });
            std::hint::black_box(found.fold(0, |all, one| all ^ one));
            for Noted { scope, hash, outcome, sums, used } in some {
                let place = counts.entry(
                    *hash,
                    |counts| counts.scope == *scope,
                    |counts| hashes.hash_one(counts.scope),
                );
                let mut place = place.or_insert_with(|| Counts::of(*scope));
                let counts = place.get_mut();
                if sums.requests > 0 {
                    counts.add(*outcome, sums);
                }
                // The newest: one that ended now may have begun before another.
                counts.used = counts.used.max(*used);
            }
        }
        noted.clear();
    }

    /// An imported secret was accepted; told once a flush, however often it is used.
    pub(crate) fn upgraded(&mut self, upgrade: Upgrade) {
        self.upgrades.insert(upgrade.secret, upgrade);
    }

    pub(crate) fn exposed(&mut self, exposure: Exposure) {
        self.exposures.push(exposure);
    }

    /// Hands on what was gathered; `now` begins the next minute's counts.
    pub(crate) fn flush(&mut self, now: Timestamp) {
        self.count();
        let minute = std::mem::replace(&mut self.minute, now.as_minutes());
        let mut rows = Vec::with_capacity(self.counts.len());
        let mut last_uses = Vec::with_capacity(self.counts.len());
        for counts in self.counts.drain() {
            let scope = counts.scope;
            if let (Some(secret), Some((at, from))) = (scope.secret, counts.used) {
                last_uses.push(LastUse { secret, at, from, requests: counts.requests() });
            }
            let (api, route) = self.names.route(scope.label);
            let shared = UsageScope {
                minute,
                organization: self.names.organization(scope.owner),
                api,
                route,
                key: scope.key,
                model: self.names.model_text(scope.model),
                ..UsageScope::default()
            };
            for Tally { outcome, sums, latencies } in counts.by_outcome() {
                let Outcome { status, reason } = outcome;
                let scope = UsageScope { status, reason, ..shared.clone() };
                rows.push(UsageRow { scope, sums, latencies });
            }
        }
        let exposures = std::mem::take(&mut self.exposures);
        let upgrades = self.upgrades.drain().map(|(_, upgrade)| upgrade).collect();
        let batch = UsageBatch { rows, last_uses, exposures, upgrades };
        if !batch.is_empty() {
            self.sink.submit(batch);
        }
    }
}

/// One request from its head to its last byte. Dropping it records it, however it ended.
///
/// It is handed on from one part of the request's way to the next, so what it holds stays where it is.
pub(crate) struct Ticket(Option<Box<Open>>);

impl Deref for Ticket {
    type Target = Open;

    fn deref(&self) -> &Open {
        match &self.0 {
            Some(open) => open,
            None => unreachable!("a ticket is open until it is dropped"),
        }
    }
}

impl DerefMut for Ticket {
    fn deref_mut(&mut self) -> &mut Open {
        match &mut self.0 {
            Some(open) => open,
            None => unreachable!("a ticket is open until it is dropped"),
        }
    }
}

/// What is known of a request that is not over.
pub(crate) struct Open {
    worker: Rc<Worker>,
    in_flight: Option<InFlight>,
    /// What came of the request's body.
    pub(crate) upload: Rc<UploadState>,
    started: Instant,
    /// When the clock was last looked at: since then nothing was waited for.
    seen: Instant,
    began: Timestamp,
    scope: Scope,
    /// When and from where a secret was accepted, until that is told.
    used: Option<(Timestamp, IpAddr)>,
    outcome: Outcome,
    pub(crate) sums: UsageSums,
    /// What is set aside of its limits.
    pub(crate) reservation: Reservation,
    /// Ends its stream where it would pass a limit.
    pub(crate) stretch: Option<Box<Stretch>>,
    /// Header lines that tell of its limits.
    pub(crate) limits: Vec<u8>,
    /// Reads what it uses, where that is known of its route.
    pub(crate) meter: Option<Box<Meter>>,
    /// What its model costs, where that is said.
    pub(crate) price: Option<Arc<Price>>,
    log: Option<Box<LogLine>>,
}

struct LogLine {
    id: String,
    method: http::Method,
    path: String,
    client: IpAddr,
}

impl Ticket {
    pub(crate) fn open(worker: &Rc<Worker>, in_flight: InFlight) -> Self {
        let mut open = worker.spare_ticket();
        open.begin(in_flight);
        Self(Some(open))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(mut open) = self.0.take() else { return };
        open.end();
        let worker = open.worker.clone();
        worker.keep_ticket(open);
    }
}

impl Open {
    pub(crate) fn new(worker: Rc<Worker>) -> Self {
        let now = Instant::now();
        Self {
            worker,
            in_flight: None,
            upload: Rc::default(),
            started: now,
            seen: now,
            began: Timestamp::default(),
            scope: Scope::default(),
            used: None,
            outcome: Outcome::default(),
            sums: UsageSums::default(),
            reservation: Reservation::default(),
            stretch: None,
            limits: Vec::new(),
            meter: None,
            price: None,
            log: None,
        }
    }

    /// A request begins.
    fn begin(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
        self.started = Instant::now();
        self.seen = self.started;
        self.began = self.worker.wall(self.started);
        self.scope = Scope::default();
        self.used = None;
        self.outcome = Outcome { status: CLIENT_LEFT, reason: None };
        self.sums = UsageSums { requests: 1, ..UsageSums::default() };
        match Rc::get_mut(&mut self.upload) {
            Some(upload) => *upload = UploadState::default(),
            None => self.upload = Rc::default(),
        }
    }

    /// The request is to be logged as a line. The query stays out: it may hold what the client thought secret.
    pub(crate) fn log(&mut self, id: &str, head: &RequestHead, client: IpAddr) {
        let path = head.path().to_owned();
        let line = LogLine { id: id.to_owned(), method: head.method.clone(), path, client };
        self.log = Some(Box::new(line));
    }

    /// The core it is on.
    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Something was waited for: time has passed.
    pub(crate) fn waited(&mut self) {
        self.seen = Instant::now();
    }

    /// How long it has taken so far, what was waited for included.
    pub(crate) fn took(&self) -> Duration {
        self.seen - self.started
    }

    /// When it began, by the wall clock.
    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    /// Which API and route it reached.
    pub(crate) fn reached(&mut self, api: &Api, route: Option<&Route>) {
        self.scope.label = self.worker.recorder.borrow_mut().names.label(api, route);
    }

    /// Whose it is.
    pub(crate) fn caller(
        &mut self,
        key: KeyId,
        organization: Option<OrganizationSlot>,
        snapshot: &Snapshot,
    ) {
        self.scope.key = Some(key);
        let names = &mut self.worker.recorder.borrow_mut().names;
        let owner = organization.and_then(|slot| {
            snapshot.directory().organization_id(slot, |id| names.owner(id.as_str()))
        });
        self.scope.owner = owner.unwrap_or_default();
    }

    /// A secret was accepted, for this model where one is named.
    pub(crate) fn accepted(
        &mut self,
        key: KeyId,
        secret: SecretId,
        model: Option<&str>,
        from: IpAddr,
        now: Timestamp,
    ) {
        self.scope.key = Some(key);
        self.scope.secret = Some(secret);
        self.used = Some((now, from));
        if let Some(model) = model {
            let mut recorder = self.worker.recorder.borrow_mut();
            recorder.names.release(self.scope.model);
            let minute = recorder.minute;
            self.scope.model = recorder.names.model(model, minute);
        }
    }

    /// Its answer takes its time: that it has used a secret is told meanwhile, once.
    pub(crate) fn lasts(&mut self) {
        if let Some(used) = self.used.take() {
            let now = self.worker.wall(Instant::now());
            let none = UsageSums::default();
            let mut recorder = self.worker.recorder.borrow_mut();
            recorder.note(self.scope, Outcome::default(), none, Some(used), now);
        }
    }

    /// The moment by both clocks, for its limits: when it began, unless time has passed since. A request whose body came slowly must not
    /// count in the past.
    pub(crate) fn moment(&self) -> Moment {
        match self.took() {
            took if took <= AT_ONCE => self.worker.moment(self.started),
            _ => self.worker.moment(self.seen),
        }
    }

    /// Whether something may be taken out of its answer, or the answer be ended early.
    pub(crate) fn may_end_otherwise(&self) -> bool {
        self.stretch.is_some() || self.meter.as_ref().is_some_and(|meter| meter.filters())
    }

    /// The event that ends its stream, and where in the piece that passed last, where it has written more than its limits have room for.
    pub(crate) fn ending(&mut self) -> Result<Option<(usize, String)>, AnswerFault> {
        let (Some(stretch), Some(meter)) = (&mut self.stretch, &self.meter) else {
            return Ok(None);
        };
        let now = self.worker.moment(Instant::now());
        match stretch.reach(&self.worker, meter.written(), now) {
            Ok(None) => Ok(None),
            Ok(Some(more)) => {
                self.reservation.join(more);
                Ok(None)
            }
            Err(refusal) => meter.ending(&refusal).map(Some).ok_or(AnswerFault::Limited),
        }
    }

    fn settle(&mut self, now: Instant) {
        if self.reservation.is_empty() {
            return;
        }
        let (tokens, cost) = (self.sums.tokens, self.sums.cost);
        let used = |unit| match unit {
            Unit::Requests => 1,
            Unit::Tokens => tokens.total(),
            Unit::InputTokens => tokens.input,
            Unit::OutputTokens => tokens.output,
            Unit::Cost => cost.billionths(),
        };
        let now = self.worker.moment(now);
        self.worker.counters.settle(std::mem::take(&mut self.reservation), used, now);
    }

    /// The status that was sent, or is about to be.
    pub(crate) fn answered(&mut self, status: u16) {
        self.outcome.status = status;
    }

    /// Keyward answers it, with this status and for this reason.
    pub(crate) fn refused(&mut self, status: u16, reason: Reason) {
        self.outcome = Outcome { status, reason: Some(reason) };
    }

    /// It is over: everything it holds is settled, counted or given back.
    fn end(&mut self) {
        let ended = Instant::now();
        let latency = ended.saturating_duration_since(self.started);
        self.stretch = None;
        self.sums.bytes_in += self.upload.bytes.get();
        if let Some(meter) = self.meter.take() {
            meter.settle(&self.worker.meters, self.upload.sent.get(), &mut self.sums);
        }
        if let Some(price) = self.price.take()
            && (self.sums.tokens.total() > 0 || (200..300).contains(&self.outcome.status))
        {
            self.sums.cost = price.of(&self.sums.tokens);
        }
        self.sums.latency_micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let now = self.began.plus(latency);
        self.settle(ended);
        self.worker.buffers.keep_write(std::mem::take(&mut self.limits));
        let mut recorder = self.worker.recorder.borrow_mut();
        recorder.note(self.scope, self.outcome, self.sums, self.used.take(), now);
        recorder.names.release(self.scope.model);
        if let Some(line) = self.log.take() {
            let (api, route) = recorder.names.route_texts(self.scope.label);
            tracing::info!(
                target: "keyward::request",
                request = line.id,
                client = %line.client,
                key = self.scope.key.map(tracing::field::display),
                api,
                route,
                bytes_in = self.sums.bytes_in,
                bytes_out = self.sums.bytes_out,
                "{} {} {} in {:.1} ms",
                line.method,
                line.path,
                self.outcome.status,
                latency.as_secs_f64() * 1000.0,
            );
        }
        drop(recorder);
        self.in_flight = None;
    }
}
