//! Whether a presented secret is one of which only a bcrypt hash is known: what the data plane asks through its port.
//!
//! Hashes stay sealed in memory and are opened for the time of one check.

use std::sync::Arc;

use keyward_core::{directory::Candidate, slow::SlowCheck};
use keyward_store::{SealContext, SealedBytes, Sealer};

/// See the module.
pub struct BcryptCheck {
    sealer: Arc<Sealer>,
}

impl BcryptCheck {
    /// Opens hashes with this.
    pub const fn new(sealer: Arc<Sealer>) -> Self {
        Self { sealer }
    }
}

impl SlowCheck for BcryptCheck {
    fn is(&self, candidate: &Candidate, presented: &[u8]) -> bool {
        let secret = candidate.secret.to_string();
        let place = SealContext::bcrypt(&candidate.organization, &secret);
        let opened = self.sealer.open(&place, &SealedBytes::from_bytes(&*candidate.sealed));
        let hash = match opened {
            Ok(hash) => hash,
            Err(error) => {
                tracing::error!(%error, "an imported secret cannot be checked");
                return false;
            }
        };
        std::str::from_utf8(&hash).is_ok_and(|hash| {
            // Longer secrets than bcrypt reads are not asked about.
            bcrypt::verify(presented, hash).unwrap_or(false)
        })
    }
}
