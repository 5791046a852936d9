//! Rotating: a key gets a new secret while the old one is good for a time that was asked for, so that nobody who uses it is
//! cut off before they could change. Retiring ends that time early, once its last use says that nobody is left.

use std::time::Duration;

use keyward_api::KeyView;
use keyward_core::{
    id::{KeyId, SecretId, UserId},
    policy::Api,
    profile::IssuanceMode,
};
use keyward_store::{Change, StoreError};

use super::{super::Control, Issued};
use crate::{context::Context, error::ControlError, propagation::in_force, views};

/// An old secret should not outlive the reason it was replaced for.
const LONGEST_OVERLAP: Duration = Duration::from_secs(366 * 24 * 3600);

impl Control {
    /// Gives a key a new secret. Older ones end after `overlap`, or when they would have ended anyway.
    pub async fn rotate_key(
        &self,
        context: &Context,
        id: KeyId,
        overlap: Duration,
    ) -> Result<Issued, ControlError> {
        let before = self.writable_key(context, id).await?;
        context.require_within(&before.key)?;
        context.require_in_own_name(&before.key)?;
        let api = self.api(&before.key.api)?;
        check_sees_secret(context, api, before.key.owner)?;
        self.repeat(context)?;
        if overlap > LONGEST_OVERLAP {
            return Err(ControlError::invalid(
                "the old secret would be good for more than 366 days",
                "choose a shorter overlap; while it lasts, both secrets open the key",
            ));
        }
        if let Some(at) = before.key.expires_at.filter(|at| *at <= context.now) {
            return Err(ControlError::invalid(
                format!("key {id} expired at {at}, and a new secret would not change that"),
                "make a new key",
            ));
        }
        // Whoever rotates a key sees its new secret: it must not open more to them than they could have made.
        let may = in_force(&self.policy, &before);
        let organization = &before.key.organization;
        self.check_ceilings(context, api, organization, None, &may.permissions).await?;
        let minted = self.mint_secret(&before.key, api, context.now)?;
        let secret = minted.secret.id;
        let old_expires_at = context.now.plus(overlap);
        let record = before.rotated(minted.secret.clone(), old_expires_at, context.now)?;
        let change = Change::RotateKey { key: id, secret: minted.secret, old_expires_at };
        let issued = Issued { plaintext: minted.plaintext, secret, record };
        self.commit_issued(context, change, secret, issued).await
    }

    /// Ends one secret of a key now. One that somebody used after it was replaced is ended by `force` only. The last good one cannot be ended: that would be a key nobody can use, which is what
    /// disabling and revoking are for.
    pub async fn retire_secret(
        &self,
        context: &Context,
        id: KeyId,
        secret: SecretId,
        force: bool,
    ) -> Result<KeyView, ControlError> {
        let before = self.writable_key(context, id).await?;
        if !before.secrets.iter().any(|one| one.id == secret) {
            return Err(StoreError::NoSuchSecret(secret).into());
        }
        let change = Change::RetireSecret { secret, at: context.now, force };
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(views::key(&self.existing_key(id).await?, &[], context.now))
    }
}

/// Where keys are asked for and approved, nobody but who asked comes to see one.
fn check_sees_secret(
    context: &Context,
    api: &Api,
    owner: Option<UserId>,
) -> Result<(), ControlError> {
    let is_anothers = owner.is_some() && owner != context.answerable();
    let by_request = api.profile.issuance.mode == IssuanceMode::Request;
    match is_anothers && by_request && context.require_operator().is_err() {
        true => Err(ControlError::AnothersSecret(api.name.clone())),
        false => Ok(()),
    }
}
