//! Settings as requests use them: names parsed, certificates loaded. Swapped as a whole on reload.

use std::sync::Arc;

use http::HeaderName;

use crate::{Deadlines, Limits, Settings, tls};

/// Compiled from [`Settings`].
pub(crate) struct Compiled {
    pub(crate) limits: Limits,
    pub(crate) deadlines: Deadlines,
    pub(crate) key_id: Option<HeaderName>,
    pub(crate) organization_id: Option<HeaderName>,
    pub(crate) permissions: Option<HeaderName>,
    pub(crate) trusted_proxies: Vec<keyward_core::network::Network>,
    pub(crate) upstream_tls: Arc<rustls::ClientConfig>,
    pub(crate) log_requests: bool,
}

/// Settings that cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("identity header `{0}` is not a header name: use letters, digits and `-`")]
    HeaderName(String),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

impl Compiled {
    pub(crate) fn new(settings: Settings) -> Result<Self, SettingsError> {
        let Settings { limits, deadlines, identity, trusted_proxies, upstream_ca, log_requests } =
            settings;
        Ok(Self {
            limits,
            deadlines,
            key_id: header(identity.key_id)?,
            organization_id: header(identity.organization_id)?,
            permissions: header(identity.permissions)?,
            trusted_proxies,
            upstream_tls: tls::client(upstream_ca.as_deref())?,
            log_requests,
        })
    }

    /// Whether a client may not send this header, because the upstream takes it for ours.
    pub(crate) fn is_identity(&self, name: &[u8]) -> bool {
        [&self.key_id, &self.organization_id, &self.permissions]
            .into_iter()
            .flatten()
            .any(|own| name.eq_ignore_ascii_case(own.as_str().as_bytes()))
    }
}

fn header(name: Option<String>) -> Result<Option<HeaderName>, SettingsError> {
    let Some(name) = name else { return Ok(None) };
    // A name with an underscore would be dropped from requests together with its forgeries.
    match HeaderName::try_from(&name) {
        Ok(header) if !name.contains('_') => Ok(Some(header)),
        _ => Err(SettingsError::HeaderName(name)),
    }
}
