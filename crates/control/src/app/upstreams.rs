//! The credentials that upstreams are called with: sealed on the way in, never shown again.

use keyward_core::{key::Plaintext, time::Timestamp};
use keyward_store::{Change, SealContext};

use super::Control;
use crate::{context::Context, error::ControlError};

const LONGEST_CREDENTIAL: usize = 8 * 1024;

/// That a credential is kept for an upstream. What it is, nobody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCredential {
    /// The upstream's name in the configuration.
    pub upstream: String,
    /// When it was set.
    pub set_at: Timestamp,
}

impl Control {
    /// Keeps the credential an upstream is called with, in place of an earlier one.
    pub async fn set_upstream_credential(
        &self,
        context: &Context,
        upstream: &str,
        credential: &Plaintext,
    ) -> Result<(), ControlError> {
        self.check_upstream(upstream)?;
        let text = credential.expose();
        if text.is_empty() || text.len() > LONGEST_CREDENTIAL {
            return Err(ControlError::invalid(
                format!("the credential has {} characters", text.len()),
                format!("give 1 to {LONGEST_CREDENTIAL}"),
            ));
        }
        // What stands in a header's value (RFC 9110, 5.5), without what only old servers take.
        if !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') || text.trim() != text {
            return Err(ControlError::invalid(
                "the credential has characters that cannot stand in a header, or spaces around it",
                "give visible ASCII characters, as the upstream's operator handed them out",
            ));
        }
        let place = SealContext::upstream_credential(upstream);
        let sealed = self.sealer.seal(&place, text.as_bytes())?;
        let change = Change::SetUpstreamCredential { upstream: upstream.to_owned(), sealed };
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(())
    }

    /// Forgets the credential of an upstream, also of one that is no longer configured.
    pub async fn remove_upstream_credential(
        &self,
        context: &Context,
        upstream: &str,
    ) -> Result<(), ControlError> {
        let change = Change::RemoveUpstreamCredential { upstream: upstream.to_owned() };
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(())
    }

    /// For which upstreams a credential is kept.
    pub async fn list_upstream_credentials(&self) -> Result<Vec<KeptCredential>, ControlError> {
        let kept = self.store.upstream_credentials().await?;
        let kept = kept
            .into_iter()
            .map(|one| KeptCredential { upstream: one.upstream, set_at: one.set_at });
        Ok(kept.collect())
    }

    fn check_upstream(&self, name: &str) -> Result<(), ControlError> {
        let upstreams = self.policy.upstreams();
        if upstreams.iter().any(|upstream| *upstream.name == *name) {
            return Ok(());
        }
        let known: Vec<_> = upstreams.iter().map(|upstream| &*upstream.name).collect();
        Err(ControlError::invalid(
            format!("there is no upstream `{name}`"),
            format!("use one of {}", known.join(", ")),
        ))
    }
}
