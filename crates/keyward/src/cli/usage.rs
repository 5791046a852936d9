//! `keyward usage`

use clap::{Args, ValueEnum};
use keyward_api::{UsagePage, UsageSumView};
use keyward_control::app::usage::UsageAsked;
use keyward_core::{
    id::{KeyId, OrganizationId},
    verdict::Reason,
};
use keyward_store::{UsageBy, UsageGrain};

use super::values::{self, Moment};
use crate::{
    backend::Place,
    output::{Output, table},
    site::operator,
};

#[derive(Debug, Args)]
pub(super) struct Usage {
    /// Only of this organization
    #[arg(long)]
    organization: Option<OrganizationId>,
    /// Only of this key
    #[arg(long)]
    key: Option<KeyId>,
    /// Only at this API
    #[arg(long)]
    api: Option<String>,
    /// Only at the route with this pattern
    #[arg(long)]
    route: Option<String>,
    /// Only for this model
    #[arg(long)]
    model: Option<String>,
    /// Only with this status
    #[arg(long)]
    status: Option<u16>,
    /// Only what was refused for this reason, like rate_limited
    #[arg(long, value_parser = reason)]
    reason: Option<Reason>,
    /// Of the last 7d, 12h and the like [default: 24h]
    #[arg(long, value_parser = values::past, value_name = "HOW LONG", conflicts_with_all = ["from", "until"])]
    since: Option<Moment>,
    /// From then on: 7d ago, or 2027-01-31T00:00:00Z
    #[arg(long, value_parser = values::past, value_name = "WHEN")]
    from: Option<Moment>,
    /// Until before then
    #[arg(long, value_parser = values::past, value_name = "WHEN")]
    until: Option<Moment>,
    /// A line for each of these, with commas between them
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    by: Vec<By>,
    /// A line for each minute, hour or day
    #[arg(long)]
    grain: Option<Grain>,
    /// Write CSV, with every figure
    #[arg(long)]
    csv: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Grain {
    Minute,
    Hour,
    Day,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Organization,
    Key,
    Api,
    Route,
    Model,
    Status,
    Reason,
}

impl From<By> for UsageBy {
    fn from(by: By) -> Self {
        match by {
            By::Organization => Self::Organization,
            By::Key => Self::Key,
            By::Api => Self::Api,
            By::Route => Self::Route,
            By::Model => Self::Model,
            By::Status => Self::Status,
            By::Reason => Self::Reason,
        }
    }
}

fn reason(name: &str) -> Result<Reason, String> {
    Reason::named(name).ok_or_else(|| {
        let known: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        format!("use one of {}", known.join(", "))
    })
}

impl Usage {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let (csv, asked) = (self.csv, self.asked());
        let backend = place.open().await?;
        if csv {
            let mut begun = Vec::new();
            // Whole lines, however they came: what is written out before somebody's eyes is never half a character.
            let take = |piece: &[u8]| {
                begun.extend_from_slice(piece);
                match begun.iter().rposition(|byte| *byte == b'\n') {
                    Some(end) => Output::rows(&begun.drain(..=end).collect::<Vec<_>>()),
                    None => Ok(()),
                }
            };
            backend.export_usage(&asked, take).await?;
            return Output::rows(&begun);
        }
        output.show(&backend.usage(&asked).await?, listed)
    }

    fn asked(self) -> UsageAsked {
        let now = operator().now;
        UsageAsked {
            organization: self.organization,
            key: self.key,
            api: self.api,
            route: self.route,
            model: self.model,
            status: self.status,
            reason: self.reason,
            from: self.since.or(self.from).map(|from| from.before(now)),
            until: self.until.map(|until| until.before(now)),
            grain: self.grain.map(|grain| match grain {
                Grain::Minute => UsageGrain::Minute,
                Grain::Hour => UsageGrain::Hour,
                Grain::Day => UsageGrain::Day,
            }),
            by: self.by.into_iter().map(UsageBy::from).collect(),
        }
    }
}

/// What a sum is of: the headings, and how each is read of it.
type Column = (&'static str, fn(&UsageSumView) -> Option<String>);

const GROUPS: [Column; 8] = [
    ("start", |sum| sum.start.clone()),
    ("organization", |sum| sum.organization_id.clone()),
    ("key", |sum| sum.key_id.clone()),
    ("api", |sum| sum.api.clone()),
    ("route", |sum| sum.route.clone()),
    ("model", |sum| sum.model.clone()),
    ("status", |sum| sum.status.map(|status| status.to_string())),
    ("reason", |sum| sum.reason.clone()),
];

const FIGURES: [&str; 10] = [
    "requests",
    "errors",
    "refused",
    "tokens in",
    "tokens out",
    "cost",
    "bytes in",
    "bytes out",
    "median",
    "99 of 100",
];

fn listed(page: &UsagePage) -> String {
    let groups: Vec<_> = GROUPS
        .iter()
        .filter(|(_, read)| page.items.first().is_some_and(|first| read(first).is_some()))
        .collect();
    let heading: Vec<_> = groups.iter().map(|(name, _)| *name).chain(FIGURES).collect();
    let row = |sum: &UsageSumView| {
        let named = groups.iter().map(|(_, read)| match read(sum).unwrap_or_default() {
            none if none.is_empty() => "-".to_owned(),
            text => text,
        });
        let tokens = |count: u64| match sum.estimated {
            0 => grouped(count),
            _ => format!("~{}", grouped(count)),
        };
        let figures = [
            grouped(sum.requests),
            grouped(sum.errors),
            grouped(sum.refusals),
            tokens(sum.tokens.input),
            tokens(sum.tokens.output),
            sum.cost.clone(),
            bytes(sum.bytes_in),
            bytes(sum.bytes_out),
            millis(sum.latency_ms.p50),
            millis(sum.latency_ms.p99),
        ];
        named.chain(figures).collect()
    };
    let sums = table(&heading, page.items.iter().map(row).collect(), "Nothing was used.");
    format!(
        "{sums}\n\nFrom {} until {}, complete up to {}; costs in {}.",
        page.from, page.until, page.complete_until, page.currency
    )
}

/// With a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(number: u64) -> String {
    let (mut shown, mut unit) = (number, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if shown < 10 * 1024 {
            break;
        }
        (shown, unit) = (shown / 1024, larger);
    }
    format!("{} {unit}", grouped(shown))
}

fn millis(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.2} ms"),
        Some(ms) if ms < 10_000.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_to_be_read() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), expected);
        }
        for (number, expected) in
            [(0, "0 B"), (10_239, "10,239 B"), (10_240, "10 KiB"), (u64::MAX, "16,777,215 TiB")]
        {
            assert_eq!(bytes(number), expected);
        }
        for (ms, expected) in [
            (None, "-"),
            (Some(0.5), "0.50 ms"),
            (Some(412.4), "412 ms"),
            (Some(12_340.0), "12.3 s"),
        ] {
            assert_eq!(millis(ms), expected);
        }
    }
}
