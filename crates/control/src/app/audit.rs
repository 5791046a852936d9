//! The audit log: who did what to what, and when, by pages or as a whole; and whether it is still what was written.

use std::collections::{HashMap, hash_map::Entry};

use keyward_api::{AuditEntryView, AuditProofView, Page};
use keyward_core::{id::OrganizationId, member::Right};
use keyward_store::{AuditEntry, AuditFilter, AuditHead, AuditId, Page as StorePage};

use super::{Control, export::Piece};
use crate::{context::Context, error::ControlError, views};

/// Entries of a piece of an export.
const PIECE: u32 = 500;

impl Control {
    /// The newest entries that `filter` lets through, or those behind `after`; newest first, `limit` (1 to 1,000) at most.
    /// Only who runs this Keyward sees what is no organization's business, or several organizations'.
    pub async fn list_audit_entries(
        &self,
        context: &Context,
        filter: &AuditFilter,
        after: Option<AuditId>,
        limit: u32,
    ) -> Result<Page<AuditEntryView>, ControlError> {
        match &filter.organization {
            Some(organization) => {
                context.require(Right::ReadAudit, organization)?;
                self.existing_organization(organization).await?;
            }
            None => context.require_operator()?,
        }
        let limit = limit.clamp(1, 1000);
        let entries = self.store.audit(filter, StorePage { after, limit }).await?;
        let full = entries.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next = entries.last().filter(|_| full).map(|entry| entry.id.get().to_string());
        let mut known = HashMap::new();
        for person in entries.iter().filter_map(|entry| entry.actor.person) {
            if let Entry::Vacant(unknown) = known.entry(person) {
                // Who runs this Keyward is no member: their address is not the organization's to know.
                let shown = self.store.user(person).await?.filter(|record| {
                    let belongs = |of: &OrganizationId| {
                        record.memberships.iter().any(|one| one.organization == *of)
                    };
                    let of = filter.organization.as_ref();
                    context.operates() || !record.user.operator || of.is_some_and(belongs)
                });
                unknown.insert(shown.map(|record| record.user.email));
            }
        }
        let mut keys = HashMap::new();
        for key in entries.iter().filter_map(|entry| entry.actor.key) {
            if let Entry::Vacant(unknown) = keys.entry(key) {
                let shown = self.store.key(key).await?.filter(|record| {
                    context.operates()
                        || filter.organization.as_ref() == Some(&record.key.organization)
                });
                unknown.insert(shown.map(|record| record.key.name));
            }
        }
        let name = |entry: &AuditEntry| match (entry.actor.person, entry.actor.key) {
            (Some(person), _) => known.get(&person)?.as_ref().map(ToString::to_string),
            (_, Some(key)) => keys.get(&key)?.clone(),
            (None, None) => None,
        };
        let items = entries.into_iter().map(|entry| {
            let known_as = name(&entry);
            views::audit_entry(entry, known_as)
        });
        Ok(Page { items: items.collect(), next })
    }

    /// The piece behind `after` of an export of all entries that `filter` lets through, as JSON lines, newest first. Entries that are
    /// written meanwhile stand before the first one, so that the pieces together are the log as it was at the beginning.
    pub async fn export_audit_entries(
        &self,
        context: &Context,
        filter: &AuditFilter,
        after: Option<AuditId>,
    ) -> Result<Piece<AuditId>, ControlError> {
        let page = self.list_audit_entries(context, filter, after, PIECE).await?;
        let mut bytes = Vec::new();
        for entry in &page.items {
            serde_json::to_writer(&mut bytes, entry).map_err(|_| ControlError::Interrupted)?;
            bytes.push(b'\n');
        }
        let last = page.items.last().filter(|_| page.next.is_some());
        Ok(Piece { bytes, next: last.map(|entry| AuditId::new(entry.id)) })
    }

    /// Reads the whole log and says whether it is what was written, and holds what was once `noted` of it.
    /// A log that is broken is an answer, not an error.
    pub async fn verify_audit(
        &self,
        context: &Context,
        noted: Option<AuditHead>,
    ) -> Result<AuditProofView, ControlError> {
        context.require_operator()?;
        Ok(views::audit_proof(&self.store.verify_audit(noted).await?))
    }
}
