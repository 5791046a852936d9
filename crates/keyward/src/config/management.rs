//! `[management]`: where the management API is listened for, and on which terms people come.

use std::{net::SocketAddr, sync::Arc};

use keyward_control::http::Terms;
use keyward_core::{policy::Api, profile::ProfileError, rights::MANAGEMENT};

use super::{ConfigError, OFF, Reader, source::ManagementSource};
use crate::profiles::Profiles;

/// The management API as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ManagementConfig {
    /// Where; `None` for nowhere.
    pub address: Option<SocketAddr>,
    /// Who may come by themselves.
    pub terms: Terms,
}

pub(super) fn compile(
    reader: &Reader,
    source: &ManagementSource,
) -> Result<ManagementConfig, ProfileError> {
    let terms = Terms { sign_up: source.sign_up.unwrap_or_default() };
    let Some(text) = source.address.as_ref().filter(|text| text.get_ref() != OFF) else {
        return Ok(ManagementConfig { address: None, terms });
    };
    let wrong = |problem: String, remedy: &str| Err(reader.wrong(text, problem, remedy));
    match text.get_ref().parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => {
            Ok(ManagementConfig { address: Some(address), terms })
        }
        // Passwords and keys would pass in the clear.
        Ok(address) => wrong(
            format!(
                "{address} can be reached from other machines, and the management API speaks without TLS"
            ),
            "listen at a loopback address, and put a proxy with TLS in front of it",
        ),
        Err(_) => wrong(
            format!("`{}` is no IP address with a port", text.get_ref()),
            "write one like 127.0.0.1:8081, or \"off\"",
        ),
    }
}

/// The API that management keys are of. Its profile is the built-in one, whatever stands in `profiles_dir`: its words are those that
/// the management API asks for.
pub(super) fn api() -> Result<Api, ConfigError> {
    let profile = Profiles::built_in().compile(MANAGEMENT)?;
    Ok(keyward_control::management::api(Arc::new(profile))?)
}
