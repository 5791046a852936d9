//! The audit log.

pub(super) mod list;
pub(super) mod list_all;
pub(super) mod verify;

use keyward_api::ListAuditQuery;
use keyward_core::id::OrganizationId;
use keyward_store::{AuditFilter, Subject};

use super::{
    input::{invalid, read},
    problem::Refusal,
};

/// What a query asks for.
fn filter(
    organization: Option<OrganizationId>,
    asked: &ListAuditQuery,
) -> Result<AuditFilter, Refusal> {
    let subject = asked.subject.as_deref().map(|id| {
        Subject::of_id(id)
            .ok_or_else(|| invalid(format!("`subject` is no id: {}", id.escape_default())))
    });
    Ok(AuditFilter {
        organization,
        subject: subject.transpose()?,
        person: asked.user.as_deref().map(|user| read("user", user)).transpose()?,
        action: asked.action.clone(),
        from: asked.from.as_deref().map(|from| read("from", from)).transpose()?,
        until: asked.until.as_deref().map(|until| read("until", until)).transpose()?,
    })
}
