//! The audit log, both ways.

use keyward_api::{AuditEntryView, AuditProofView, ListAuditQuery, Page, VerifyAuditQuery};
use keyward_store::{AuditFilter, AuditHead, AuditId};

use super::Backend;
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
                let path = match &filter.organization {
                    Some(organization) => format!("/v1/organizations/{organization}/audit-entries"),
                    None => "/v1/audit-entries".to_owned(),
                };
                let query = ListAuditQuery {
                    subject: filter.subject.as_ref().map(|subject| subject.id()),
                    user: filter.person.map(|user| user.to_string()),
                    action: filter.action.clone(),
                    from: filter.from.map(|from| from.to_string()),
                    until: filter.until.map(|until| until.to_string()),
                    after,
                    limit: Some(limit),
                };
                Ok(remote.client.get(&path, &query).await?)
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
