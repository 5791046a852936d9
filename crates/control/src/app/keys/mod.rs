//! Keys: [`create`], [`read`], [`state`] (disable, enable, revoke), [`rotate`] (rotate, retire), and who shows a
//! management key ([`authenticate`]).

pub mod authenticate;
pub mod create;
pub mod read;
pub mod rotate;
pub mod state;

#[cfg(test)]
mod tests;

pub use create::NewKey;
pub use read::KeyQuery;

use keyward_core::{
    id::{KeyId, UserId},
    key::{Key, Plaintext},
    member::Right,
};
use keyward_store::{KeyRecord, StoreError};

use super::Control;
use crate::{context::Context, error::ControlError};

/// A key with a new secret. Here, and nowhere else, the secret stands in the clear: show it once and drop it.
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
    async fn seen_key(&self, context: &Context, id: KeyId) -> Result<KeyRecord, ControlError> {
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

    async fn existing_key(&self, id: KeyId) -> Result<KeyRecord, ControlError> {
        Ok(self.store.key(id).await?.ok_or(StoreError::NoSuchKey(id))?)
    }
}

/// What it takes to make or change a key of this owner's.
fn right_to(context: &Context, owner: Option<UserId>) -> Right {
    match (context.answerable(), owner) {
        (Some(user), Some(owner)) if user == owner => Right::WriteOwnKeys,
        _ => Right::WriteKeys,
    }
}
