//! One usage record per request, added up on its core and handed on once a second.

use std::{
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use keyward_core::{
    id::{KeyId, SecretId},
    policy::Api,
    route::Route,
    time::Timestamp,
    usage::{Exposure, LastUse, Upgrade, UsageBatch, UsageScope, UsageSink, UsageSums},
};

use crate::{
    body::UploadState, clock, connection::InFlight, meter::Meter, request::RequestHead,
    worker::Worker,
};

/// The client left before there was an answer; nobody is ever sent this status.
const CLIENT_LEFT: u16 = 499;
/// Scopes of one minute a core keeps before it hands them on early.
const MOST_SCOPES: usize = 16_384;

/// A core's counts since it last told.
pub(crate) struct Recorder {
    sink: Arc<dyn UsageSink>,
    minute: u64,
    label_texts: Vec<(Arc<str>, Arc<str>)>,
    counts: HashMap<Scope, Counts>,
    exposures: Vec<Exposure>,
    upgrades: HashMap<SecretId, Upgrade>,
}

/// API and route of a request, in four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Label(u32);

/// Whose requests are counted together. Of the two, the secret is known only when the key was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Scope {
    label: Label,
    key: Option<KeyId>,
    secret: Option<SecretId>,
}

/// What is counted of them: one place in memory for a request's begin and its end.
#[derive(Default)]
struct Counts {
    used: Option<(Timestamp, IpAddr)>,
    status: u16,
    sums: UsageSums,
    /// The same for other statuses than the first; most keys see one.
    others: Vec<(u16, UsageSums)>,
}

impl Counts {
    fn add(&mut self, status: u16, sums: &UsageSums) {
        if self.sums.requests == 0 || self.status == status {
            self.status = status;
            self.sums.add(sums);
            return;
        }
        match self.others.iter_mut().find(|(other, _)| *other == status) {
            Some((_, other)) => other.add(sums),
            None => self.others.push((status, *sums)),
        }
    }

    fn requests(&self) -> u64 {
        let others = self.others.iter().map(|(_, sums)| sums.requests);
        others.fold(self.sums.requests, u64::saturating_add)
    }

    fn by_status(self) -> impl Iterator<Item = (u16, UsageSums)> {
        let first = Some((self.status, self.sums)).filter(|(_, sums)| sums.requests > 0);
        first.into_iter().chain(self.others)
    }
}

impl Recorder {
    pub(crate) fn new(sink: Arc<dyn UsageSink>) -> Self {
        Self {
            sink,
            minute: 0,
            // Label 0: no API was at the address.
            label_texts: vec![("".into(), "".into())],
            counts: HashMap::new(),
            exposures: Vec::new(),
            upgrades: HashMap::new(),
        }
    }

    fn label(&mut self, api: &Api, route: Option<&Route>) -> Label {
        let pattern = route.map_or("", |route| route.pattern.as_str());
        // Few routes: a search by borrowed text needs no allocation, which a map's key would.
        let known = self
            .label_texts
            .iter()
            .position(|(name, text)| **name == *api.name.as_str() && **text == *pattern);
        if let Some(at) = known.and_then(|at| u32::try_from(at).ok()) {
            return Label(at);
        }
        let at = u32::try_from(self.label_texts.len()).unwrap_or_default();
        self.label_texts.push((api.name.as_str().into(), pattern.into()));
        Label(at)
    }

    fn add(
        &mut self,
        scope: Scope,
        status: u16,
        sums: &UsageSums,
        now: Timestamp,
        used: Option<(Timestamp, IpAddr)>,
    ) {
        self.turn(now);
        let counts = self.counts.entry(scope).or_default();
        counts.add(status, sums);
        // That it was used may have been handed on while it lasted; its request is counted now.
        counts.used = counts.used.or(used);
    }

    /// What belongs to another minute, or finds no more room, is handed on.
    fn turn(&mut self, now: Timestamp) {
        if now.as_minutes() != self.minute || self.counts.len() >= MOST_SCOPES {
            self.flush(now);
        }
    }

    fn used(&mut self, scope: Scope, from: IpAddr, now: Timestamp) {
        self.turn(now);
        self.counts.entry(scope).or_default().used = Some((now, from));
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
        let minute = std::mem::replace(&mut self.minute, now.as_minutes());
        let texts = &self.label_texts;
        let nowhere = ("".into(), "".into());
        let mut rows = Vec::with_capacity(self.counts.len());
        let mut last_uses = Vec::new();
        for (Scope { label, key, secret }, counts) in self.counts.drain() {
            if let (Some(secret), Some((at, from))) = (secret, counts.used) {
                last_uses.push(LastUse { secret, at, from, requests: counts.requests() });
            }
            let text = usize::try_from(label.0).ok().and_then(|at| texts.get(at));
            let (api, route) = text.unwrap_or(&nowhere);
            for (status, sums) in counts.by_status() {
                let (api, route) = (api.clone(), route.clone());
                rows.push((UsageScope { minute, api, route, key, status }, sums));
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
pub(crate) struct Ticket {
    worker: Rc<Worker>,
    #[expect(dead_code, reason = "ends with the ticket")]
    in_flight: InFlight,
    /// What came of the request's body.
    pub(crate) upload: Rc<UploadState>,
    started: Instant,
    began: Timestamp,
    scope: Scope,
    /// From where a secret was accepted.
    accepted_from: Option<IpAddr>,
    status: u16,
    pub(crate) sums: UsageSums,
    /// Reads what it uses, where that is known of its route.
    pub(crate) meter: Option<Box<Meter>>,
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
        Self {
            worker: worker.clone(),
            in_flight,
            upload: Rc::default(),
            started: Instant::now(),
            began: clock::now(),
            scope: Scope { label: Label(0), key: None, secret: None },
            accepted_from: None,
            status: CLIENT_LEFT,
            sums: UsageSums { requests: 1, ..UsageSums::default() },
            meter: None,
            log: None,
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

    /// How long it has taken so far.
    pub(crate) fn took(&self) -> Duration {
        self.started.elapsed()
    }

    /// When it began, by the wall clock.
    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    /// Which API and route it reached.
    pub(crate) fn reached(&mut self, api: &Api, route: Option<&Route>) {
        self.scope.label = self.worker.recorder.borrow_mut().label(api, route);
    }

    /// Whose it is.
    pub(crate) fn caller(&mut self, key: KeyId) {
        self.scope.key = Some(key);
    }

    /// A secret was accepted.
    pub(crate) fn accepted(&mut self, key: KeyId, secret: SecretId, from: IpAddr, now: Timestamp) {
        self.scope.key = Some(key);
        self.scope.secret = Some(secret);
        self.accepted_from = Some(from);
        self.worker.recorder.borrow_mut().used(self.scope, from, now);
    }

    /// The status that was sent, or is about to be.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let latency = self.started.elapsed();
        self.sums.bytes_in += self.upload.bytes.get();
        if let Some(mut meter) = self.meter.take() {
            meter.settle(self.upload.sent.get(), &mut self.sums);
        }
        self.sums.latency_micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let now = self.began.plus(latency);
        let mut recorder = self.worker.recorder.borrow_mut();
        let used = self.accepted_from.map(|from| (self.began, from));
        recorder.add(self.scope, self.status, &self.sums, now, used);
        if let Some(line) = &self.log {
            let (api, route) = usize::try_from(self.scope.label.0)
                .ok()
                .and_then(|at| recorder.label_texts.get(at))
                .map_or(("", ""), |(api, route)| (api, route));
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
                self.status,
                latency.as_secs_f64() * 1000.0,
            );
        }
    }
}
