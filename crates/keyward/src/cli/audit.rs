//! `keyward audit`

use std::path::Path;

use clap::{Args, builder::RangedU64ValueParser};
use keyward_api::{AuditEntryView, Page};
use keyward_store::AuditId;

use crate::{
    output::{Output, table},
    site::Site,
};

const PAGE: u32 = 1000;

#[derive(Debug, Args)]
pub(super) struct Audit {
    /// How many entries
    #[arg(long, default_value_t = 50, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
}

impl Audit {
    pub(super) async fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let control = Site::open(config).await?.control();
        let (mut entries, mut after) = (Vec::new(), None);
        while entries.len() < self.limit {
            let page = control.list_audit_entries(after, PAGE).await?;
            entries.extend(page.items);
            match page.next {
                Some(next) => after = Some(AuditId::new(next.parse()?)),
                None => break,
            }
        }
        entries.truncate(self.limit);
        output.show(&Page::whole(entries), |page| listed(&page.items))
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
