//! Webhooks: what happened is delivered to who wants to be told, signed after Standard Webhooks 1.0.
//!
//! What is told was written with what it tells of ([`keyward_store::WebhookStore`]); a thread of its own takes what is due and
//! sends it, each delivery a task. A lease makes it one sender's: of several servers one sends it, and after a kill it is sent again when
//! the lease is over. So receivers hear of everything at least once, under the same `webhook-id` each time.
//!
//! A receiver that does not take it with a 2xx is tried again, for some 27 hours. One that answers 410, or has taken nothing for five days
//! and in twenty tries, is told nothing more, and the owners hear of that by mail. Each webhook has its turn, and to one, and to one
//! organization's, a few are sent at once, so that a slow one and one to which much is due hold up nobody else's. Where it leads to is guarded at every call ([`crate::outgoing::guard`]).
//!
//! Rejected: a queue in memory that is filled from the change feed. The feed says what changed, not what it was; and what waits for
//! hours must outlast a restart.

pub(crate) mod signature;

#[cfg(test)]
pub(crate) mod tests;

use std::{collections::HashMap, io, path::PathBuf, sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, header};
use keyward_core::{
    id::{DeliveryId, OrganizationId, WebhookId},
    member::Right,
    time::Timestamp,
};
use keyward_store::{
    Actor, AfterAttempt, Attempt, Change, Delivery, Due, DueDelivery, DueFilter, Failing,
    Interface, SealContext, Sealer, Store, StoreError, Webhook, WebhookChange, WebhookRecord,
};
use tokio::{task::JoinSet, time::timeout};

pub use crate::outgoing::guard::{Guard, Refused};
use crate::{
    Clock,
    mail::{Mail, Mailer},
    mint,
    outgoing::{Call, Outgoing, Reach},
    thread::{Stopping, Thread},
};

/// Deliveries under way at once, of them to one organization's webhooks, and to one webhook.
const AT_ONCE: usize = 64;
const AT_ONCE_OWNER: usize = 16;
const AT_ONCE_EACH: usize = 4;
/// For one try, from the look-up of the name to the head of the answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Nobody else tries a delivery for so long: longer than a try takes.
const LEASE: Duration = Duration::from_secs(60);
/// Pauses between tries, each give or take a tenth.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(10 * 3600),
];
/// A webhook that has taken nothing for so long, and in so many tries, is given up on. A delivery is tried eight times: one that failed
/// says nothing of a webhook that is rarely sent anything.
const PATIENCE_WITH_ONE: Duration = Duration::from_secs(5 * 24 * 3600);
const LEAST_TRIES: u32 = 20;
/// At the latest so often it is looked for what is due.
const EVERY: Duration = Duration::from_secs(1);
/// What is under way when Keyward ends may take so long.
const LAST: Duration = Duration::from_secs(3);
/// Of owners, so many are told.
const MOST_TOLD: usize = 20;

/// How webhooks are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where to.
    pub guard: Guard,
    /// Certificate authorities (PEM) to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// How long deliveries that are over are kept.
    pub keep: Duration,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self { guard: Guard::strict(), ca: None, keep: Duration::from_secs(30 * 24 * 3600) }
    }
}

/// Delivers what is told to webhooks. See the module.
pub struct Deliveries {
    thread: Thread,
}

impl Deliveries {
    /// Begins to deliver.
    pub fn start(
        store: Arc<dyn Store>,
        sealer: Arc<Sealer>,
        mailer: Mailer,
        settings: WebhookSettings,
        clock: Clock,
    ) -> io::Result<Self> {
        let mut deliverer = Deliverer::new(store, sealer, mailer, settings, clock);
        let deliver = async move |stopping: Stopping| deliverer.run(stopping).await;
        let thread = Thread::start("webhooks", "delivering to webhooks", deliver)?;
        Ok(Self { thread })
    }

    /// Delivers nothing more. Blocking, for some seconds at most.
    pub fn finish(self) {
        self.thread.finish();
    }
}

/// What one delivery needs.
struct Way {
    store: Arc<dyn Store>,
    sealer: Arc<Sealer>,
    mailer: Mailer,
    outgoing: Outgoing,
    clock: Clock,
}

struct Deliverer {
    way: Arc<Way>,
    running: JoinSet<DueDelivery>,
    /// How many are under way to each webhook, and to each organization's.
    busy: HashMap<WebhookId, usize>,
    busy_owners: HashMap<Option<OrganizationId>, usize>,
    is_away: bool,
}

/// One that was under way has ended.
fn one_less<K: Eq + std::hash::Hash>(busy: &mut HashMap<K, usize>, of: &K) {
    if let Some(count) = busy.get_mut(of) {
        *count = count.saturating_sub(1);
    }
    busy.retain(|_, count| *count > 0);
}

/// Those of which no more can be under way.
fn full<K: Clone>(busy: &HashMap<K, usize>, most: usize) -> Vec<K> {
    let full = busy.iter().filter(|(_, count)| **count >= most);
    full.map(|(of, _)| of.clone()).collect()
}

impl Deliverer {
    fn new(
        store: Arc<dyn Store>,
        sealer: Arc<Sealer>,
        mailer: Mailer,
        settings: WebhookSettings,
        clock: Clock,
    ) -> Self {
        let WebhookSettings { guard, ca, .. } = settings;
        let outgoing = Outgoing::new(Reach::Guarded(guard), ca, PATIENCE, 0);
        let way = Arc::new(Way { store, sealer, mailer, outgoing, clock });
        let (busy, busy_owners) = (HashMap::new(), HashMap::new());
        Self { way, running: JoinSet::new(), busy, busy_owners, is_away: false }
    }

    async fn run(&mut self, mut stopping: Stopping) {
        loop {
            let known = self.way.store.revision().await.unwrap_or_default();
            self.look().await;
            let store = self.way.store.clone();
            tokio::select! {
                () = stopping.asked() => break,
                Some(done) = self.running.join_next() => self.free(done.ok()),
                _ = timeout(EVERY, store.wait_for_change(known)) => {}
            }
        }
        // What does not end by then is sent again after the next start.
        let last = async { while self.running.join_next().await.is_some() {} };
        let _ = timeout(LAST, last).await;
    }

    fn free(&mut self, done: Option<DueDelivery>) {
        match done {
            Some(done) => {
                one_less(&mut self.busy, &done.webhook);
                one_less(&mut self.busy_owners, &done.owner);
            }
            // Which one is not known: none is taken for busy that may not be.
            None => {
                tracing::error!("a delivery to a webhook ended by a panic, and is tried again");
                self.busy.clear();
                self.busy_owners.clear();
            }
        }
    }

    /// Begins what is due, as far as there is room.
    async fn look(&mut self) {
        match self.begin().await {
            Ok(_) if std::mem::take(&mut self.is_away) => {
                tracing::info!("webhooks are delivered to again");
            }
            Ok(_) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(%error, "nothing can be delivered to webhooks now: this is tried again");
                }
            }
        }
    }

    /// Answers how many were begun.
    async fn begin(&mut self) -> Result<usize, StoreError> {
        // By chance each webhook is the first: none waits for ever behind others to which more is due than there is room for.
        let first = mint::random().map(WebhookId::from_bits).ok();
        self.begin_behind(first).await
    }

    /// Begins what is due to webhooks behind this one, and then to the others.
    async fn begin_behind(&mut self, first: Option<WebhookId>) -> Result<usize, StoreError> {
        let mut begun = 0;
        let mut after = first;
        loop {
            let (more, next) = self.begin_some(after).await?;
            begun += more;
            match (after, next) {
                (Some(_), None) => after = None,
                _ => return Ok(begun),
            }
        }
    }

    /// Answers how many were begun, and behind which webhook others are; `None` behind the last.
    async fn begin_some(
        &mut self,
        after: Option<WebhookId>,
    ) -> Result<(usize, Option<WebhookId>), StoreError> {
        let room = AT_ONCE.saturating_sub(self.running.len());
        if room == 0 {
            return Ok((0, after));
        }
        let now = (self.way.clock)();
        let filter = DueFilter {
            at: now,
            after,
            busy: full(&self.busy, AT_ONCE_EACH),
            busy_owners: full(&self.busy_owners, AT_ONCE_OWNER),
            each: u32::try_from(AT_ONCE_EACH).unwrap_or(1),
            limit: u32::try_from(room).unwrap_or(1),
        };
        let Due { deliveries, next } = self.way.store.due_deliveries(&filter).await?;
        let mut begun = 0;
        for due in deliveries {
            let has_room = |of: Option<&usize>, most| of.is_none_or(|count| *count < most);
            if !has_room(self.busy.get(&due.webhook), AT_ONCE_EACH)
                || !has_room(self.busy_owners.get(&due.owner), AT_ONCE_OWNER)
                || !self.way.store.lease_delivery(due.id, now, now.plus(LEASE)).await?
            {
                continue;
            }
            *self.busy.entry(due.webhook).or_default() += 1;
            *self.busy_owners.entry(due.owner.clone()).or_default() += 1;
            begun += 1;
            let way = self.way.clone();
            self.running.spawn(async move {
                way.deliver(due.id).await;
                due
            });
        }
        Ok((begun, next))
    }
}

impl Way {
    async fn deliver(&self, id: DeliveryId) {
        if let Err(error) = self.try_delivery(id).await {
            tracing::warn!(delivery = %id, %error, "a delivery to a webhook could not be worked on: it is tried again");
        }
    }

    async fn try_delivery(&self, id: DeliveryId) -> Result<(), StoreError> {
        let Some(delivery) = self.store.delivery(id).await? else { return Ok(()) };
        let delivery = &delivery;
        let Some(record) = self.store.webhook(delivery.webhook).await? else { return Ok(()) };
        if !record.webhook.enabled {
            return Ok(());
        }
        let sent = match self.call(&record, delivery) {
            Ok(call) => self.outgoing.call(call).await,
            Err(problem) => Err(problem),
        };
        let at = (self.clock)();
        let (status, problem) = match sent {
            Ok((status @ 200..=299, _)) => (Some(status), None),
            Ok((status, _)) => (Some(status), Some(format!("it answered {status}"))),
            Err(problem) => (None, Some(problem)),
        };
        let gone = status == Some(410);
        let pause = usize::try_from(delivery.attempts).ok().and_then(|tried| PAUSES.get(tried));
        let after = match (&problem, pause) {
            (None, _) => AfterAttempt::Done,
            (Some(_), Some(pause)) if !gone => AfterAttempt::TryAt(at.plus(jittered(*pause))),
            (Some(_), _) => AfterAttempt::GiveUp,
        };
        let attempt = Attempt { at, status, problem };
        let failing = self.store.note_attempt(delivery.id, attempt, after).await?;
        let long = failing.is_some_and(|Failing { since, tries }| {
            at.since(since) >= PATIENCE_WITH_ONE && tries >= LEAST_TRIES
        });
        match (gone, long) {
            (true, _) => self.give_up(&record.webhook, "it answered 410 Gone", at).await,
            (_, true) => self.give_up(&record.webhook, "it took nothing for five days", at).await,
            (false, false) => Ok(()),
        }
    }

    fn call<'c>(&self, record: &'c WebhookRecord, delivery: &Delivery) -> Result<Call<'c>, String> {
        let now = (self.clock)();
        let id = delivery.event.to_string();
        let body = delivery.payload.as_bytes();
        let organization = record.webhook.organization.as_ref();
        let mut signatures = Vec::new();
        for secret in &record.secrets {
            if secret.expires_at.is_some_and(|end| end <= now) {
                continue;
            }
            let name = secret.id.to_string();
            let place = SealContext::webhook_secret(organization, &name);
            let opened = self.sealer.open(&place, &secret.sealed).map_err(|e| e.to_string())?;
            let signed = signature::sign(&opened, &id, now, body);
            signatures.push(signed.ok_or("its secret is none: rotate it")?);
        }
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        let headers = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("webhook-id"), value(&id)?),
            (HeaderName::from_static("webhook-timestamp"), HeaderValue::from(now.as_secs())),
            (HeaderName::from_static("webhook-signature"), value(&signatures.join(" "))?),
        ];
        Ok(Call { method: Method::POST, url: &record.webhook.url, headers, body: body.to_vec() })
    }

    async fn give_up(&self, webhook: &Webhook, why: &str, at: Timestamp) -> Result<(), StoreError> {
        let before = self.store.revision().await?;
        let actor = Actor::system("webhooks", Interface::Gateway);
        let change =
            Change::Webhook(WebhookChange::GiveUp { webhook: webhook.id, why: why.to_owned() });
        let revision = match self.store.commit(&actor, at, change).await {
            Err(StoreError::NoSuchWebhook(_)) => return Ok(()),
            committed => committed?,
        };
        if revision == before {
            return Ok(());
        }
        tracing::warn!(webhook = %webhook.id, why, "a webhook is disabled: nothing is sent there any more");
        let Some(organization) = &webhook.organization else { return Ok(()) };
        let name = self.store.organization(organization).await?.map(|one| one.name);
        let mail = Mail::WebhookDisabled {
            id: webhook.id,
            host: host(&webhook.url),
            organization: name.unwrap_or_default(),
            why: why.to_owned(),
        };
        let members = self.store.members(organization).await?;
        let owners = members.iter().filter(|(_, place)| place.role.has(Right::WriteOrganization));
        for (owner, _) in owners.take(MOST_TOLD) {
            self.mailer.send(&owner.email, &mail, at);
        }
        Ok(())
    }
}

/// An address without what may be secret in it.
fn host(url: &str) -> String {
    let uri = url.parse::<axum::http::Uri>().ok();
    uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
}

/// Many that failed at once are not tried again at once.
fn jittered(pause: Duration) -> Duration {
    // Without randomness the pause is what it is.
    let random = mint::random::<1>().map_or(128, |[byte]| u32::from(byte));
    pause.mul_f64(0.9 + 0.2 * f64::from(random) / 255.0)
}
