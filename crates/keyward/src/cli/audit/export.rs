//! `keyward audit export`

use std::io::Write;

use clap::Args;
use keyward_core::{
    id::{OrganizationId, UserId},
    time::Timestamp,
};
use keyward_store::{AuditFilter, Subject};

use crate::{backend::Backend, output::Closed};

#[derive(Debug, Args)]
pub(super) struct ExportAudit {
    /// Only what is this organization's business
    #[arg(long)]
    organization: Option<OrganizationId>,
    /// Only what was done to this: a key's, member's or organization's id
    #[arg(long, value_name = "ID", value_parser = subject)]
    subject: Option<Subject>,
    /// Only what this person did
    #[arg(long)]
    user: Option<UserId>,
    /// Only this action, like key.revoke; `key.` for all that begin so
    #[arg(long)]
    action: Option<String>,
    /// Only from then on, like 2026-01-01T00:00:00Z
    #[arg(long, value_name = "MOMENT")]
    from: Option<Timestamp>,
    /// Only until before then
    #[arg(long, value_name = "MOMENT")]
    until: Option<Timestamp>,
}

fn subject(text: &str) -> Result<Subject, String> {
    Subject::of_id(text).ok_or_else(|| {
        format!("`{}` is no id of a key, member or organization", text.escape_default())
    })
}

impl ExportAudit {
    /// Writes the entries as JSON lines, newest first, as they were when it was asked.
    pub(super) async fn run(self, backend: &Backend) -> anyhow::Result<()> {
        let Self { organization, subject, user, action, from, until } = self;
        let filter = AuditFilter { organization, subject, person: user, action, from, until };
        let written = backend.export_audit_entries(&filter, |piece| {
            let mut stdout = std::io::stdout().lock();
            match stdout.write_all(piece).and_then(|()| stdout.flush()) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Closed.into()),
                written => Ok(written?),
            }
        });
        written.await
    }
}
