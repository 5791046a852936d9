//! Keys that move in and out, both ways.

use anyhow::bail;
use bytes::Bytes;
use keyward_api::{ExportKeysQuery, ImportKeysQuery, ImportReport};
use keyward_control::app::{export::Export, import::Import};
use zeroize::Zeroizing;

use super::{Backend, pieces};
use crate::site::operator;

impl Backend {
    /// Takes rows of keys over.
    pub async fn import_keys(
        &self,
        import: Import,
        rows: Zeroizing<Vec<u8>>,
    ) -> anyhow::Result<ImportReport> {
        match self {
            Self::Local(site) => {
                Ok(site.control().import_keys(&operator(), &import, &rows).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/organizations/{}/keys/import", import.organization);
                let query =
                    ImportKeysQuery { api: Some(import.api.to_string()), dry_run: import.dry_run };
                let media_type = import.format.media_type();
                Ok(remote.client.upload(&path, &query, media_type, Bytes::from_owner(rows)).await?)
            }
        }
    }

    /// Hands out all keys with what is known of them, piece after piece. An export that breaks off is an error.
    pub async fn export_keys(
        &self,
        mut export: Export,
        take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Local(site) => {
                let control = site.control();
                let next = async |after| control.export_keys(&operator(), &export, after).await;
                pieces::hand_on(next, take).await
            }
            Self::Remote(remote) => {
                let seen = self.seen_organizations(export.organization.take().as_ref()).await?;
                let [organization] = seen.as_slice() else {
                    bail!(
                        "{} organizations can be seen: name one of them with `--organization`",
                        seen.len()
                    );
                };
                let path = format!("/v1/organizations/{organization}/keys/export");
                let api = export.api.as_ref().map(ToString::to_string);
                let query = ExportKeysQuery { format: Some(export.format), api };
                remote.client.download(&path, &query, take).await
            }
        }
    }
}
