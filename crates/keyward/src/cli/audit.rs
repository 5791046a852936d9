//! `keyward audit`, `keyward audit verify`, `keyward audit export`

mod export;

use std::path::Path;

use clap::{Args, Subcommand, builder::RangedU64ValueParser};
use keyward_api::{AuditEntryView, AuditProofView, Page};
use keyward_control::Control;
use keyward_store::{AuditFilter, AuditHead, AuditId};

use self::export::ExportAudit;
use crate::{
    output::{Output, table},
    site::{Site, operator},
};

const PAGE: u32 = 1000;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Audit {
    /// How many entries
    #[arg(long, default_value_t = 50, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    #[command(subcommand)]
    command: Option<AuditCommand>,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check that the log is what Keyward wrote: nothing changed, removed, moved, put in or cut off
    Verify {
        /// What an earlier check gave as the log's head: also check that the log holds it, as no older copy does
        #[arg(long, value_name = "HEAD")]
        noted: Option<AuditHead>,
    },
    /// Write the log as JSON lines, newest first
    Export(ExportAudit),
}

/// The audit log is not what was written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the audit log is broken: {0}; keep a copy of the data folder, and compare the log with that of a backup"
)]
pub(crate) struct Broken(String);

impl Audit {
    pub(super) async fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let control = Site::open(config).await?.control();
        match self.command {
            None => list(&control, self.limit, output).await,
            Some(AuditCommand::Verify { noted }) => verify(&control, noted, output).await,
            Some(AuditCommand::Export(export)) => export.run(&control).await,
        }
    }
}

async fn list(control: &Control, limit: usize, output: Output) -> anyhow::Result<()> {
    let (mut entries, mut after) = (Vec::new(), None);
    while entries.len() < limit {
        let filter = AuditFilter::default();
        let page = control.list_audit_entries(&operator(), &filter, after, PAGE).await?;
        entries.extend(page.items);
        match page.next {
            Some(next) => after = Some(AuditId::new(next.parse()?)),
            None => break,
        }
    }
    entries.truncate(limit);
    output.show(&Page::whole(entries), |page| listed(&page.items))
}

async fn verify(control: &Control, noted: Option<AuditHead>, output: Output) -> anyhow::Result<()> {
    let proof = control.verify_audit(&operator(), noted).await?;
    match &proof {
        AuditProofView::Whole { entries, head, .. } => output.show(&proof, |_| {
            let also = if noted.is_some() { " and holds what was noted" } else { "" };
            let entries = match entries {
                1 => "1 entry".to_owned(),
                entries => format!("{entries} entries"),
            };
            format!(
                "The audit log is whole{also}: {entries}. Note its head in another place, for `--noted`: {head}"
            )
        }),
        AuditProofView::Broken { message, .. } => {
            if output.json {
                Output::json(&proof)?;
            }
            Err(Broken(message.clone()).into())
        }
    }
}

fn listed(entries: &[AuditEntryView]) -> String {
    let row = |entry: &AuditEntryView| {
        let (before, after) = (entry.before.as_ref(), entry.after.as_ref());
        vec![
            entry.at.clone(),
            format!("{} ({}, {})", entry.actor.name, entry.actor.kind, entry.actor.interface),
            entry.action.clone(),
            entry.subject.id.clone(),
            match (before, after) {
                (Some(before), Some(after)) => format!("{before} -> {after}"),
                (None, Some(only)) | (Some(only), None) => only.to_string(),
                (None, None) => String::new(),
            },
        ]
    };
    table(
        &["at", "who", "did", "to", "what changed"],
        entries.iter().map(row).collect(),
        "Nothing was done yet.",
    )
}
