//! Whether a key is good, apart from what it is used for: for who knows the key from its records, as the management API does.
//!
//! The gateway asks the same of its directory in [`crate::decide`]; a test holds the two to one answer.

use std::net::IpAddr;

use super::{Key, KeyState, Secret};
use crate::{network, organization::OrganizationState, time::Timestamp};

/// Why a key is not good now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// For good.
    #[error("the key was revoked: use another")]
    Revoked,
    /// Somebody disabled it, or its owner may hold no keys any more.
    #[error("the key is disabled: ask the administrator of its organization")]
    Disabled,
    /// Its time, or its secret's, is over.
    #[error("the key expired: use a newer one")]
    Expired,
    /// None of the organization's keys works.
    #[error("the organization of this key is suspended: ask who runs this Keyward")]
    Suspended,
    /// It comes from elsewhere than it may.
    #[error("the key may not be used from here: use it from one of its networks")]
    ForeignNetwork,
}

impl Key {
    /// Whether it may be used now: state, expiry, organization, in the gateway's order. What its owner is now must be in the state
    /// already; where the request comes from is [`Key::may_be_used_from`].
    pub fn standing(
        &self,
        organization: OrganizationState,
        now: Timestamp,
    ) -> Result<(), Unusable> {
        match self.state {
            KeyState::Revoked => Err(Unusable::Revoked),
            KeyState::Disabled => Err(Unusable::Disabled),
            KeyState::Active if self.expires_at.is_some_and(|at| now >= at) => {
                Err(Unusable::Expired)
            }
            KeyState::Active if organization != OrganizationState::Active => {
                Err(Unusable::Suspended)
            }
            KeyState::Active => Ok(()),
        }
    }

    /// Whether this secret of it may be used now, from there.
    pub fn may_be_used_from(
        &self,
        secret: &Secret,
        organization: OrganizationState,
        client: IpAddr,
        now: Timestamp,
    ) -> Result<(), Unusable> {
        let ends = [self.expires_at, secret.expires_at].into_iter().flatten().min();
        let in_time = Self { expires_at: ends, ..self.clone() };
        in_time.standing(organization, now)?;
        let client = network::canonical(client);
        let networks = &self.allowed_networks;
        if !networks.is_empty() && !networks.iter().any(|network| network.contains(client)) {
            return Err(Unusable::ForeignNetwork);
        }
        Ok(())
    }
}
