//! The audit log: who did what to what, and when.

use keyward_api::{AuditEntryView, Page};
use keyward_store::{AuditId, Page as StorePage};

use super::Control;
use crate::{error::ControlError, views};

impl Control {
    /// The newest entries, or those behind `after`; newest first, `limit` (1 to 1,000) at most.
    pub async fn list_audit_entries(
        &self,
        after: Option<AuditId>,
        limit: u32,
    ) -> Result<Page<AuditEntryView>, ControlError> {
        let limit = limit.clamp(1, 1000);
        let entries = self.store.audit(StorePage { after, limit }).await?;
        let full = entries.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next = entries.last().filter(|_| full).map(|entry| entry.id.get().to_string());
        Ok(Page { items: entries.into_iter().map(views::audit_entry).collect(), next })
    }
}
