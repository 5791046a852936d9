//! `keyward config check`

use std::path::Path;

use clap::Subcommand;
use serde::Serialize;

use crate::{config::Config, output::Output};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the configuration as `serve` would, and say whether it is sound
    Check,
}

#[derive(Serialize)]
struct Checked {
    file: String,
    data_dir: String,
    listeners: Vec<String>,
    upstreams: Vec<String>,
    apis: Vec<String>,
}

impl ConfigCommand {
    pub(super) fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        let Self::Check = self;
        let config = Config::load(file)?;
        // Credentials from environment and files are fetched too: a start would need them.
        config.plan()?;
        let listeners = config.gateway.listeners.iter().map(|listener| {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}", listener.address)
        });
        let checked = Checked {
            file: config.file.display().to_string(),
            data_dir: config.data_dir.display().to_string(),
            listeners: listeners.collect(),
            upstreams: config.upstreams.iter().map(|one| one.upstream.name.to_string()).collect(),
            apis: config.apis.iter().map(|api| api.name.to_string()).collect(),
        };
        output.show(&checked, |checked| {
            let or_none = |names: &[String]| match names {
                [] => "none".to_owned(),
                names => names.join(", "),
            };
            format!(
                "{} is sound.\nListeners: {}\nUpstreams: {}\nAPIs: {}\nData folder: {}",
                checked.file,
                or_none(&checked.listeners),
                or_none(&checked.upstreams),
                or_none(&checked.apis),
                checked.data_dir
            )
        })
    }
}
