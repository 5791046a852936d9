//! `keyward audit`, `keyward audit list`, `keyward audit verify`, `keyward audit export`

mod export;

use clap::{Args, Subcommand, builder::RangedU64ValueParser};
use keyward_api::{AuditEntryView, AuditProofView, Page};
use keyward_core::id::{OrganizationId, UserId};
use keyward_store::{AuditFilter, AuditHead, Subject};

use self::export::ExportAudit;
use super::values::{self, Moment};
use crate::{
    backend::{Backend, Place},
    output::{Output, table},
    site::operator,
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Audit {
    #[command(flatten)]
    list: List,
    #[command(subcommand)]
    command: Option<AuditCommand>,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List who did what to what, newest first: what `keyward audit` alone does
    List(List),
    /// Check that the log is what Keyward wrote: nothing changed, removed, moved, put in or cut off
    Verify {
        /// What an earlier check gave as the log's head: also check that the log holds it, as no older copy does
        #[arg(long, value_name = "HEAD")]
        noted: Option<AuditHead>,
    },
    /// Write the log as JSON lines, newest first
    Export(ExportAudit),
}

#[derive(Debug, Args)]
struct List {
    /// How many entries
    #[arg(long, default_value_t = 50, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    /// Only what is this organization's business
    #[arg(long)]
    organization: Option<OrganizationId>,
    /// Only what was done to this: the id of a key, a request, a person or an organization, or ORGANIZATION/PERSON
    #[arg(long, value_name = "ID", value_parser = subject)]
    subject: Option<Subject>,
    /// Only what this person did
    #[arg(long)]
    user: Option<UserId>,
    /// Only this action, like key.revoke; with a dot at its end all that begin so, like key.
    #[arg(long)]
    action: Option<String>,
    /// Only from then on: 7d ago, or 2027-01-31T00:00:00Z
    #[arg(long, value_parser = values::past, value_name = "WHEN")]
    from: Option<Moment>,
    /// Only until before then
    #[arg(long, value_parser = values::past, value_name = "WHEN")]
    until: Option<Moment>,
}

fn subject(id: &str) -> Result<Subject, String> {
    Subject::of_id(id).ok_or_else(|| "it is no id".to_owned())
}

/// The audit log is not what was written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the audit log is broken: {0}; keep a copy of the data folder, and compare the log with that of a backup"
)]
pub(crate) struct Broken(String);

impl Audit {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let backend = place.open().await?;
        match self.command {
            None => self.list.run(&backend, output).await,
            Some(AuditCommand::List(list)) => list.run(&backend, output).await,
            Some(AuditCommand::Verify { noted }) => verify(&backend, noted, output).await,
            Some(AuditCommand::Export(export)) => export.run(&backend).await,
        }
    }
}

impl List {
    async fn run(self, backend: &Backend, output: Output) -> anyhow::Result<()> {
        let now = operator().now;
        let filter = AuditFilter {
            organization: self.organization,
            subject: self.subject,
            person: self.user,
            action: self.action,
            from: self.from.map(|from| from.before(now)),
            until: self.until.map(|until| until.before(now)),
        };
        let entries = backend.list_audit_entries(&filter, self.limit).await?;
        output.show(&Page::whole(entries), |page| listed(&page.items))
    }
}

async fn verify(backend: &Backend, noted: Option<AuditHead>, output: Output) -> anyhow::Result<()> {
    let proof = backend.verify_audit(noted).await?;
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
