//! Listing keys, and showing one with what it was used for.

use std::time::Duration;

use keyward_api::{KeyDetailsView, KeyStateView, KeyView, Page};
use keyward_core::{
    id::{ApiName, KeyId, OrganizationId, UserId},
    key::{Environment, KeyState},
    member::{Right, Role},
    organization::OrganizationState,
    time::Timestamp,
};
use keyward_store::{
    Ending, KeyFilter, KeyRecord, Page as StorePage, UsageFilter, UsageGrain, Word,
};

use super::super::Control;
use crate::{context::Context, error::ControlError, propagation::in_force, views};

/// Keys that are read at once.
const MOST_READ: u32 = 1000;
const SECONDS_PER_DAY: u64 = 24 * 3600;

/// Which keys to list; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct KeyQuery {
    /// At this API.
    pub api: Option<ApiName>,
    /// Of this organization.
    pub organization: Option<OrganizationId>,
    /// In this state; active ones that have expired are expired.
    pub state: Option<KeyStateView>,
    /// Owned by this person.
    pub owner: Option<UserId>,
    /// Used for this.
    pub environment: Option<Environment>,
    /// With these words, or beginnings of words, on it; or the id of one.
    pub search: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Without a use for so many days, and older.
    pub unused_days: Option<u32>,
    /// Ending within so many days, or ended.
    pub ending_days: Option<u32>,
    /// Behind this one.
    pub after: Option<KeyId>,
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * SECONDS_PER_DAY)
}

impl KeyQuery {
    /// The key that is asked for by its id.
    fn asked_by_id(&self) -> Option<KeyId> {
        self.search.as_deref()?.trim().parse().ok()
    }

    fn filter(&self, now: Timestamp) -> KeyFilter {
        let words = self.search.as_deref().map(Word::asked).unwrap_or_default();
        let by_state = match self.state {
            Some(KeyStateView::Active) => Some(Ending::After(now)),
            Some(KeyStateView::Expired) => Some(Ending::By(now)),
            _ => None,
        };
        let by_days = self.ending_days.map(|within| Ending::By(now.plus(days(within))));
        KeyFilter {
            organization: self.organization.clone(),
            api: self.api.clone(),
            state: self.state.map(stored_state),
            owner: self.owner,
            environment: self.environment.clone(),
            words: self.tag.as_deref().map(Word::tag).into_iter().chain(words).collect(),
            ending: by_days.or(by_state),
            unused_since: self.unused_days.map(|unused| now.minus(days(unused))),
        }
    }
}

impl Control {
    /// Keys in the order they were made, `limit` (1 to 1,000) at most.
    pub async fn list_keys(
        &self,
        context: &Context,
        query: &KeyQuery,
        limit: u32,
    ) -> Result<Page<KeyView>, ControlError> {
        match &query.organization {
            Some(organization) => context.require(Right::ReadKeys, organization)?,
            None => context.require_operator()?,
        }
        let now = context.now;
        if let Some(id) = query.asked_by_id() {
            return self.listed_by_id(context, query, id).await;
        }
        let limit = limit.clamp(1, 1000);
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let filter = query.filter(now);
        let mut items = Vec::new();
        let (mut after, mut limit) = (query.after, limit);
        loop {
            let records = self.store.keys(&filter, StorePage { after, limit }).await?;
            let is_last = records.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            // What is not shown is passed over in long strides: a page of one must not ask the store for each.
            limit = MOST_READ;
            for record in &records {
                after = Some(record.key.id);
                if query.state.is_some_and(|state| state != views::key_state(&record.key, now)) {
                    continue;
                }
                items.push(views::key(record, &[], now));
                if items.len() == most {
                    return Ok(Page { items, next: Some(record.key.id.to_string()) });
                }
            }
            if is_last {
                if items.is_empty() && query.after.is_none() {
                    self.check_asked_for(query).await?;
                }
                return Ok(Page::whole(items));
            }
        }
    }

    async fn listed_by_id(
        &self,
        context: &Context,
        query: &KeyQuery,
        id: KeyId,
    ) -> Result<Page<KeyView>, ControlError> {
        let found = self.store.key(id).await?.filter(|record| {
            query.organization.as_ref().is_none_or(|wanted| *wanted == record.key.organization)
        });
        Ok(Page::whole(found.iter().map(|one| views::key(one, &[], context.now)).collect()))
    }

    /// That nothing was found may come from a name that nothing has. Asked only then: an API that is no longer configured
    /// may still have keys.
    async fn check_asked_for(&self, query: &KeyQuery) -> Result<(), ControlError> {
        if let Some(api) = &query.api {
            self.api(api)?;
        }
        if let Some(organization) = &query.organization {
            self.existing_organization(organization).await?;
        }
        Ok(())
    }

    /// One key with its secrets, their last uses, and its usage over all time.
    pub async fn show_key(
        &self,
        context: &Context,
        id: KeyId,
    ) -> Result<KeyDetailsView, ControlError> {
        let now = context.now;
        let record = self.seen_key(context, id).await?;
        let uses = self.store.secret_uses(id).await?;
        let mut filter = UsageFilter::minutes(0, now.as_minutes().saturating_add(2));
        filter.finest = UsageGrain::Day;
        filter.organization = Some(record.key.organization.to_string());
        filter.key = Some(id);
        let totals = self.store.usage(&filter).await?;
        let notes = self.notes(&record, now).await?;
        Ok(KeyDetailsView {
            key: views::key(&record, &uses, now),
            usage: totals.iter().map(views::usage).collect(),
            notes,
        })
    }

    async fn notes(&self, record: &KeyRecord, now: Timestamp) -> Result<Vec<String>, ControlError> {
        let key = &record.key;
        let mut notes = Vec::new();
        let organization = self.existing_organization(&key.organization).await?;
        if organization.state == OrganizationState::Suspended {
            notes.push(format!(
                "organization `{}` is suspended: none of its keys works until it is resumed",
                organization.id
            ));
        }
        let Some(api) = self.policy.api(key.api.as_str()) else {
            notes.push(format!(
                "API `{}` is not in the configuration: the key opens nothing",
                key.api
            ));
            return Ok(notes);
        };
        if views::key_state(key, now) != KeyStateView::Active {
            return Ok(notes);
        }
        notes.extend(still_used(record, now));
        let newest = record.secrets.last().map(|secret| secret.created_at);
        if let (Some(rotation), Some(made)) =
            (key.rotation.or(api.profile.issuance.rotation), newest)
            && rotation.due(made) <= now
        {
            notes.push(format!(
                "its secret is older than {} days: rotate it (`keyward keys rotate {}`)",
                rotation.after_days, key.id
            ));
        }
        notes.extend(self.narrowed(record));
        Ok(notes)
    }
}

impl Control {
    /// What its owner's role keeps a key from.
    fn narrowed(&self, record: &KeyRecord) -> Option<String> {
        let role = record.owner_role.map_or("no member", Role::as_str);
        let now = in_force(&self.policy, record);
        if now.state != record.key.state {
            return Some(format!("its owner is {role} here, who holds no keys: it is refused"));
        }
        let narrowed = now.permissions != record.key.permissions;
        narrowed.then(|| {
            let left = now.permissions.join(", ");
            format!("its owner is {role} here: it may `{left}` only")
        })
    }
}

/// Old secrets that will end soon and that somebody has used since they were replaced.
fn still_used(record: &KeyRecord, now: Timestamp) -> Vec<String> {
    let Some((newest, older)) = record.secrets.split_last() else { return vec![] };
    let used = older.iter().filter_map(|old| {
        let ends = old.expires_at.filter(|ends| *ends > now)?;
        let last = old.last_used_at.filter(|last| *last > newest.created_at)?;
        Some(format!(
            "the old secret {} ends at {ends} and was used at {last}: its user has not changed yet",
            old.id
        ))
    });
    used.collect()
}

const fn stored_state(state: KeyStateView) -> KeyState {
    match state {
        // That a key has expired follows from the time.
        KeyStateView::Active | KeyStateView::Expired => KeyState::Active,
        KeyStateView::Disabled => KeyState::Disabled,
        KeyStateView::Revoked => KeyState::Revoked,
    }
}
