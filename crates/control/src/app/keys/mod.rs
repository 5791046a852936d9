//! Keys: [`create`], [`read`], [`state`] (disable, enable, revoke), [`rotate`] (rotate, retire).

pub mod create;
pub mod read;
pub mod rotate;
pub mod state;

#[cfg(test)]
mod tests;

pub use create::NewKey;
pub use read::KeyQuery;

use keyward_core::{
    id::KeyId,
    key::{Key, Plaintext},
};
use keyward_store::{KeyRecord, StoreError};

use super::Control;
use crate::error::ControlError;

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
    async fn existing_key(&self, id: KeyId) -> Result<KeyRecord, ControlError> {
        Ok(self.store.key(id).await?.ok_or(StoreError::NoSuchKey(id))?)
    }
}
