//! What was used: by whom, on what, when, with which answer. Asked by pages, or exported as a whole.

mod cursor;
mod rows;

use std::time::Duration;

use keyward_api::{RowFormat, UsagePage};
use keyward_core::{
    id::{KeyId, OrganizationId},
    member::Right,
    time::Timestamp,
    verdict::Reason,
};
use keyward_store::{UsageBy, UsageFilter, UsageGrain, UsageTotal};

use super::{Control, export::Piece};
use crate::{context::Context, error::ControlError};

pub use cursor::{Cursor, NotACursor};

/// Where nobody says from when on.
const RANGE: Duration = Duration::from_secs(24 * 3600);
/// Sums of a piece of an export.
const PIECE: u32 = 1000;
/// So many rows are read for a page or a piece at most: some seconds. Whoever asks for more is told how to ask for less.
const MOST_READ: u64 = 4_000_000;
const MILLIS_PER_MINUTE: u64 = 60_000;

/// For how long usage is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// By minutes.
    pub minutes: Duration,
    /// By hours.
    pub hours: Duration,
    /// By days.
    pub days: Duration,
}

impl Keep {
    /// For how long rows of a grain are kept.
    pub const fn of(&self, grain: UsageGrain) -> Duration {
        match grain {
            UsageGrain::Minute => self.minutes,
            UsageGrain::Hour => self.hours,
            UsageGrain::Day => self.days,
        }
    }

    /// The first minute of which rows of a grain are kept: a whole one of the grain.
    pub fn begin(&self, grain: UsageGrain, now: Timestamp) -> u64 {
        grain.floor(now.minus(self.of(grain)).as_minutes())
    }
}

impl Default for Keep {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        Self { minutes: days(2), hours: days(90), days: days(1096) }
    }
}

/// What of usage the operator chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageTerms {
    /// What costs are in.
    pub currency: String,
    /// For how long it is kept.
    pub keep: Keep,
}

impl Default for UsageTerms {
    fn default() -> Self {
        Self { currency: "USD".to_owned(), keep: Keep::default() }
    }
}

/// Which usage is asked for; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
pub struct UsageAsked {
    /// Of this organization; `None` for all, for who runs this Keyward, or where a key is named.
    pub organization: Option<OrganizationId>,
    /// Of this key.
    pub key: Option<KeyId>,
    /// At this API.
    pub api: Option<String>,
    /// Of the route with this pattern.
    pub route: Option<String>,
    /// Of this model.
    pub model: Option<String>,
    /// With this status.
    pub status: Option<u16>,
    /// Refused for this reason.
    pub reason: Option<Reason>,
    /// From then on; a day before the end where it is left out.
    pub from: Option<Timestamp>,
    /// Until before then; now where it is left out.
    pub until: Option<Timestamp>,
    /// A sum for each of these.
    pub grain: Option<UsageGrain>,
    /// A sum for each of these.
    pub by: Vec<UsageBy>,
}

fn moment(minute: u64) -> Timestamp {
    Timestamp::from_millis(minute.saturating_mul(MILLIS_PER_MINUTE))
}

impl Control {
    /// Sums over a range, by time and then by group, `limit` (1 to 1,000) at most.
    pub async fn usage(
        &self,
        context: &Context,
        asked: &UsageAsked,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<UsagePage, ControlError> {
        let filter = self.usage_filter(context, asked, after, limit.clamp(1, 1000)).await?;
        // Before it is asked: what is recorded meanwhile may be missing.
        let recorded_until = self.recorded_until(context.now);
        let totals = self.store.usage(&filter).await?;
        let (from, until) = filter.covered();
        Ok(UsagePage {
            next: next(&filter, &totals).map(|next| next.to_string()),
            items: totals.iter().map(rows::view).collect(),
            from: moment(from).to_string(),
            until: moment(until).to_string(),
            complete_until: recorded_until.min(moment(until)).to_string(),
            currency: self.usage_terms.currency.clone(),
        })
    }

    /// The piece behind `after` of an export of the same. The first one of CSV begins with a header.
    pub async fn export_usage(
        &self,
        context: &Context,
        asked: &UsageAsked,
        format: RowFormat,
        after: Option<Cursor>,
    ) -> Result<Piece<Cursor>, ControlError> {
        let is_first = after.is_none();
        let filter = self.usage_filter(context, asked, after, PIECE).await?;
        let totals = self.store.usage(&filter).await?;
        let bytes = match format {
            RowFormat::Csv => rows::csv(&totals, &self.usage_terms.currency, is_first),
            RowFormat::Jsonl => rows::json_lines(&totals),
        };
        let bytes = bytes.ok_or(ControlError::Interrupted)?;
        Ok(Piece { bytes, next: next(&filter, &totals) })
    }

    async fn usage_filter(
        &self,
        context: &Context,
        asked: &UsageAsked,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<UsageFilter, ControlError> {
        let organization = self.usage_of(context, asked).await?;
        let (from, until, finest) = self.range(context.now, asked)?;
        Ok(UsageFilter {
            finest,
            organization: organization.map(|id| id.to_string()),
            key: asked.key,
            api: asked.api.clone(),
            route: asked.route.clone(),
            model: asked.model.clone(),
            status: asked.status,
            reason: asked.reason,
            by: asked.by.clone(),
            grain: asked.grain,
            after: after.map(|Cursor(group)| group),
            limit,
            most_read: MOST_READ,
            ..UsageFilter::minutes(from, until)
        })
    }

    /// Whose usage is asked for, if the caller may see it. A key of another organization does not exist for them.
    async fn usage_of(
        &self,
        context: &Context,
        asked: &UsageAsked,
    ) -> Result<Option<OrganizationId>, ControlError> {
        let organization = match (&asked.organization, asked.key) {
            (None, Some(key)) => self.seen_key(context, key).await?.key.organization,
            (Some(organization), _) => organization.clone(),
            (None, None) => return context.require_operator().map(|()| None),
        };
        context.require(Right::ReadUsage, &organization)?;
        self.existing_organization(&organization).await?;
        Ok(Some(organization))
    }

    /// The range in minutes, and how finely it can be cut: what is long ago is kept by hours or days alone.
    fn range(
        &self,
        now: Timestamp,
        asked: &UsageAsked,
    ) -> Result<(u64, u64, UsageGrain), ControlError> {
        let keep = &self.usage_terms.keep;
        let until = asked.until.unwrap_or_else(|| now.plus(Duration::from_millis(1)));
        let from = asked.from.unwrap_or_else(|| until.minus(RANGE));
        if from >= until {
            return Err(ControlError::invalid(
                format!("the range from {from} until {until} is empty"),
                "let `until` be later than `from`",
            ));
        }
        let until_minute = until.as_millis().div_ceil(MILLIS_PER_MINUTE);
        let from_minute = from.as_minutes();
        let grain = asked.grain.unwrap_or(UsageGrain::Day);
        // What is no longer kept is not passed off as nothing.
        let from_minute = from_minute.max(keep.begin(grain, now));
        let until_minute = until_minute.max(from_minute);
        let kept = |grain: &UsageGrain| from_minute >= keep.begin(*grain, now);
        let finest = UsageGrain::ALL.into_iter().find(kept).unwrap_or(UsageGrain::Day);
        Ok((from_minute, until_minute, asked.grain.unwrap_or(finest)))
    }
}

/// Where the next page begins, if this one is full.
fn next(filter: &UsageFilter, totals: &[UsageTotal]) -> Option<Cursor> {
    let full = totals.len() >= usize::try_from(filter.limit).unwrap_or(usize::MAX);
    totals.last().filter(|_| full).map(|last| Cursor(last.group.clone()))
}

#[cfg(test)]
mod tests;
