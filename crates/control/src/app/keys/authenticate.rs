//! Who shows a management key: checked as strictly as at a gateway, from the store, so that a revocation is in force at the next request.
//!
//! Rejected: to look it up in the snapshot that the gateway decides from. It is some milliseconds behind, it is there only where
//! a gateway runs, and a management request reads the store anyway.

use std::{net::IpAddr, time::Duration};

use keyward_core::{
    rights::MANAGEMENT,
    time::Timestamp,
    usage::{LastUse, UsageBatch},
};
use keyward_store::{Interface, ShownKey, StoreError};

use super::super::Control;
use crate::{context::Context, error::ControlError};

/// That a key is used is noted this often.
const USED_EVERY: Duration = Duration::from_secs(60);

impl Control {
    /// The program that shows this key from this address: `None` where it is no management key, an error where the key is not good.
    pub async fn authenticate_key(
        &self,
        shown: &str,
        from: IpAddr,
        interface: Interface,
        now: Timestamp,
    ) -> Result<Option<Context>, ControlError> {
        let Some(api) = self.policy.api(MANAGEMENT) else { return Ok(None) };
        if api.profile.key_format.check(shown.as_bytes()).is_err() {
            return Ok(None);
        }
        let digests: Vec<_> =
            self.peppers.newest_first().map(|pepper| pepper.digest(shown.as_bytes())).collect();
        let known = self.store.shown_key(&digests).await?;
        let Some(known) = known.filter(|known| known.record.key.api == api.name) else {
            return Ok(None);
        };
        let key = known.record.in_force();
        key.may_be_used_from(&known.secret, known.organization, from, now)
            .map_err(StoreError::KeyNotGood)?;
        self.note_use(&known, from, now).await;
        Ok(Some(Context::key(known.record, interface, now)))
    }

    async fn note_use(&self, known: &ShownKey, from: IpAddr, now: Timestamp) {
        let last = known.secret.last_used_at;
        if last.is_some_and(|last| now.since(last) < USED_EVERY) {
            return;
        }
        let used = LastUse { secret: known.secret.id, at: now, from, requests: 1 };
        let batch = UsageBatch { last_uses: vec![used], ..UsageBatch::default() };
        if let Err(error) = self.store.record(&batch).await {
            // Who may only look can still do that while nothing can be written.
            let key = known.record.key.id;
            tracing::warn!(%error, %key, "that a management key was used could not be noted");
        }
    }
}
