//! The audit log, both ways.

use keyward_api::{
    AuditEntryView, AuditProofView, ExportAuditQuery, ListAuditQuery, Page, VerifyAuditQuery,
};
use keyward_store::{AuditFilter, AuditHead, AuditId, Subject};

use super::{Backend, pieces};
use crate::site::operator;

const PAGE: usize = 1000;

impl Backend {
    /// The newest entries of which the filter is true, at most so many.
    pub async fn list_audit_entries(
        &self,
        filter: &AuditFilter,
        most: usize,
    ) -> anyhow::Result<Vec<AuditEntryView>> {
        let (mut entries, mut after) = (Vec::new(), None);
        while entries.len() < most {
            let limit = u32::try_from(PAGE.min(most - entries.len()))?;
            let page = self.audit_page(filter, after, limit).await?;
            entries.extend(page.items);
            match page.next {
                Some(next) => after = Some(next.parse()?),
                None => break,
            }
        }
        Ok(entries)
    }

    async fn audit_page(
        &self,
        filter: &AuditFilter,
        after: Option<u64>,
        limit: u32,
    ) -> anyhow::Result<Page<AuditEntryView>> {
        match self {
            Self::Local(site) => {
                let (control, after) = (site.control(), after.map(AuditId::new));
                Ok(control.list_audit_entries(&operator(), filter, after, limit).await?)
            }
            Self::Remote(remote) => {
                let query = ListAuditQuery { after, limit: Some(limit), ..asked(filter).into() };
                Ok(remote.client.get(&path(filter), &query).await?)
            }
        }
    }

    /// Hands out the entries of which the filter is true as JSON lines, piece after piece, newest first.
    pub async fn export_audit_entries(
        &self,
        filter: &AuditFilter,
        take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Local(site) => {
                let control = site.control();
                let next =
                    async |after| control.export_audit_entries(&operator(), filter, after).await;
                pieces::hand_on(next, take).await
            }
            Self::Remote(remote) => {
                let path = format!("{}/export", path(filter));
                remote.client.download(&path, &asked(filter), take).await
            }
        }
    }

    /// Whether the log is what was written.
    pub async fn verify_audit(&self, noted: Option<AuditHead>) -> anyhow::Result<AuditProofView> {
        match self {
            Self::Local(site) => Ok(site.control().verify_audit(&operator(), noted).await?),
            Self::Remote(remote) => {
                let query = VerifyAuditQuery { noted: noted.map(|noted| noted.to_string()) };
                Ok(remote.client.get("/v1/audit-proof", &query).await?)
            }
        }
    }
}

fn path(filter: &AuditFilter) -> String {
    match &filter.organization {
        Some(organization) => format!("/v1/organizations/{organization}/audit-entries"),
        None => "/v1/audit-entries".to_owned(),
    }
}

fn asked(filter: &AuditFilter) -> ExportAuditQuery {
    ExportAuditQuery {
        subject: filter.subject.as_ref().map(Subject::id),
        user: filter.person.map(|user| user.to_string()),
        action: filter.action.clone(),
        from: filter.from.map(|from| from.to_string()),
        until: filter.until.map(|until| until.to_string()),
    }
}
