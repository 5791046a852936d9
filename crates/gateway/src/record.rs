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
    usage::{Exposure, LastUse, UsageBatch, UsageScope, UsageSink, UsageSums},
};

use crate::{body::UploadState, clock, wire::client_io::InFlight, worker::Worker};

/// The client left before there was an answer; nobody is ever sent this status.
const CLIENT_LEFT: u16 = 499;
/// Scopes of one minute a core keeps before it hands them on early.
const MOST_SCOPES: usize = 16_384;

/// A core's counts since it last told.
pub(crate) struct Recorder {
    sink: Arc<dyn UsageSink>,
    minute: u64,
    label_texts: Vec<(Box<str>, Box<str>)>,
    sums: HashMap<(u32, Option<KeyId>, u16), UsageSums>,
    last_uses: HashMap<SecretId, (Timestamp, IpAddr)>,
    exposures: Vec<Exposure>,
}

/// API and route of a request, in four bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label(u32);

impl Recorder {
    pub(crate) fn new(sink: Arc<dyn UsageSink>) -> Self {
        Self {
            sink,
            minute: 0,
            // Label 0: no API was at the address.
            label_texts: vec![("".into(), "".into())],
            sums: HashMap::new(),
            last_uses: HashMap::new(),
            exposures: Vec::new(),
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
        label: Label,
        key: Option<KeyId>,
        status: u16,
        sums: &UsageSums,
        now: Timestamp,
    ) {
        if now.as_minutes() != self.minute || self.sums.len() >= MOST_SCOPES {
            self.flush(now);
        }
        self.sums.entry((label.0, key, status)).or_default().add(sums);
    }

    fn used(&mut self, secret: SecretId, from: IpAddr, now: Timestamp) {
        self.last_uses.insert(secret, (now, from));
    }

    pub(crate) fn exposed(&mut self, exposure: Exposure) {
        self.exposures.push(exposure);
    }

    /// Hands on what was gathered; `now` begins the next minute's counts.
    pub(crate) fn flush(&mut self, now: Timestamp) {
        let minute = std::mem::replace(&mut self.minute, now.as_minutes());
        let texts = &self.label_texts;
        let rows = self.sums.drain().map(|((label, key, status), sums)| {
            let text = usize::try_from(label).ok().and_then(|at| texts.get(at));
            let (api, route) = text.map_or(("", ""), |(api, route)| (api, route));
            let scope =
                UsageScope { minute, api: api.to_owned(), route: route.to_owned(), key, status };
            (scope, sums)
        });
        let rows = rows.collect();
        let last_uses = self
            .last_uses
            .drain()
            .map(|(secret, (at, from))| LastUse { secret, at, from })
            .collect();
        let batch = UsageBatch { rows, last_uses, exposures: std::mem::take(&mut self.exposures) };
        if !batch.is_empty() {
            self.sink.submit(batch);
        }
    }
}

/// One request from its head to its last byte. Dropping it records it, however it ended.
pub(crate) struct Ticket {
    worker: Rc<Worker>,
    pub(crate) in_flight: InFlight,
    /// What came of the request's body.
    pub(crate) upload: Rc<UploadState>,
    started: Instant,
    began: Timestamp,
    label: Label,
    key: Option<KeyId>,
    status: u16,
    pub(crate) sums: UsageSums,
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
            label: Label(0),
            key: None,
            status: CLIENT_LEFT,
            sums: UsageSums { requests: 1, ..UsageSums::default() },
            log: None,
        }
    }

    /// The request is to be logged as a line. The query stays out: it may hold what the client thought secret.
    pub(crate) fn log(&mut self, id: &str, parts: &http::request::Parts, client: IpAddr) {
        let path = parts.uri.path().to_owned();
        let line = LogLine { id: id.to_owned(), method: parts.method.clone(), path, client };
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
        self.label = self.worker.recorder.borrow_mut().label(api, route);
    }

    /// Whose it is.
    pub(crate) fn caller(&mut self, key: KeyId) {
        self.key = Some(key);
    }

    /// A secret was accepted.
    pub(crate) fn accepted(&mut self, key: KeyId, secret: SecretId, from: IpAddr, now: Timestamp) {
        self.key = Some(key);
        self.worker.recorder.borrow_mut().used(secret, from, now);
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
        self.sums.latency_micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let now = self.began.plus(latency);
        let mut recorder = self.worker.recorder.borrow_mut();
        recorder.add(self.label, self.key, self.status, &self.sums, now);
        if let Some(line) = &self.log {
            let (api, route) = usize::try_from(self.label.0)
                .ok()
                .and_then(|at| recorder.label_texts.get(at))
                .map_or(("", ""), |(api, route)| (api, route));
            tracing::info!(
                target: "keyward::request",
                request = line.id,
                client = %line.client,
                key = self.key.map(tracing::field::display),
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
