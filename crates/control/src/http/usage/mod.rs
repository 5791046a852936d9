//! What was used.

pub(super) mod export;
pub(super) mod export_all;
pub(super) mod of_all;
pub(super) mod of_key;
pub(super) mod of_organization;

use axum::response::Response;
use keyward_api::{RowFormat, UsageGrainView, UsagePage, UsageQuery};
use keyward_core::verdict::Reason;
use keyward_store::{UsageBy, UsageGrain};

use super::{
    Management,
    input::{invalid, limit, read},
    pieces::streamed,
    problem::Refusal,
};
use crate::{
    Context,
    app::usage::{Cursor, UsageAsked},
};

const BY: [(&str, UsageBy); 7] = [
    ("organization", UsageBy::Organization),
    ("key", UsageBy::Key),
    ("api", UsageBy::Api),
    ("route", UsageBy::Route),
    ("model", UsageBy::Model),
    ("status", UsageBy::Status),
    ("reason", UsageBy::Reason),
];

/// What a query asks for; whose usage it is of stands in the path as well.
fn asked(query: &UsageQuery) -> Result<UsageAsked, Refusal> {
    let reason = |name: &str| {
        Reason::named(name).ok_or_else(|| {
            let known: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
            invalid(format!("`reason` is none that there is: use one of {}", known.join(", ")))
        })
    };
    if let Some(status @ 1000..) = query.status {
        return Err(invalid(format!("`status` is {status}: a status has three digits")));
    }
    Ok(UsageAsked {
        organization: query
            .organization
            .as_deref()
            .map(|id| read("organization", id))
            .transpose()?,
        key: query.key.as_deref().map(|key| read("key", key)).transpose()?,
        api: query.api.clone(),
        route: query.route.clone(),
        model: query.model.clone(),
        status: query.status,
        reason: query.reason.as_deref().map(reason).transpose()?,
        from: query.from.as_deref().map(|from| read("from", from)).transpose()?,
        until: query.until.as_deref().map(|until| read("until", until)).transpose()?,
        grain: query.grain.and_then(|grain| match grain {
            UsageGrainView::None => None,
            UsageGrainView::Minute => Some(UsageGrain::Minute),
            UsageGrainView::Hour => Some(UsageGrain::Hour),
            UsageGrainView::Day => Some(UsageGrain::Day),
        }),
        by: query.group_by.as_deref().map(groups).transpose()?.unwrap_or_default(),
    })
}

fn groups(text: &str) -> Result<Vec<UsageBy>, Refusal> {
    let by = |name: &str| {
        BY.iter().find(|(known, _)| *known == name).map(|(_, by)| *by).ok_or_else(|| {
            let known = BY.map(|(name, _)| name).join(", ");
            invalid(format!("`group_by` names something that usage is not told apart by: write some of {known}, with commas between them"))
        })
    };
    text.split(',').map(by).collect()
}

async fn page(
    management: &Management,
    context: &Context,
    asked: &UsageAsked,
    query: &UsageQuery,
) -> Result<UsagePage, Refusal> {
    let after: Option<Cursor> =
        query.after.as_deref().map(|after| read("after", after)).transpose()?;
    let limit = limit(query.limit)?;
    Ok(management.control().usage(context, asked, after, limit).await?)
}

async fn exported(
    management: &Management,
    context: Context,
    asked: UsageAsked,
    query: &UsageQuery,
) -> Result<Response, Refusal> {
    let (control, format) = (management.control(), query.format.unwrap_or(RowFormat::Csv));
    let first = control.export_usage(&context, &asked, format, None).await?;
    Ok(streamed(format.media_type(), first, move |after| {
        let (control, context, asked) = (control.clone(), context.clone(), asked.clone());
        async move { control.export_usage(&context, &asked, format, Some(after)).await }
    }))
}
