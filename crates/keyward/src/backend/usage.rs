//! What was used, both ways.

use anyhow::bail;
use keyward_api::{AccountView, KeyDetailsView, RowFormat, UsageGrainView, UsagePage, UsageQuery};
use keyward_control::app::usage::UsageAsked;
use keyward_core::{id::OrganizationId, verdict::Reason};
use keyward_store::{UsageBy, UsageGrain};

use super::{Backend, Remote};
use crate::site::operator;

const PAGE: u32 = 1000;

impl Backend {
    /// The sums that are asked for, all pages as one.
    pub async fn usage(&self, asked: &UsageAsked) -> anyhow::Result<UsagePage> {
        let place = self.usage_place(asked).await?;
        let mut whole: Option<UsagePage> = None;
        loop {
            let after = whole.as_ref().and_then(|whole| whole.next.clone());
            let page = match self {
                Self::Local(site) => {
                    let after = after.map(|after| after.parse()).transpose()?;
                    site.control().usage(&operator(), asked, after, PAGE).await?
                }
                Self::Remote(remote) => {
                    let query = UsageQuery { after, limit: Some(PAGE), ..place.query.clone() };
                    remote.client.get(&place.path, &query).await?
                }
            };
            let next = page.next.clone();
            match &mut whole {
                None => whole = Some(page),
                Some(whole) => {
                    whole.items.extend(page.items);
                    whole.next = page.next;
                }
            }
            if let (None, Some(whole)) = (next, whole.take_if(|whole| whole.next.is_none())) {
                return Ok(whole);
            }
        }
    }

    /// Hands the same out as CSV, piece after piece. An export that breaks off is an error.
    pub async fn export_usage(
        &self,
        asked: &UsageAsked,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Local(site) => {
                let (control, mut after) = (site.control(), None);
                loop {
                    let format = RowFormat::Csv;
                    let piece = control.export_usage(&operator(), asked, format, after).await?;
                    take(&piece.bytes)?;
                    match piece.next {
                        Some(next) => after = Some(next),
                        None => return Ok(()),
                    }
                }
            }
            Self::Remote(remote) => {
                // Exports are an organization's: of a key, its organization's with that key alone.
                let mut asked = asked.clone();
                if let (None, Some(key)) = (&asked.organization, asked.key) {
                    let path = format!("/v1/keys/{key}");
                    let details: KeyDetailsView = remote.client.get(&path, &()).await?;
                    asked.organization = Some(details.key.organization_id.parse()?);
                }
                let place = self.usage_place(&asked).await?;
                let query = UsageQuery { format: Some(RowFormat::Csv), ..place.query };
                remote.client.download(&format!("{}/export", place.path), &query, take).await
            }
        }
    }

    /// Where a server is asked for it, and with what.
    async fn usage_place(&self, asked: &UsageAsked) -> anyhow::Result<UsagePlace> {
        let query = query(asked);
        let of = |organization: &dyn std::fmt::Display, key: Option<String>| UsagePlace {
            path: format!("/v1/organizations/{organization}/usage"),
            query: UsageQuery { key, ..query.clone() },
        };
        match (self, &asked.organization, asked.key) {
            (_, Some(organization), key) => Ok(of(organization, key.map(|key| key.to_string()))),
            (_, None, Some(key)) => Ok(UsagePlace { path: format!("/v1/keys/{key}/usage"), query }),
            (Self::Remote(remote), None, None) if !operates(remote).await => {
                let seen = self.seen_organizations(None::<&OrganizationId>).await?;
                let [organization] = seen.as_slice() else {
                    bail!(
                        "{} organizations can be seen: name one of them with `--organization`",
                        seen.len()
                    );
                };
                Ok(of(organization, None))
            }
            (_, None, None) => Ok(UsagePlace { path: "/v1/usage".to_owned(), query }),
        }
    }
}

struct UsagePlace {
    path: String,
    query: UsageQuery,
}

/// Whether it is who runs the server that asks. A management key has no account.
async fn operates(remote: &Remote) -> bool {
    let account = remote.client.get::<AccountView>("/v1/account", &()).await;
    account.is_ok_and(|account| account.user.operator)
}

const fn name(by: UsageBy) -> &'static str {
    match by {
        UsageBy::Organization => "organization",
        UsageBy::Key => "key",
        UsageBy::Api => "api",
        UsageBy::Route => "route",
        UsageBy::Model => "model",
        UsageBy::Status => "status",
        UsageBy::Reason => "reason",
    }
}

/// Without whose usage it is: that stands in the path.
fn query(asked: &UsageAsked) -> UsageQuery {
    let by: Vec<_> = asked.by.iter().map(|by| name(*by)).collect();
    UsageQuery {
        from: asked.from.map(|from| from.to_string()),
        until: asked.until.map(|until| until.to_string()),
        grain: asked.grain.map(|grain| match grain {
            UsageGrain::Minute => UsageGrainView::Minute,
            UsageGrain::Hour => UsageGrainView::Hour,
            UsageGrain::Day => UsageGrainView::Day,
        }),
        group_by: (!by.is_empty()).then(|| by.join(",")),
        api: asked.api.clone(),
        route: asked.route.clone(),
        model: asked.model.clone(),
        status: asked.status,
        reason: asked.reason.map(|reason| Reason::name(reason).to_owned()),
        ..UsageQuery::default()
    }
}
