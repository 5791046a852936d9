//! Reminders: whoever answers for a key hears by mail that it, or its secret, will end, or should have been replaced.
//!
//! A thread of its own looks soon after the start and then every hour. People are told 14 days, 7 days and one day before an end, of
//! the nearest of these alone, and of none that had passed when the key was made. That is its owner; where nobody owns it, those who see
//! to the organization's keys. Each thing is told once, whichever of several servers does it: the store notes it.
//!
//! First a place in the mail is reserved, then it is noted, then it is sent. Where the mail is full nothing is noted, and the next look
//! tries again; a kill between note and mail loses one step of three, as it loses every mail that waits. Noting after sending would send
//! twice from two servers. A look sends at most [`MOST_AT_ONCE`] mails, what ends first before the rest: reminders must not take the
//! places that invitations need.
//!
//! Rejected: a list of reminders in the database, made with the key. It would have to follow every change of an end, an owner or a
//! profile; looking is cheap, and rests between pages.

mod due;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use keyward_core::{
    id::KeyId,
    key::KeyState,
    member::{Email, Right},
    policy::Policy,
    time::Timestamp,
};
use keyward_store::{Ending, KeyFilter, KeyRecord, Page, Store, StoreError};
use tokio::time::Instant;

use self::due::{Due, What};
use crate::{
    Clock, ControlError,
    mail::{Mail, Mailer},
    thread::{Stopping, Thread},
};

/// After the start: what listens comes first.
const FIRST: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(3600);
/// Keys that are read at once, and how often as long as that took the store is left alone.
const PAGE: u32 = 500;
const REST: u32 = 10;
/// Mails of one look. What is left waits for the next.
const MOST_AT_ONCE: usize = 200;
/// Of those who see to an organization's keys, so many are told.
const MOST_TOLD: usize = 20;

/// Looks for what people have to be told of. See the module.
pub struct Reminders {
    policy: Arc<ArcSwap<Policy>>,
    thread: Thread,
}

impl Reminders {
    /// Begins to look, every hour.
    pub fn start(
        store: Arc<dyn Store>,
        mailer: Mailer,
        policy: Arc<Policy>,
        clock: Clock,
    ) -> io::Result<Self> {
        let policy = Arc::new(ArcSwap::new(policy));
        let mut looker = Looker::new(store, mailer, policy.clone());
        let look = async move |mut stopping: Stopping| {
            let mut pause = FIRST;
            while !stopping.asked_within(pause).await {
                if let Err(error) = looker.look(clock(), &mut stopping).await {
                    tracing::warn!(%error, "not everybody could be reminded of their keys: this is tried again in an hour");
                }
                pause = EVERY;
            }
        };
        let thread = Thread::start("reminders", "reminding people of their keys", look)?;
        Ok(Self { policy, thread })
    }

    /// The configuration was read again.
    pub fn replace(&self, policy: Arc<Policy>) {
        self.policy.store(policy);
    }

    /// Looks no more. Blocking, for as long as one key takes.
    pub fn finish(self) {
        self.thread.finish();
    }
}

struct Looker {
    store: Arc<dyn Store>,
    mailer: Mailer,
    policy: Arc<ArcSwap<Policy>>,
    /// What is known to be told: each look finds it again, and the store need not be asked.
    told: HashSet<(KeyId, Due)>,
}

impl Looker {
    fn new(store: Arc<dyn Store>, mailer: Mailer, policy: Arc<ArcSwap<Policy>>) -> Self {
        Self { store, mailer, policy, told: HashSet::new() }
    }

    /// Looks at all keys, and tells of what is due. Answers of how much.
    async fn look(
        &mut self,
        now: Timestamp,
        stopping: &mut Stopping,
    ) -> Result<usize, ControlError> {
        let Some(due) = self.all_due(now, stopping).await? else { return Ok(0) };
        let mut done = 0;
        for (key, due) in due {
            if done >= MOST_AT_ONCE || stopping.is_asked() {
                break;
            }
            match self.tell(key, due, now).await {
                Ok(mails) => done += mails,
                Err(error @ ControlError::MailFull) => return Err(error),
                Err(ControlError::Store(error)) if error.is_outage() => return Err(error.into()),
                // A key that cannot be told of does not keep the others from it.
                Err(error) => tracing::warn!(%key, %error, "nobody is reminded of a key"),
            }
        }
        Ok(done)
    }

    /// What is due and was not told, the nearest first. `None` where it is asked to stop meanwhile.
    async fn all_due(
        &mut self,
        now: Timestamp,
        stopping: &mut Stopping,
    ) -> Result<Option<Vec<(KeyId, Due)>>, StoreError> {
        let policy = self.policy.load_full();
        let filter = KeyFilter {
            state: Some(KeyState::Active),
            ending: Some(Ending::After(now)),
            ..KeyFilter::default()
        };
        let (mut known, mut fresh, mut after) = (HashSet::new(), Vec::new(), None);
        loop {
            let began = Instant::now();
            let records = self.store.keys(&filter, Page { after, limit: PAGE }).await?;
            for record in &records {
                for due in due::of(record, &policy, now) {
                    let one = (record.key.id, due);
                    if self.told.contains(&one) {
                        known.insert(one);
                    } else {
                        fresh.push(one);
                    }
                }
            }
            after = records.last().map(|record| record.key.id);
            if records.len() < PAGE as usize {
                break;
            }
            if stopping.asked_within(began.elapsed() * REST).await {
                return Ok(None);
            }
        }
        // What is no longer due is forgotten.
        self.told = known;
        fresh.sort_by_key(|(_, due)| due.about);
        Ok(Some(fresh))
    }

    /// Tells of one thing, if nobody was told of it. Answers by how many mails.
    async fn tell(&mut self, id: KeyId, due: Due, now: Timestamp) -> Result<usize, ControlError> {
        // It may have been changed since it was looked at.
        let Some(record) = self.store.key(id).await? else { return Ok(0) };
        if !due::of(&record, &self.policy.load(), now).any(|one| one == due) {
            return Ok(0);
        }
        let mut places = Vec::new();
        for person in self.people(&record).await? {
            match self.mailer.reserve(&person) {
                Ok(place) => places.push(place),
                Err(error @ ControlError::MailFull) => return Err(error),
                Err(error) => tracing::warn!(to = %person, %error, "nobody is reminded of a key"),
            }
        }
        if places.is_empty() {
            return Ok(0);
        }
        let organization = self.store.organization(&record.key.organization).await?;
        let organization = organization.map(|one| one.name);
        let mail = mail(&record, organization.unwrap_or_default(), due);
        let is_first = self.store.note_reminder(id, due.kind, due.about, now).await?;
        self.told.insert((id, due));
        if !is_first {
            return Ok(0);
        }
        let mails = places.len();
        places.into_iter().for_each(|place| place.send(&mail, now));
        Ok(mails)
    }

    /// Who answers for a key.
    async fn people(&self, record: &KeyRecord) -> Result<Vec<Email>, StoreError> {
        let key = &record.key;
        if let Some(owner) = key.owner {
            let owner = self.store.user(owner).await?;
            return Ok(owner.into_iter().map(|owner| owner.user.email).collect());
        }
        let members = self.store.members(&key.organization).await?;
        let see_to_keys = members.into_iter().filter(|(_, place)| place.role.has(Right::WriteKeys));
        Ok(see_to_keys.map(|(user, _)| user.email).take(MOST_TOLD).collect())
    }
}

fn mail(record: &KeyRecord, organization: String, due: Due) -> Mail {
    let key = &record.key;
    let (id, name, api) = (key.id, key.name.clone(), key.api.to_string());
    match due.what {
        What::KeyEnds => Mail::KeyExpires { id, name, api, organization, expires_at: due.about },
        What::SecretEnds => {
            Mail::RotationDue { id, name, api, organization, at: due.about, ends: true }
        }
        What::RotationDue => {
            Mail::RotationDue { id, name, api, organization, at: due.about, ends: false }
        }
    }
}
