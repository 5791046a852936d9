//! Of what a rule holds now.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use keyward_core::{
    alert::{AlertRule, Condition, Scope},
    id::{KeyId, OrganizationId},
    key::KeyState,
    time::Timestamp,
};
use keyward_store::{Ending, KeyFilter, KeyNetwork, KeyRecord, Page, Store, StoreError};

use super::{
    Finding, MOST_FOUND,
    figures::{Counts, Figures, LimitShare, OfKeys},
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTES_PER_HOUR: u64 = 60;
const MINUTES_PER_DAY: u64 = 24 * 60;
/// What happened once stays raised for so long.
const ONCE: Duration = HOUR;
/// The hours that say what is usual, and how many of them there must be.
const USUAL_HOURS: u64 = 168;
const LEAST_HOURS: u64 = 24;
/// Keys that are read at once.
const HANDFUL: u32 = 500;

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

/// Whether the rule is asked of this key.
fn concerns(rule: &AlertRule, key: KeyId) -> bool {
    match rule.scope {
        Scope::Key { key: named } => key == named,
        Scope::Organization | Scope::EachKey => true,
    }
}

/// Windows of so many minutes, of which each minute from `since` until `now`, with both, is in one; the newest first.
fn windows(minutes: u64, since: u64, now: u64) -> Vec<(u64, u64)> {
    let (mut windows, mut until) = (Vec::new(), now.saturating_add(1));
    loop {
        let from = until.saturating_sub(minutes.max(1));
        windows.push((from, until));
        if from <= since {
            return windows;
        }
        until = from;
    }
}

type ByOrganization<T> = Arc<HashMap<OrganizationId, Vec<T>>>;

/// What is asked once a look, for all organizations.
#[derive(Default)]
pub(super) struct Shared {
    networks: Option<ByOrganization<KeyNetwork>>,
    shares: Option<ByOrganization<LimitShare>>,
}

fn by_organization<T>(all: Vec<T>, of: impl Fn(&T) -> &OrganizationId) -> ByOrganization<T> {
    let mut grouped: HashMap<OrganizationId, Vec<T>> = HashMap::new();
    all.into_iter().for_each(|one| grouped.entry(of(&one).clone()).or_default().push(one));
    Arc::new(grouped)
}

/// A look at the rules of one organization, or of who runs this Keyward at all.
pub(super) struct Look<'l> {
    store: &'l dyn Store,
    figures: &'l dyn Figures,
    owner: Option<&'l OrganizationId>,
    /// The last minute that was not looked at as a whole before.
    since: u64,
    pub(super) now: Timestamp,
    /// Figures by key, over the minutes from the one to the other.
    counted: HashMap<(u64, u64), Arc<OfKeys>>,
    shared: &'l mut Shared,
}

impl<'l> Look<'l> {
    pub(super) fn new(
        store: &'l dyn Store,
        figures: &'l dyn Figures,
        owner: Option<&'l OrganizationId>,
        (since, now): (Timestamp, Timestamp),
        shared: &'l mut Shared,
    ) -> Self {
        let counted = HashMap::new();
        Self { store, figures, owner, since: since.as_minutes(), now, counted, shared }
    }

    /// Of what the rule holds now.
    pub(super) async fn findings(&mut self, rule: &AlertRule) -> Result<Vec<Finding>, StoreError> {
        match rule.condition {
            Condition::KeyUnused { days } => {
                let filter = KeyFilter {
                    state: Some(KeyState::Active),
                    ending: Some(Ending::After(self.now)),
                    unused_since: Some(self.now.minus(DAY * u32::from(days))),
                    ..KeyFilter::default()
                };
                let says = |one: &KeyRecord| {
                    Some(format!("the key \"{}\" was not used for {days} days", one.key.name))
                };
                self.keys(rule, filter, says).await
            }
            Condition::KeyExpiring { days } => {
                let now = self.now;
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
            Condition::OldSecretInUse { hours } => self.old_secrets(rule, hours).await,
            Condition::NewNetwork { learning_days } => {
                self.new_networks(rule, DAY * u32::from(learning_days)).await
            }
            Condition::LimitShare { percent } => Ok(self.limit_shares(rule, percent)),
            Condition::Jump { factor, least_requests } => {
                self.jumps(rule, u64::from(factor), least_requests).await
            }
            Condition::RevokedKeyUsed => self.revoked(rule).await,
            Condition::Spend { amount, days } => {
                let says = |one: &Counts| {
                    let more = one.spent > amount;
                    more.then(|| {
                        format!("{} was spent in {days} days, more than {amount}", one.spent)
                    })
                };
                self.counted(rule, MINUTES_PER_DAY * u64::from(days), says).await
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
                self.counted(rule, u64::from(window_minutes), says).await
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
                self.counted(rule, u64::from(window_minutes), says).await
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
                self.counted(rule, u64::from(window_minutes), says).await
            }
        }
    }

    /// Keys that are listed by the filter, and of which `says` has something to say.
    async fn keys(
        &self,
        rule: &AlertRule,
        filter: KeyFilter,
        says: impl Fn(&KeyRecord) -> Option<String>,
    ) -> Result<Vec<Finding>, StoreError> {
        let filter = KeyFilter { organization: self.owner.cloned(), ..filter };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let records = self.store.keys(&filter, Page { after, limit: HANDFUL }).await?;
            for record in records.iter().filter(|record| concerns(rule, record.key.id)) {
                let key = &record.key;
                found.extend(says(record).map(|message| Finding {
                    organization: key.organization.clone(),
                    subject: key.id.to_string(),
                    key: Some(key.id),
                    message,
                    still: true,
                }));
            }
            after = records.last().map(|record| record.key.id);
            if records.len() < HANDFUL as usize || found.len() >= MOST_FOUND {
                return Ok(found);
            }
        }
    }

    async fn old_secrets(&self, rule: &AlertRule, hours: u16) -> Result<Vec<Finding>, StoreError> {
        let filter = KeyFilter { state: Some(KeyState::Active), ..KeyFilter::default() };
        let (late, now) = (HOUR * u32::from(hours), self.now);
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

    /// Those of the organization; without one, all.
    fn own<T: Clone>(&self, all: &HashMap<OrganizationId, Vec<T>>) -> Vec<T> {
        match self.owner {
            Some(owner) => all.get(owner).cloned().unwrap_or_default(),
            None => all.values().flatten().cloned().collect(),
        }
    }

    async fn new_networks(
        &mut self,
        rule: &AlertRule,
        learning: Duration,
    ) -> Result<Vec<Finding>, StoreError> {
        let all = match &self.shared.networks {
            Some(all) => all.clone(),
            None => {
                let found = self.store.new_key_networks(self.now.minus(ONCE)).await?;
                let all = by_organization(found, |one| &one.organization);
                self.shared.networks.insert(all).clone()
            }
        };
        let new = self.own(&all).into_iter().filter(|one| {
            concerns(rule, one.key)
                && one.first_at != one.key_first_at
                && one.first_at.since(one.key_first_at) >= learning
        });
        let finding = |one: KeyNetwork| Finding {
            message: format!(
                "the key \"{}\" is used from {}, where it never was",
                one.name, one.network
            ),
            subject: format!("{} {}", one.key, one.network),
            organization: one.organization,
            key: Some(one.key),
            still: true,
        };
        Ok(new.map(finding).collect())
    }

    fn limit_shares(&mut self, rule: &AlertRule, percent: u8) -> Vec<Finding> {
        let figures = self.figures;
        let shares = self.shared.shares.get_or_insert_with(|| {
            by_organization(figures.limit_shares(), |one| &one.organization)
        });
        let shares = shares.clone();
        let concerned = self.own(&shares).into_iter().filter(|one| {
            let here = match rule.scope {
                Scope::Organization => one.key.is_none(),
                Scope::EachKey | Scope::Key { .. } => {
                    one.key.is_some_and(|key| concerns(rule, key))
                }
            };
            here && one.percent >= percent
        });
        let finding = |one: LimitShare| {
            let of = one.key.map_or_else(|| one.organization.to_string(), |key| key.to_string());
            // Limits of one name may stand at several places.
            let counter = u128::from_be_bytes(one.counter.to_bytes());
            let (limit, allows) = (one.limit, one.allows);
            Finding {
                message: format!("{}% of the limit `{limit}` ({allows}) is used", one.percent),
                subject: format!("{of} {limit} {counter:032x}"),
                organization: one.organization,
                key: one.key,
                still: true,
            }
        };
        concerned.map(finding).collect()
    }

    /// Figures by key, from one minute until before another.
    async fn counts(&mut self, from: u64, until: u64) -> Result<Arc<OfKeys>, StoreError> {
        match self.counted.entry((from, until)) {
            Entry::Occupied(there) => Ok(there.get().clone()),
            Entry::Vacant(place) => {
                let counts = self.figures.counts(self.owner, from, until).await?;
                Ok(place.insert(Arc::new(counts)).clone())
            }
        }
    }

    /// What is said of keys, with what people call them. Of what is not there nothing is said.
    async fn of_keys(
        &self,
        said: impl IntoIterator<Item = (KeyId, String, bool)>,
    ) -> Result<Vec<Finding>, StoreError> {
        let mut found = Vec::new();
        for (id, says, still) in said.into_iter().take(MOST_FOUND) {
            let Some(record) = self.store.key(id).await? else { continue };
            found.push(Finding {
                message: says.replacen("{name}", &record.key.name, 1),
                organization: record.key.organization,
                subject: id.to_string(),
                key: Some(id),
                still,
            });
        }
        Ok(found)
    }

    /// Those keys, or organizations, of whose figures `says` has something to say, over so many minutes.
    async fn counted(
        &mut self,
        rule: &AlertRule,
        minutes: u64,
        says: impl Fn(&Counts) -> Option<String>,
    ) -> Result<Vec<Finding>, StoreError> {
        let mut said: BTreeMap<(OrganizationId, Option<KeyId>), (String, bool)> = BTreeMap::new();
        let mut still = true;
        for (from, until) in windows(minutes, self.since, self.now.as_minutes()) {
            let counts = self.counts(from, until).await?;
            let mut sums: HashMap<(&OrganizationId, Option<KeyId>), Counts> = HashMap::new();
            for ((organization, key), counts) in &*counts {
                if concerns(rule, *key) {
                    let of = (rule.scope != Scope::Organization).then_some(*key);
                    sums.entry((organization, of)).or_default().add(counts);
                }
            }
            for ((organization, key), counts) in sums {
                if let Some(message) = says(&counts) {
                    said.entry((organization.clone(), key)).or_insert((message, still));
                }
            }
            // The other windows are older.
            still = false;
        }
        if rule.scope == Scope::Organization {
            let said = said.into_iter().map(|((organization, _), (message, still))| {
                let subject = organization.to_string();
                Finding { organization, subject, key: None, message, still }
            });
            return Ok(said.collect());
        }
        let of_keys = said.into_iter().filter_map(|((_, key), (message, still))| {
            Some((key?, format!("of the key \"{{name}}\", {message}"), still))
        });
        self.of_keys(of_keys).await
    }

    async fn jumps(
        &mut self,
        rule: &AlertRule,
        factor: u64,
        least: u64,
    ) -> Result<Vec<Finding>, StoreError> {
        let until = self.now.as_minutes() + 1;
        let begin = until.saturating_sub(MINUTES_PER_HOUR);
        let last = self.counts(begin, until).await?;
        let busy = last
            .iter()
            .filter(|((_, key), counts)| counts.requests >= least.max(1) && concerns(rule, *key));
        let busy: BTreeMap<_, _> = busy.collect();
        if busy.is_empty() {
            return Ok(vec![]);
        }
        let usual_begin = begin.saturating_sub(MINUTES_PER_HOUR * USUAL_HOURS);
        let history = self.counts(usual_begin, begin).await?;
        let mut said = Vec::new();
        for (of, counts) in busy {
            let before = history.get(of).map_or(0, |counts| counts.requests);
            let is_jump = |hours: u64| {
                let usual = before.div_ceil(hours.max(1)).max(1);
                (counts.requests >= usual.saturating_mul(factor)).then_some(usual)
            };
            // Over fewer hours the usual one is no smaller: most keys need not be read.
            if is_jump(USUAL_HOURS).is_none() {
                continue;
            }
            let Some(record) = self.store.key(of.1).await? else { continue };
            let hours = begin.saturating_sub(record.key.created_at.as_minutes()) / MINUTES_PER_HOUR;
            let Some(usual) = is_jump(hours.min(USUAL_HOURS)).filter(|_| hours >= LEAST_HOURS)
            else {
                continue;
            };
            let requests = counts.requests;
            let says = format!(
                "the key \"{{name}}\" made {requests} requests in an hour, usually some {usual}"
            );
            said.push((of.1, says, true));
        }
        self.of_keys(said).await
    }

    async fn revoked(&mut self, rule: &AlertRule) -> Result<Vec<Finding>, StoreError> {
        let until = self.now.as_minutes() + 1;
        let counts = self.counts(until.saturating_sub(MINUTES_PER_HOUR), until).await?;
        let shown = counts
            .iter()
            .filter(|((_, key), counts)| counts.revoked > 0 && concerns(rule, *key))
            .map(|((_, key), counts)| (*key, counts.revoked));
        let shown: BTreeMap<KeyId, u64> = shown.collect();
        let says = |(key, times): (KeyId, u64)| {
            (key, format!("the revoked key \"{{name}}\" was shown {times} times in an hour"), true)
        };
        self.of_keys(shown.into_iter().map(says)).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_minute_since_the_last_look_is_in_some_window(
            minutes in 1..1500_u64, since in 1000..2000_u64, late in 0..61_u64,
        ) {
            let now = since + late;
            let windows = windows(minutes, since, now);
            prop_assert_eq!(windows[0], ((now + 1).saturating_sub(minutes), now + 1));
            for minute in since..=now {
                prop_assert!(windows.iter().any(|(from, until)| (from..until).contains(&&minute)));
            }
            prop_assert!(windows.len() as u64 <= late / minutes + 1);
        }
    }
}
