//! `keyward upstreams …`

use std::path::Path;

use anyhow::bail;
use clap::Subcommand;
use keyward_api::{Page, UpstreamView};

use super::secret_input;
use crate::{
    config::CredentialOrigin,
    output::{Output, table},
    site::{Site, operator},
};

#[derive(Debug, Subcommand)]
pub(super) enum Upstreams {
    /// List upstreams, and where their credentials come from
    List,
    /// Keep the credential that an upstream is called with. It is read from standard input
    SetCredential {
        /// The upstream's name in the configuration
        name: String,
    },
    /// Forget the credential of an upstream
    RemoveCredential {
        /// The upstream's name
        name: String,
    },
}

impl Upstreams {
    pub(super) async fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let site = Site::open(config).await?;
        let (control, context) = (site.control(), operator());
        match self {
            Self::List => output.show(&Page::whole(list(&site).await?), |page| listed(&page.items)),
            Self::SetCredential { name } => {
                check_origin(&site, &name)?;
                let credential = secret_input::from_stdin("the upstream's credential")?;
                control.set_upstream_credential(&context, &name, &credential).await?;
                let view = one(&site, &name).await?;
                output.show(&view, |_| {
                    format!("Upstream `{name}` is called with this credential from now on.")
                })
            }
            Self::RemoveCredential { name } => {
                control.remove_upstream_credential(&context, &name).await?;
                let view = one(&site, &name).await?;
                output.show(&view, |_| format!("The credential of upstream `{name}` is forgotten."))
            }
        }
    }
}

/// A credential that nobody would read is a mistake in the configuration.
fn check_origin(site: &Site, name: &str) -> anyhow::Result<()> {
    let configured = site.config.upstreams.iter().find(|one| *one.upstream.name == *name);
    // That there is no such upstream is told by the operation.
    let Some(configured) = configured else { return Ok(()) };
    match &configured.credential {
        Some((_, CredentialOrigin::Store)) => Ok(()),
        Some((_, origin)) => bail!(
            "upstream `{name}` takes its credential from {origin}: write `from = \"store\"` in {} to keep it here",
            site.config.file.display()
        ),
        None => bail!(
            "upstream `{name}` is called without a credential: add `credential = {{ from = \"store\" }}` to it in {}",
            site.config.file.display()
        ),
    }
}

async fn list(site: &Site) -> anyhow::Result<Vec<UpstreamView>> {
    let kept = site.control().list_upstream_credentials().await?;
    let view = |one: &crate::config::ConfiguredUpstream| UpstreamView {
        name: one.upstream.name.to_string(),
        url: one.url.clone(),
        credential_from: one.credential.as_ref().map(|(_, origin)| origin.to_string()),
        credential_set_at: kept
            .iter()
            .find(|kept| *kept.upstream == *one.upstream.name)
            .map(|kept| kept.set_at.to_string()),
    };
    Ok(site.config.upstreams.iter().map(view).collect())
}

/// One that is configured, or the shadow of one that was.
async fn one(site: &Site, name: &str) -> anyhow::Result<UpstreamView> {
    let found = list(site).await?.into_iter().find(|view| view.name == name);
    Ok(found.unwrap_or_else(|| UpstreamView {
        name: name.to_owned(),
        url: String::new(),
        credential_from: None,
        credential_set_at: None,
    }))
}

fn listed(upstreams: &[UpstreamView]) -> String {
    let row = |one: &UpstreamView| {
        let set_at = match (&one.credential_set_at, one.credential_from.as_deref()) {
            (Some(at), _) => at.clone(),
            (None, Some("store")) => "never: requests to it are refused".to_owned(),
            (None, _) => "-".to_owned(),
        };
        let from = one.credential_from.clone().unwrap_or_else(|| "none".to_owned());
        vec![one.name.clone(), one.url.clone(), from, set_at]
    };
    table(
        &["name", "url", "credential", "set"],
        upstreams.iter().map(row).collect(),
        "No upstreams. Add one to the configuration with [[upstreams]].",
    )
}
