//! Of what a rule holds now.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use keyward_core::{
    alert::{AlertRule, Condition, Scope},
    id::{KeyId, OrganizationId},
    key::KeyState,
    time::Timestamp,
};
use keyward_store::{Ending, KeyFilter, KeyRecord, Page, StoreError};

use super::{Finding, Looker, MOST_FOUND, figures::Counts};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What happened once stays raised for so long.
const ONCE: Duration = HOUR;
/// The hours that say what is usual, and how many of them there must be.
const USUAL_HOURS: u32 = 168;
const LEAST_HOURS: u64 = 24;
/// Keys that are read at once, and that are remembered.
const HANDFUL: u32 = 500;
const MOST_KNOWN: usize = 100_000;

/// What does not change of a key.
#[derive(Clone, Debug)]
pub(super) struct Known {
    organization: OrganizationId,
    name: String,
    created_at: Timestamp,
}

/// Figures by key, over the minutes from the one to the other: asked for once a look.
pub(super) type Counted = HashMap<(u64, u64), HashMap<KeyId, Counts>>;

/// Whether keys are read one by one for it.
pub(super) const fn is_scan(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::KeyUnused { .. }
            | Condition::KeyExpiring { .. }
            | Condition::OldSecretInUse { .. }
    )
}

/// What share of `all` a part is, in percent, rounded down.
fn percent(part: u64, all: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(all.max(1))).unwrap_or(u64::MAX)
}

fn finding(record: &KeyRecord, message: String) -> Finding {
    let key = &record.key;
    let subject = key.id.to_string();
    Finding { organization: key.organization.clone(), subject, key: Some(key.id), message }
}

impl Looker {
    /// Of what the rule holds now.
    pub(super) async fn findings(
        &mut self,
        rule: &AlertRule,
        now: Timestamp,
        counted: &mut Counted,
    ) -> Result<Vec<Finding>, StoreError> {
        match rule.condition {
            Condition::KeyUnused { days } => {
                let since = now.minus(DAY * u32::from(days));
                let filter = KeyFilter {
                    state: Some(KeyState::Active),
                    ending: Some(Ending::After(now)),
                    unused_since: Some(since),
                    ..KeyFilter::default()
                };
                let says = |one: &KeyRecord| {
                    Some(format!("the key \"{}\" was not used for {days} days", one.key.name))
                };
                self.keys(rule, filter, says).await
            }
            Condition::KeyExpiring { days } => {
                let filter = KeyFilter {
                    state: Some(KeyState::Active),
                    ending: Some(Ending::By(now.plus(DAY * u32::from(days)))),
                    ..KeyFilter::default()
                };
                let says = |one: &KeyRecord| {
                    let end = one.key.expires_at.filter(|end| *end > now)?;
                    Some(format!("the key \"{}\" ends at {end}", one.key.name))
                };
                self.keys(rule, filter, says).await
            }
            Condition::OldSecretInUse { hours } => self.old_secrets(rule, hours, now).await,
            Condition::NewNetwork { learning_days } => {
                self.new_networks(rule, DAY * u32::from(learning_days), now).await
            }
            Condition::LimitShare { percent } => self.limit_shares(rule, percent, now).await,
            Condition::Jump { factor, least_requests } => {
                self.jumps(rule, u64::from(factor), least_requests, now, counted).await
            }
            Condition::RevokedKeyUsed => self.revoked(rule, now, counted).await,
            Condition::Spend { amount, days } => {
                let says = |one: &Counts| {
                    let more = one.spent > amount;
                    more.then(|| {
                        format!("{} was spent in {days} days, more than {amount}", one.spent)
                    })
                };
                self.counted(rule, DAY * u32::from(days), now, counted, says).await
            }
            Condition::ErrorRate { percent: least, window_minutes, least_requests } => {
                let says = |one: &Counts| {
                    let share = percent(one.errors, one.requests);
                    (one.requests >= least_requests && share >= u64::from(least)).then(|| {
                        format!(
                            "{share}% of {} requests in {window_minutes} minutes ended in errors",
                            one.requests
                        )
                    })
                };
                self.counted(rule, MINUTE * u32::from(window_minutes), now, counted, says).await
            }
            Condition::RefusalRate { percent: least, window_minutes, least_requests } => {
                let says = |one: &Counts| {
                    let share = percent(one.refusals, one.requests);
                    (one.requests >= least_requests && share >= u64::from(least)).then(|| {
                        format!(
                            "{share}% of {} requests in {window_minutes} minutes were refused",
                            one.requests
                        )
                    })
                };
                self.counted(rule, MINUTE * u32::from(window_minutes), now, counted, says).await
            }
            Condition::ManyRefusals { count, window_minutes } => {
                let says = |one: &Counts| {
                    (one.refusals >= count).then(|| {
                        format!(
                            "{} requests in {window_minutes} minutes were refused",
                            one.refusals
                        )
                    })
                };
                self.counted(rule, MINUTE * u32::from(window_minutes), now, counted, says).await
            }
        }
    }

    /// Whether the rule is asked of this organization, and of this key in it.
    fn concerns(rule: &AlertRule, organization: &OrganizationId, key: Option<KeyId>) -> bool {
        let here = rule.organization.as_ref().is_none_or(|own| own == organization);
        match rule.scope {
            Scope::Key { key: named } => here && key.is_none_or(|key| key == named),
            Scope::Organization | Scope::EachKey => here,
        }
    }

    /// Keys that are listed by the filter, and of which `says` has something to say.
    async fn keys(
        &self,
        rule: &AlertRule,
        filter: KeyFilter,
        says: impl Fn(&KeyRecord) -> Option<String>,
    ) -> Result<Vec<Finding>, StoreError> {
        let filter = KeyFilter { organization: rule.organization.clone(), ..filter };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let records = self.store.keys(&filter, Page { after, limit: HANDFUL }).await?;
            for record in &records {
                let key = &record.key;
                if Self::concerns(rule, &key.organization, Some(key.id))
                    && let Some(message) = says(record)
                {
                    found.push(finding(record, message));
                }
            }
            after = records.last().map(|record| record.key.id);
            if records.len() < HANDFUL as usize || found.len() >= MOST_FOUND {
                return Ok(found);
            }
        }
    }

    async fn old_secrets(
        &self,
        rule: &AlertRule,
        hours: u16,
        now: Timestamp,
    ) -> Result<Vec<Finding>, StoreError> {
        let filter = KeyFilter { state: Some(KeyState::Active), ..KeyFilter::default() };
        let late = HOUR * u32::from(hours);
        let says = |one: &KeyRecord| {
            let pairs = one.secrets.iter().zip(one.secrets.iter().skip(1));
            let mut old = pairs.filter(|(old, next)| {
                let good = old.expires_at.is_none_or(|end| end > now);
                let used = old.last_used_at.unwrap_or_default();
                good && used >= next.created_at.plus(late)
            });
            old.next().map(|(old, next)| {
                let (name, at) = (&one.key.name, next.created_at);
                format!(
                    "the secret {} of the key \"{name}\" was replaced at {at}, and is still used",
                    old.hint
                )
            })
        };
        self.keys(rule, filter, says).await
    }

    async fn new_networks(
        &mut self,
        rule: &AlertRule,
        learning: Duration,
        now: Timestamp,
    ) -> Result<Vec<Finding>, StoreError> {
        let mut found = Vec::new();
        for one in self.store.new_key_networks(now.minus(ONCE)).await? {
            if one.first_at == one.key_first_at || one.first_at.since(one.key_first_at) < learning {
                continue;
            }
            let Some(known) = self.known(one.key).await? else { continue };
            if Self::concerns(rule, &known.organization, Some(one.key)) {
                let name = &known.name;
                found.push(Finding {
                    message: format!(
                        "the key \"{name}\" is used from {}, where it never was",
                        one.network
                    ),
                    organization: known.organization,
                    subject: format!("{} {}", one.key, one.network),
                    key: Some(one.key),
                });
            }
        }
        Ok(found)
    }

    async fn limit_shares(
        &self,
        rule: &AlertRule,
        percent: u8,
        now: Timestamp,
    ) -> Result<Vec<Finding>, StoreError> {
        let shares = self.figures.limit_shares(percent, now).await?;
        let concerned = shares.into_iter().filter(|one| {
            Self::concerns(rule, &one.organization, one.key)
                && match rule.scope {
                    Scope::Organization => one.key.is_none(),
                    Scope::EachKey | Scope::Key { .. } => one.key.is_some(),
                }
        });
        Ok(concerned
            .map(|one| {
                let of =
                    one.key.map_or_else(|| one.organization.to_string(), |key| key.to_string());
                Finding {
                    message: format!("{}% of the limit `{}` is used", one.percent, one.limit),
                    subject: format!("{of} {}", one.limit),
                    organization: one.organization,
                    key: one.key,
                }
            })
            .collect())
    }

    /// What does not change of a key; `None` of one that is not there.
    async fn known(&mut self, key: KeyId) -> Result<Option<Known>, StoreError> {
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        match self.known.entry(key) {
            Entry::Occupied(known) => Ok(Some(known.get().clone())),
            Entry::Vacant(place) => {
                let Some(record) = self.store.key(key).await? else { return Ok(None) };
                let known = Known {
                    organization: record.key.organization,
                    name: record.key.name,
                    created_at: record.key.created_at,
                };
                Ok(Some(place.insert(known).clone()))
            }
        }
    }

    /// Figures by key, from `from` until `until`, minute by minute.
    async fn counts<'c>(
        &self,
        from: Timestamp,
        until: Timestamp,
        counted: &'c mut Counted,
    ) -> Result<&'c HashMap<KeyId, Counts>, StoreError> {
        match counted.entry((from.as_minutes(), until.as_minutes())) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(self.figures.counts(from, until).await?)),
        }
    }

    /// Those keys, or organizations, of whose figures `says` has something to say.
    async fn counted(
        &mut self,
        rule: &AlertRule,
        window: Duration,
        now: Timestamp,
        counted: &mut Counted,
        says: impl Fn(&Counts) -> Option<String>,
    ) -> Result<Vec<Finding>, StoreError> {
        // The present minute counts.
        let until = now.plus(MINUTE);
        let counts = self.counts(until.minus(window), until, counted).await?.clone();
        let mut sums: HashMap<(OrganizationId, Option<KeyId>), Counts> = HashMap::new();
        for (key, counts) in counts {
            let Some(known) = self.known(key).await? else { continue };
            if Self::concerns(rule, &known.organization, Some(key)) {
                let of = (rule.scope != Scope::Organization).then_some(key);
                sums.entry((known.organization, of)).or_default().add(&counts);
            }
        }
        let mut found = Vec::new();
        for ((organization, key), counts) in sums {
            let Some(message) = says(&counts) else { continue };
            let (subject, message) = match key {
                Some(key) => {
                    let name = self.known(key).await?.map(|known| known.name).unwrap_or_default();
                    (key.to_string(), format!("of the key \"{name}\", {message}"))
                }
                None => (organization.to_string(), message),
            };
            found.push(Finding { organization, subject, key, message });
        }
        Ok(found)
    }

    async fn jumps(
        &mut self,
        rule: &AlertRule,
        factor: u64,
        least: u64,
        now: Timestamp,
        counted: &mut Counted,
    ) -> Result<Vec<Finding>, StoreError> {
        let until = now.plus(MINUTE);
        let begin = until.minus(HOUR);
        let last = self.counts(begin, until, counted).await?.clone();
        let busy = last.into_iter().filter(|(_, counts)| counts.requests >= least);
        let busy: Vec<_> = busy.collect();
        if busy.is_empty() {
            return Ok(vec![]);
        }
        let history = self.counts(begin.minus(HOUR * USUAL_HOURS), begin, counted).await?.clone();
        let mut found = Vec::new();
        for (key, counts) in busy {
            let Some(known) = self.known(key).await? else { continue };
            let hours = begin.since(known.created_at).as_secs() / 3600;
            let hours = hours.min(u64::from(USUAL_HOURS));
            let before = history.get(&key).map_or(0, |counts| counts.requests);
            let usual = before.div_ceil(hours.max(1)).max(1);
            let is_jump = hours >= LEAST_HOURS && counts.requests >= usual.saturating_mul(factor);
            if is_jump && Self::concerns(rule, &known.organization, Some(key)) {
                let name = &known.name;
                found.push(Finding {
                    message: format!(
                        "the key \"{name}\" made {} requests in an hour, usually some {usual}",
                        counts.requests
                    ),
                    organization: known.organization,
                    subject: key.to_string(),
                    key: Some(key),
                });
            }
        }
        Ok(found)
    }

    async fn revoked(
        &mut self,
        rule: &AlertRule,
        now: Timestamp,
        counted: &mut Counted,
    ) -> Result<Vec<Finding>, StoreError> {
        let until = now.plus(MINUTE);
        let counts = self.counts(until.minus(ONCE), until, counted).await?.clone();
        let mut found = Vec::new();
        for (key, counts) in counts.into_iter().filter(|(_, counts)| counts.refusals > 0) {
            let Some(known) = self.known(key).await? else { continue };
            if !Self::concerns(rule, &known.organization, Some(key)) {
                continue;
            }
            // Whether it is revoked changes, so it is asked anew.
            let Some(record) = self.store.key(key).await? else { continue };
            if record.key.state == KeyState::Revoked {
                let name = &record.key.name;
                let count = counts.refusals;
                let message =
                    format!("the revoked key \"{name}\" was shown {count} times in an hour");
                found.push(finding(&record, message));
            }
        }
        Ok(found)
    }
}
