//! Disabling, enabling, revoking. Disabled keys can come back, revoked ones cannot.

use keyward_api::KeyView;
use keyward_core::{id::KeyId, key::KeyState};
use keyward_store::Change;

use super::super::Control;
use crate::{context::Context, error::ControlError, views};

impl Control {
    /// Lets a key rest until it is enabled.
    pub async fn disable_key(&self, context: &Context, id: KeyId) -> Result<KeyView, ControlError> {
        self.set_key_state(context, id, KeyState::Disabled).await
    }

    /// Lets a disabled key be used again.
    pub async fn enable_key(&self, context: &Context, id: KeyId) -> Result<KeyView, ControlError> {
        self.set_key_state(context, id, KeyState::Active).await
    }

    /// Ends a key for good. Its name is free again.
    pub async fn revoke_key(&self, context: &Context, id: KeyId) -> Result<KeyView, ControlError> {
        self.set_key_state(context, id, KeyState::Revoked).await
    }

    async fn set_key_state(
        &self,
        context: &Context,
        id: KeyId,
        state: KeyState,
    ) -> Result<KeyView, ControlError> {
        let before = self.writable_key(context, id).await?;
        if state == KeyState::Active {
            context.require_within(&before.key)?;
        }
        let change = Change::SetKeyState { key: id, state };
        self.store.commit(&context.actor, context.now, change).await?;
        let record = self.existing_key(id).await?;
        Ok(views::key(&record, &[], context.now))
    }
}
