//! Claiming: whoever asked gets the key, once. It is made here, so nobody who decided can have seen it.

use keyward_core::{
    id::{KeyId, KeyRequestId},
    key::{Key, KeyState, Labels},
    member::Right,
};
use keyward_store::{Change, KeyRecord, KeyRequestChange, Revision, StoreError};

use super::super::{
    Control,
    keys::{Issued, create::permissions},
};
use crate::{context::Context, error::ControlError, mint};

impl Control {
    /// Makes the key that was granted. Whoever asked must still have a role that holds keys.
    pub async fn claim_key(
        &self,
        context: &Context,
        id: KeyRequestId,
    ) -> Result<Issued, ControlError> {
        let request = self.seen_request(context, id).await?;
        if context.user() != Some(request.requester) {
            return Err(StoreError::NotTheRequester(id).into());
        }
        context.require(Right::WriteOwnKeys, &request.organization)?;
        self.repeat(context)?;
        let closed = StoreError::KeyRequestClosed { request: id, state: request.state.as_str() };
        let terms = request.granted.ok_or(closed)?.terms;
        let api = self.api(&request.api)?;
        // The profile may have changed meanwhile.
        let expires_at = terms.expires_at(context.now);
        let permissions = permissions(api, &terms.permissions, None)?;
        let owner = Some(request.requester);
        self.check_ceilings(context, api, &request.organization, owner, &permissions).await?;
        let key = Key {
            id: KeyId::from_bits(mint::random()?),
            organization: request.organization,
            api: request.api,
            name: request.name,
            environment: request.environment,
            permissions,
            allowed_networks: terms.allowed_networks,
            allowed_models: terms.allowed_models,
            state: KeyState::Active,
            created_at: context.now,
            expires_at,
            owner,
            labels: Labels::default(),
            rotation: None,
            limits: terms.limits,
        };
        let minted = self.mint_secret(&key, api, context.now)?;
        let (key_id, secret) = (key.id, minted.secret.id);
        let change = KeyRequestChange::Claim {
            request: id,
            key: key.clone(),
            secret: minted.secret.clone(),
            most_active: api.profile.issuance.keys_per_organization,
        };
        let (revision, secrets) = (Revision::ZERO, vec![minted.secret]);
        let record = KeyRecord { key, owner_role: None, revision, secrets };
        let issued = Issued { plaintext: minted.plaintext, secret, record };
        self.commit_issued(context, Change::KeyRequest(change), key_id, issued).await
    }
}
