//! `keyward backup`, `keyward restore`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use keyward_store::{BackedUp, DataFolder, Restored};
use serde::Serialize;

use crate::{config::Config, output::Output, site::Site};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to write; the pepper and the encryption key are not in it
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The file that `keyward backup` wrote
    file: PathBuf,
}

#[derive(Serialize)]
struct BackupView {
    file: PathBuf,
    revision: u64,
    bytes: u64,
    not_in_it: [PathBuf; 2],
}

#[derive(Serialize)]
struct RestoreView {
    revision: u64,
    audit_head: String,
    kept_at: Option<PathBuf>,
    changes_undone: Option<u64>,
    ended_keys_alive_again: Option<u64>,
}

impl Backup {
    pub(super) async fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let site = Site::open(config).await?;
        let BackedUp { revision, bytes, not_in_it } =
            site.folder.back_up(&self.file, self.force)?;
        let view = BackupView { file: self.file, revision: revision.get(), bytes, not_in_it };
        output.show(&view, |view| {
            let [pepper, key] = &view.not_in_it;
            format!(
                "{} holds everything up to revision {} ({} bytes).\nNot in it, and it is worth nothing without them: {} and {}. \
                 Keep copies of these in another place than the backup: who has both has all there is.",
                view.file.display(),
                view.revision,
                view.bytes,
                pepper.display(),
                key.display()
            )
        })
    }
}

impl Restore {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let config = Config::load(config)?;
        let restored = DataFolder::restore(&config.data_dir, &self.file)
            .with_context(|| format!("nothing was changed in {}", config.data_dir.display()))?;
        output.show(&view(&restored), |_| said(&restored, &config.data_dir))
    }
}

fn view(restored: &Restored) -> RestoreView {
    let replaced = restored.replaced.as_ref();
    let beyond = replaced.and_then(|replaced| replaced.beyond);
    RestoreView {
        revision: restored.revision.get(),
        audit_head: restored.audit.to_string(),
        kept_at: replaced.map(|replaced| replaced.kept_at.clone()),
        changes_undone: beyond.map(|beyond| beyond.changes),
        ended_keys_alive_again: beyond.map(|beyond| beyond.ended_keys),
    }
}

fn said(restored: &Restored, folder: &Path) -> String {
    let mut text = format!(
        "{} is as it was at revision {}. Its audit log is whole: {}.",
        folder.display(),
        restored.revision,
        restored.audit
    );
    let Some(replaced) = &restored.replaced else { return text };
    text.push_str(&format!("\nThe database before is kept at {}.", replaced.kept_at.display()));
    text.push_str(&match replaced.beyond {
        Some(beyond) => format!(
            "\nUp to revision {} it had {} more, undone now: keys made by them are unknown. {} of them revoked or disabled a key: \
             such a key is alive again.",
            beyond.revision,
            counted(beyond.changes),
            beyond.ended_keys
        ),
        None => "\nIt cannot be read, so what is undone cannot be told: keys that were revoked since the backup are alive again, \
                 and keys made since are unknown."
            .to_owned(),
    });
    text
}

fn counted(changes: u64) -> String {
    match changes {
        1 => "1 change".to_owned(),
        changes => format!("{changes} changes"),
    }
}
