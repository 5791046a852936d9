//! All keys with what is known of them, for other programs and for spreadsheets. Never a secret, nor a digest of one.

use std::collections::BTreeMap;

use keyward_api::{LimitView, RowFormat};
use keyward_core::{
    id::{ApiName, KeyId, OrganizationId},
    member::Right,
};
use keyward_store::{KeyFilter, KeyRecord, Page};

use super::Control;
use crate::{context::Context, error::ControlError, views};

const PAGE: u32 = 500;
const HEADER: [&str; 19] = [
    "id",
    "name",
    "api",
    "organization_id",
    "environment",
    "state",
    "permissions",
    "allowed_networks",
    "allowed_models",
    "owner_id",
    "tags",
    "metadata",
    "created_at",
    "expires_at",
    "secrets",
    "hints",
    "last_used_at",
    "kept_as",
    "limits",
];

/// Which keys are exported, and how.
#[derive(Clone, Debug)]
pub struct Export {
    /// Of this organization; `None` for all, for who runs this Keyward.
    pub organization: Option<OrganizationId>,
    /// Of this API.
    pub api: Option<ApiName>,
    /// How they are written.
    pub format: RowFormat,
}

/// A piece of an export.
pub struct Piece<Cursor = KeyId> {
    /// Whole lines.
    pub bytes: Vec<u8>,
    /// What to ask for the next piece with; `None` at the end.
    pub next: Option<Cursor>,
}

impl Control {
    /// The piece of an export behind `after`. The first one of CSV begins with a header.
    pub async fn export_keys(
        &self,
        context: &Context,
        export: &Export,
        after: Option<KeyId>,
    ) -> Result<Piece, ControlError> {
        match &export.organization {
            Some(organization) => {
                context.require(Right::ReadKeys, organization)?;
                self.existing_organization(organization).await?;
            }
            None => context.require_operator()?,
        }
        let filter = KeyFilter {
            organization: export.organization.clone(),
            api: export.api.clone(),
            ..KeyFilter::default()
        };
        let records = self.store.keys(&filter, Page { after, limit: PAGE }).await?;
        let bytes = match export.format {
            RowFormat::Jsonl => json_lines(context, &records),
            RowFormat::Csv => csv(context, &records, after.is_none()),
        };
        let bytes = bytes.ok_or(ControlError::Interrupted)?;
        let is_last = records.len() < PAGE as usize;
        let next = records.last().filter(|_| !is_last).map(|record| record.key.id);
        Ok(Piece { bytes, next })
    }
}

fn json_lines(context: &Context, records: &[KeyRecord]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        let key = views::key(record, &[], context.now);
        serde_json::to_writer(&mut bytes, &key).ok()?;
        bytes.push(b'\n');
    }
    Some(bytes)
}

fn csv(context: &Context, records: &[KeyRecord], first: bool) -> Option<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if first {
        writer.write_record(HEADER).ok()?;
    }
    for record in records {
        let key = views::key(record, &[], context.now);
        let last_used = record.secrets.iter().filter_map(|secret| secret.last_used_at).max();
        let of_secrets = |what: &dyn Fn(&keyward_core::key::Secret) -> String| {
            record.secrets.iter().map(what).collect::<Vec<_>>().join(";")
        };
        let cells = [
            key.id,
            key.name,
            key.api,
            key.organization_id,
            key.environment,
            key.state.as_str().to_owned(),
            key.permissions.join(";"),
            key.allowed_networks.join(";"),
            key.allowed_models.map(|models| models.join(";")).unwrap_or_default(),
            key.owner_id.unwrap_or_default(),
            key.tags.join(";"),
            metadata(&key.metadata)?,
            key.created_at,
            key.expires_at.unwrap_or_default(),
            of_secrets(&|secret| secret.id.to_string()),
            of_secrets(&|secret| secret.hint.clone()),
            last_used.map(|at| at.to_string()).unwrap_or_default(),
            of_secrets(&|secret| secret.form.as_str().to_owned()),
            limits(&key.limits)?,
        ];
        writer.write_record(cells.map(defused)).ok()?;
    }
    writer.into_inner().ok()
}

/// As a JSON object, where there is any.
fn metadata(metadata: &BTreeMap<String, String>) -> Option<String> {
    if metadata.is_empty() {
        return Some(String::new());
    }
    serde_json::to_string(metadata).ok()
}

/// The same of limits.
fn limits(limits: &[LimitView]) -> Option<String> {
    if limits.is_empty() {
        return Some(String::new());
    }
    serde_json::to_string(limits).ok()
}

/// A cell that a spreadsheet does not take for a formula (OWASP, CSV injection): names come from people.
pub(super) fn defused(cell: String) -> String {
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{cell}"),
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, NOW, at, new_key, organization};

    async fn exported(fixture: &Fixture, format: RowFormat) -> String {
        let (control, mut text, mut after) = (fixture.control(), String::new(), None);
        let export = Export { organization: Some(organization("acme")), api: None, format };
        loop {
            let piece = control.export_keys(&at(NOW), &export, after).await.unwrap();
            text.push_str(std::str::from_utf8(&piece.bytes).unwrap());
            match piece.next {
                Some(next) => after = Some(next),
                None => return text,
            }
        }
    }

    #[tokio::test]
    async fn every_key_is_exported_once_and_no_secret_or_digest() {
        let fixture = Fixture::with_organizations().await;
        let mut issued = Vec::new();
        for number in 0..PAGE + 2 {
            let new = new_key(&format!("key {number}"));
            issued.push(fixture.control().create_key(&at(NOW), new).await.unwrap());
        }
        for format in [RowFormat::Csv, RowFormat::Jsonl] {
            let text = exported(&fixture, format).await;
            let header = usize::from(format == RowFormat::Csv);
            assert_eq!(text.lines().count(), PAGE as usize + 2 + header);
            for one in &issued {
                assert_eq!(text.matches(&one.key().id.to_string()).count(), 1);
                assert!(!text.contains(one.plaintext.expose()));
            }
            assert!(!text.contains("digest"), "{text}");
        }
    }

    #[tokio::test]
    async fn limits_go_out_and_come_in_again() {
        let fixture = Fixture::with_organizations().await;
        let limits = r#"[{"name":"spend","kind":"budget","amount":"5","period":"month"},{"name":"n","kind":"rate","amount":9,"window_seconds":1}]"#;
        let new = crate::app::keys::NewKey {
            limits: serde_json::from_str(limits).unwrap(),
            ..new_key("limited")
        };
        let key = fixture.control().create_key(&at(NOW), new).await.unwrap().record.key;
        let text = exported(&fixture, RowFormat::Csv).await;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let row = reader.records().next().unwrap().unwrap();
        let cell = row.get(HEADER.len() - 1).unwrap().replace('"', "\"\"");
        let line: serde_json::Value =
            serde_json::from_str(exported(&fixture, RowFormat::Jsonl).await.trim()).unwrap();
        let jsonl = serde_json::json!({
            "name": "from lines", "plaintext": "sk_live_4eC39HqLyjWDarjtT1zdp7dcX8",
            "permissions": ["read"], "limits": line["limits"],
        });
        let csv = format!(
            "name,plaintext,permissions,limits\nfrom cells,sk_live_4eC39HqLyjWDarjtT1zdp7dcX9,read,\"{cell}\"\n"
        );
        for (format, rows) in [(RowFormat::Csv, csv), (RowFormat::Jsonl, jsonl.to_string())] {
            let import = crate::app::import::Import {
                organization: organization("acme"),
                api: "main".parse().unwrap(),
                format,
                dry_run: false,
            };
            let control = fixture.control();
            let report = control.import_keys(&at(NOW), &import, rows.as_bytes()).await.unwrap();
            assert_eq!((report.imported, report.refused), (1, 0), "{report:?}");
        }
        let store = fixture.folder.store();
        let all = store.keys(&KeyFilter::default(), Page::first(9)).await.unwrap();
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|record| record.key.limits == key.limits));
    }

    #[tokio::test]
    async fn no_cell_is_a_formula_and_every_cell_reads_back() {
        let fixture = Fixture::with_organizations().await;
        let names = ["=1+1", "+1", "-1", "@a", "a,b \"c\"", "ü", "=HYPERLINK(\"http://x\",\"y\")"];
        for name in names {
            fixture.control().create_key(&at(NOW), new_key(name)).await.unwrap();
        }
        let text = exported(&fixture, RowFormat::Csv).await;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let read: Vec<_> =
            reader.records().map(|record| record.unwrap().get(1).unwrap().to_owned()).collect();
        assert_eq!(read.len(), names.len());
        for (cell, name) in read.iter().zip(names) {
            assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
            assert_eq!(cell.trim_start_matches('\''), name);
        }
    }

    #[tokio::test]
    async fn who_may_not_read_keys_exports_none() {
        let fixture = Fixture::with_organizations().await;
        let export = Export { organization: None, api: None, format: RowFormat::Csv };
        let visitor = Context::visitor("somebody", keyward_store::Interface::ManagementApi, NOW);
        assert!(fixture.control().export_keys(&visitor, &export, None).await.is_err());
    }
}
