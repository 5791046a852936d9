//! The audit log.

pub(super) mod export;
pub(super) mod export_all;
pub(super) mod list;
pub(super) mod list_all;
pub(super) mod verify;

use axum::response::Response;
use keyward_api::{ListAuditQuery, RowFormat};
use keyward_core::id::OrganizationId;
use keyward_store::{AuditFilter, Subject};

use super::{
    Management,
    input::{invalid, read},
    pieces::streamed,
    problem::Refusal,
};
use crate::Context;

/// All that a filter lets through, as JSON lines.
async fn exported(
    management: &Management,
    context: Context,
    filter: AuditFilter,
) -> Result<Response, Refusal> {
    let control = management.control();
    let first = control.export_audit_entries(&context, &filter, None).await?;
    Ok(streamed(RowFormat::Jsonl.media_type(), first, move |after| {
        let (control, context, filter) = (control.clone(), context.clone(), filter.clone());
        async move { control.export_audit_entries(&context, &filter, Some(after)).await }
    }))
}

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
