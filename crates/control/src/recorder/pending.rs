//! What waits to be written, merged; and how it stays bounded without losing a request.

use hashbrown::HashMap;
use keyward_core::{
    id::{KeyId, SecretId},
    time::Timestamp,
    usage::{
        Exposure, LastUse, Latencies, OTHER, Upgrade, UsageBatch, UsageRow, UsageScope, UsageSums,
    },
};
use keyward_store::in_turns;

use super::{Writing, models::Models};

/// So many sums are told apart in memory. Beyond, requests are counted more coarsely.
pub(super) const MOST_SCOPES: usize = 200_000;
/// Room beyond that for what has lost route and model, and again for what has lost its key as well.
const ROOM: usize = MOST_SCOPES / 4;
/// Addresses that are told of each secret, lest one that is rarely used from is lost beside others.
const MOST_ADDRESSES: usize = 4;
const MINUTES_PER_HOUR: u64 = 60;
/// Rows that are moved before others get a chance: some hundred microseconds.
const AT_ONCE: usize = 256;

/// What waits to be written, merged.
#[derive(Default)]
pub(super) struct Pending {
    rows: HashMap<UsageScope, (UsageSums, Latencies)>,
    last_uses: HashMap<SecretId, Vec<LastUse>>,
    exposures: HashMap<KeyId, Exposure>,
    upgrades: HashMap<SecretId, Upgrade>,
    models: Models,
    /// Requests that were counted more coarsely than they were told, for want of room.
    coarsened: u64,
    /// When the first of the usage was told.
    told_at: Option<Timestamp>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.last_uses.is_empty()
            && self.exposures.is_empty()
            && self.upgrades.is_empty()
    }

    /// Whether there is more than last uses, which can wait.
    pub(super) fn presses(&self) -> bool {
        !(self.rows.is_empty() && self.exposures.is_empty() && self.upgrades.is_empty())
    }

    /// Whether a key was seen in the clear: that does not wait.
    pub(super) fn is_urgent(&self) -> bool {
        !self.exposures.is_empty()
    }

    /// When the first of the usage that waits was told.
    pub(super) const fn told_at(&self) -> Option<Timestamp> {
        self.told_at
    }

    /// Takes a batch in, now. Every request of it is counted, whatever room there is.
    pub(super) fn add(&mut self, batch: UsageBatch, now: Timestamp) {
        if !batch.rows.is_empty() {
            self.told_at.get_or_insert(now);
        }
        in_turns(AT_ONCE, &batch.rows).for_each(|row| self.models.learn(&row.scope));
        for UsageRow { scope, sums, latencies } in in_turns(AT_ONCE, batch.rows) {
            let scope = UsageScope { model: self.models.told(&scope), ..scope };
            let scope = self.with_room(scope, sums.requests);
            let (known, slow) = self.rows.entry(scope).or_default();
            known.add(&sums);
            slow.merge(&latencies);
        }
        for last in in_turns(AT_ONCE, batch.last_uses) {
            let known = self.last_uses.entry(last.secret).or_default();
            let same = known.iter().position(|one| one.from == last.from);
            let place = same.or((known.len() >= MOST_ADDRESSES).then_some(0));
            match place.and_then(|place| known.get_mut(place)) {
                Some(known) => {
                    let requests = known.requests.saturating_add(last.requests);
                    let newest = if known.at <= last.at { last } else { *known };
                    *known = LastUse { requests, ..newest };
                }
                None => known.push(last),
            }
        }
        for seen in batch.exposures {
            let known = self.exposures.entry(seen.key).or_insert(seen);
            known.disable |= seen.disable;
        }
        // Told anew as long as the secret is used: what finds no room is not lost.
        let room = MOST_SCOPES.saturating_sub(self.upgrades.len());
        self.upgrades.extend(batch.upgrades.into_iter().take(room).map(|one| (one.secret, one)));
    }

    /// The scope, or the finest coarser one there is room for. What is left at the end is an hour's status and reason.
    fn with_room(&mut self, scope: UsageScope, requests: u64) -> UsageScope {
        let fits = |scope: &UsageScope, most: usize| {
            self.rows.len() < most || self.rows.contains_key(scope)
        };
        if fits(&scope, MOST_SCOPES) {
            return scope;
        }
        self.coarsened = self.coarsened.saturating_add(requests);
        let model = if scope.model.is_empty() { scope.model } else { OTHER.into() };
        let of_key = UsageScope { route: OTHER.into(), model, ..scope };
        if fits(&of_key, MOST_SCOPES + ROOM) {
            return of_key;
        }
        let of_organization = UsageScope { key: None, api: OTHER.into(), ..of_key };
        if fits(&of_organization, MOST_SCOPES + 2 * ROOM) {
            return of_organization;
        }
        UsageScope {
            minute: of_organization.minute - of_organization.minute % MINUTES_PER_HOUR,
            status: of_organization.status,
            reason: of_organization.reason,
            api: OTHER.into(),
            route: OTHER.into(),
            ..UsageScope::default()
        }
    }

    /// How many requests were counted more coarsely since this was last asked.
    pub(super) fn take_coarsened(&mut self) -> u64 {
        std::mem::take(&mut self.coarsened)
    }

    /// Moves what there is to where it is written from; usage only when the last is written, so that nothing is overtaken for ever.
    pub(super) fn hand_over(&mut self, writing: &mut Writing, with_last_uses: bool) {
        for (key, exposure) in self.exposures.drain() {
            let known = writing.exposures.entry(key).or_insert(exposure);
            known.disable |= exposure.disable;
        }
        writing.upgrades.extend(self.upgrades.drain());
        if writing.rows.is_empty() {
            writing.told_at = self.told_at.take();
            let rows = self.rows.drain();
            let row = |(scope, (sums, latencies))| UsageRow { scope, sums, latencies };
            writing.rows.extend(in_turns(AT_ONCE, rows.map(row)));
        }
        if writing.last_uses.is_empty() && with_last_uses {
            let last = self.last_uses.drain().flat_map(|(_, last)| last);
            writing.last_uses.extend(in_turns(AT_ONCE, last));
            // In the table's order: a handful of neighbours is a few pages to write, one of strangers is hundreds.
            writing.last_uses.sort_unstable_by_key(|last| last.secret);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(number: u128, organization: &str) -> UsageBatch {
        let scope = UsageScope {
            minute: 61,
            organization: organization.into(),
            api: "main".into(),
            route: "/v1/x".into(),
            key: Some(KeyId::from_bits(number.to_be_bytes())),
            model: "small".into(),
            status: 200,
            reason: None,
        };
        let sums = UsageSums { requests: 1, bytes_in: 3, ..UsageSums::default() };
        let mut latencies = Latencies::default();
        latencies.add(100);
        let rows = vec![UsageRow { scope, sums, latencies }];
        UsageBatch { rows, ..UsageBatch::default() }
    }

    #[test]
    fn an_address_beside_others_is_told_and_all_requests_are_counted_once() {
        let mut pending = Pending::default();
        let secret = SecretId::from_bits([1; 16]);
        let told = |second: u64, last: u8| {
            let (at, from) = (Timestamp::from_secs(second), [192, 0, 2, last].into());
            let last_uses = vec![LastUse { secret, at, from, requests: 10 }];
            UsageBatch { last_uses, ..UsageBatch::default() }
        };
        for second in 0..50 {
            pending.add(told(second, 1), Timestamp::from_secs(1));
        }
        pending.add(told(25, 2), Timestamp::from_secs(1));
        for address in 3..200 {
            pending.add(told(100 + u64::from(address), address), Timestamp::from_secs(1));
        }
        let mut writing = Writing::default();
        pending.hand_over(&mut writing, true);
        let uses = &writing.last_uses;
        assert_eq!(uses.len(), MOST_ADDRESSES);
        assert!(uses.iter().any(|one| one.from == std::net::IpAddr::from([192, 0, 2, 2])));
        assert_eq!(uses.iter().map(|one| one.requests).sum::<u64>(), 10 * (50 + 1 + 197));
        assert_eq!(uses.iter().map(|one| one.at).max(), Some(Timestamp::from_secs(299)));
    }

    #[test]
    fn where_room_ends_requests_are_counted_more_coarsely_and_none_is_dropped() {
        let mut pending = Pending::default();
        let many = MOST_SCOPES + 3 * ROOM;
        for number in 0..many {
            pending.add(told(number as u128, &format!("org{number}")), Timestamp::from_secs(1));
        }
        // One that is known finds its place, however full it is.
        pending.add(told(0, "org0"), Timestamp::from_secs(1));
        assert_eq!(pending.take_coarsened() as usize, many - MOST_SCOPES);
        let mut writing = Writing::default();
        pending.hand_over(&mut writing, true);
        assert!(writing.rows.len() <= MOST_SCOPES + 2 * ROOM + 1);
        let sum = |of: &dyn Fn(&UsageRow) -> u64| writing.rows.iter().map(of).sum::<u64>();
        assert_eq!(sum(&|row| row.sums.requests), many as u64 + 1);
        assert_eq!(sum(&|row| row.sums.bytes_in), 3 * (many as u64 + 1));
        assert_eq!(sum(&|row| row.latencies.total()), many as u64 + 1);
        let of = |wanted: &dyn Fn(&UsageScope) -> bool| {
            let found = writing.rows.iter().filter(|row| wanted(&row.scope));
            found.map(|row| row.sums.requests).sum::<u64>() as usize
        };
        assert_eq!(of(&|scope| &*scope.route == "/v1/x"), MOST_SCOPES + 1);
        assert_eq!(of(&|scope| &*scope.route == OTHER && scope.key.is_some()), ROOM);
        assert_eq!(of(&|scope| scope.key.is_none() && !scope.organization.is_empty()), ROOM);
        assert_eq!(of(&|scope| scope.minute == 60 && scope.organization.is_empty()), ROOM);
    }
}
