//! `keyward profiles …`

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Subcommand;
use keyward_api::{Page, ProfileView};
use serde::Serialize;

use crate::{
    config::{Config, ConfigError},
    output::{Output, table},
    profiles::{self, Profiles as Known},
};

#[derive(Debug, Subcommand)]
pub(super) enum Profiles {
    /// Check the profiles: the built-in ones, the configuration's own, and these files
    Check {
        /// Files to check; without any, all profiles there are
        files: Vec<PathBuf>,
    },
    /// List the profiles there are
    List,
}

#[derive(Serialize)]
struct Checked {
    profile: String,
    problem: Option<String>,
}

impl Profiles {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let known = known(config)?;
        match self {
            Self::Check { files } => check(known, &files, output),
            Self::List => {
                let views: Result<Vec<_>, _> =
                    known.names().map(|name| view(&known, name)).collect();
                output.show(&Page::whole(views?), |page| listed(&page.items))
            }
        }
    }
}

/// Profiles are looked at without a configuration too; one that is there must be sound, it says where others are.
fn known(config: &Path) -> anyhow::Result<Known> {
    match Config::load(config) {
        Ok(config) => Ok(config.profiles),
        Err(ConfigError::Missing(_)) => Ok(Known::built_in()),
        // A profile that is wrong is what is looked for here, and told with all others.
        Err(ConfigError::Wrong(_)) => Ok(own_folder(config).unwrap_or_else(Known::built_in)),
        Err(error) => Err(error.into()),
    }
}

/// The folder that a configuration names, even where the rest of it is wrong.
fn own_folder(config: &Path) -> Option<Known> {
    let text = std::fs::read_to_string(config).ok()?;
    let table: toml::Table = text.parse().ok()?;
    let folder = config.parent()?.join(table.get("profiles_dir")?.as_str()?);
    Known::built_in().with_folder(&folder).ok()
}

fn check(mut known: Known, files: &[PathBuf], output: Output) -> anyhow::Result<()> {
    for file in files {
        known = known.with_file(file)?;
    }
    let names: Vec<String> = match files {
        [] => known.names().map(str::to_owned).collect(),
        files => files.iter().map(|file| profiles::profile_name_of_any(file)).collect(),
    };
    let checked = names.into_iter().map(|profile| {
        let problem = known.compile(&profile).err().map(|error| error.to_string());
        Checked { profile, problem }
    });
    let checked: Vec<_> = checked.collect();
    let wrong = checked.iter().filter(|one| one.problem.is_some()).count();
    for one in &checked {
        output.show(one, |one| match &one.problem {
            None => format!("✓ {}", one.profile),
            Some(problem) => format!("✗ {}\n  {problem}", one.profile),
        })?;
    }
    if wrong > 0 {
        bail!("{wrong} of {} profiles do not load: mend what is said above", checked.len());
    }
    Ok(())
}

fn view(known: &Known, name: &str) -> anyhow::Result<ProfileView> {
    let profile = known.compile(name)?;
    let source = known.own_file(name).map(|path| path.display().to_string());
    Ok(ProfileView {
        name: name.to_owned(),
        title: profile.title.to_string(),
        source: source.unwrap_or_else(|| "built in".to_owned()),
        slots: profile.slots.iter().map(ToString::to_string).collect(),
        key_prefix: profile.key_format.prefix().to_owned(),
        key_length: profile.key_format.length(),
        permissions: profile.vocabulary.iter().map(|p| p.name.to_string()).collect(),
        presets: profile.presets.iter().map(|preset| preset.name.clone()).collect(),
    })
}

fn listed(profiles: &[ProfileView]) -> String {
    let row = |one: &ProfileView| {
        vec![
            one.name.clone(),
            one.title.clone(),
            one.slots.join(", "),
            format!("{}… ({} characters)", one.key_prefix, one.key_length),
            one.permissions.join(", "),
            one.presets.join(", "),
            one.source.clone(),
        ]
    };
    table(
        &["name", "title", "key stands in", "key", "permissions", "presets", "from"],
        profiles.iter().map(row).collect(),
        "No profiles.",
    )
}
