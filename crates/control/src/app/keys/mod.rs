//! Keys: [`create`], [`read`], [`update`], [`state`] (disable, enable, revoke), [`rotate`] (rotate, retire), [`many`] at once,
//! [`receipt`]s of what was done, and who shows a management key ([`authenticate`]).

pub mod authenticate;
pub mod create;
pub mod many;
pub mod read;
pub mod receipt;
pub mod rotate;
pub mod state;
pub mod update;

#[cfg(test)]
mod tests;

pub use create::NewKey;
pub use many::Action;
pub use read::KeyQuery;

use keyward_core::{
    id::{KeyId, OrganizationId, UserId},
    key::{Key, Plaintext},
    member::Right,
    policy::Api,
    time::Timestamp,
};
use keyward_store::{Change, KeyRecord, StoreError};

use super::Control;
use crate::{
    context::Context,
    error::ControlError,
    mint::{self, Minted},
};

/// A key with a new secret. Here, and nowhere else, the secret stands in the clear: show it once and drop it.
#[derive(Clone)]
pub struct Issued {
    /// The secret in the clear.
    pub plaintext: Plaintext,
    /// The id of the secret.
    pub secret: keyward_core::id::SecretId,
    /// The key and all its secrets, as they are kept.
    pub record: KeyRecord,
}

impl Issued {
    /// The key.
    pub const fn key(&self) -> &Key {
        &self.record.key
    }

    /// As it is sent, once.
    pub fn view(&self, now: keyward_core::time::Timestamp) -> keyward_api::CreatedKey {
        keyward_api::CreatedKey {
            secret: keyward_api::PlaintextView::new(self.plaintext.expose().to_owned()),
            secret_id: self.secret.to_string(),
            key: crate::views::key(&self.record, &[], now),
        }
    }
}

impl Control {
    /// A key that the caller may see. One of another organization does not exist for them.
    pub(in crate::app) async fn seen_key(
        &self,
        context: &Context,
        id: KeyId,
    ) -> Result<KeyRecord, ControlError> {
        let record = self.existing_key(id).await?;
        let seen = context.require(Right::ReadKeys, &record.key.organization);
        seen.map(|()| record).map_err(|error| match error {
            ControlError::Store(StoreError::NoSuchOrganization(_)) => {
                StoreError::NoSuchKey(id).into()
            }
            error => error,
        })
    }

    /// A key that the caller may change: their own, or any of an organization whose keys they see to.
    async fn writable_key(&self, context: &Context, id: KeyId) -> Result<KeyRecord, ControlError> {
        let record = self.seen_key(context, id).await?;
        context.require(right_to(context, record.key.owner), &record.key.organization)?;
        Ok(record)
    }

    /// A secret of a key, which ends by itself where its rotation is required.
    pub(in crate::app) fn mint_secret(
        &self,
        key: &Key,
        api: &Api,
        now: Timestamp,
    ) -> Result<Minted, ControlError> {
        let mut minted = mint::secret(key.id, &api.profile.key_format, &self.peppers, now)?;
        minted.secret.expires_at = secret_end(key, api, now);
        Ok(minted)
    }

    /// What a member makes, and what a member holds, is within what their role lets keys be. Where a role changes later, the data
    /// plane narrows the keys.
    pub(in crate::app) async fn check_ceilings(
        &self,
        context: &Context,
        api: &Api,
        organization: &OrganizationId,
        owner: Option<UserId>,
        permissions: &[String],
    ) -> Result<(), ControlError> {
        let caller = context.role_in(organization);
        let owner = match owner {
            Some(owner) if Some(owner) != context.user() => {
                let known = self.store.user(owner).await?;
                let places = known.map(|known| known.memberships).unwrap_or_default();
                places.iter().find(|place| place.organization == *organization).map(|p| p.role)
            }
            _ => None,
        };
        let vocabulary = &api.profile.vocabulary;
        let wanted = vocabulary.grant(permissions.iter().map(String::as_str));
        for role in [caller, owner].into_iter().flatten() {
            let Some(ceiling) = api.profile.ceiling(role) else { continue };
            let beyond = permissions
                .iter()
                .find(|name| vocabulary.get(name).is_some_and(|granted| !ceiling.covers(granted)));
            if let (false, Some(beyond)) = (ceiling.covers(wanted), beyond) {
                return Err(ControlError::BeyondRole { role, beyond: beyond.clone() });
            }
        }
        Ok(())
    }

    /// Commits the change that a key with its new secret is the answer to.
    pub(in crate::app) async fn commit_issued(
        &self,
        context: &Context,
        change: Change,
        made: impl std::fmt::Display,
        mut issued: Issued,
    ) -> Result<Issued, ControlError> {
        let (mut shown, now) = (issued.clone(), context.now);
        let answer = move |revision| {
            shown.record.revision = revision;
            shown.view(now)
        };
        issued.record.revision = self.commit_answering(context, change, made, answer).await?;
        Ok(issued)
    }

    async fn existing_key(&self, id: KeyId) -> Result<KeyRecord, ControlError> {
        Ok(self.store.key(id).await?.ok_or(StoreError::NoSuchKey(id))?)
    }
}

/// When a secret that a key gets now ends, where it must be replaced.
pub(in crate::app) fn secret_end(key: &Key, api: &Api, now: Timestamp) -> Option<Timestamp> {
    let rotation = key.rotation.or(api.profile.issuance.rotation);
    rotation.filter(|one| one.required).map(|one| one.due(now))
}

/// What it takes to make or change a key of this owner's.
fn right_to(context: &Context, owner: Option<UserId>) -> Right {
    match (context.answerable(), owner) {
        (Some(user), Some(owner)) if user == owner => Right::WriteOwnKeys,
        _ => Right::WriteKeys,
    }
}
