//! Totals in words: as views, as JSON lines, as CSV (RFC 4180).

use keyward_api::{LatencyView, TokensView, UsageSumView};
use keyward_core::verdict::Reason;
use keyward_store::UsageTotal;

use super::{super::export::defused, moment};

const HEADER: [&str; 26] = [
    "start",
    "organization_id",
    "key_id",
    "api",
    "route",
    "model",
    "status",
    "reason",
    "requests",
    "errors",
    "refusals",
    "input_tokens",
    "cached_tokens",
    "cache_written_tokens",
    "output_tokens",
    "reasoning_tokens",
    "estimated",
    "cost",
    "currency",
    "bytes_in",
    "bytes_out",
    "latency_mean_ms",
    "latency_p50_ms",
    "latency_p90_ms",
    "latency_p99_ms",
    "percentiles_of",
];

/// Microseconds in milliseconds. What is lost above 2^53 µs, 285 years, is nobody's.
#[expect(clippy::cast_precision_loss, reason = "a latency in milliseconds needs no more digits")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

pub(super) fn view(total: &UsageTotal) -> UsageSumView {
    let (group, sums) = (&total.group, &total.sums);
    let quantile = |thousandths| total.latencies.quantile(thousandths).map(millis);
    UsageSumView {
        start: group.start.map(|start| moment(start).to_string()),
        organization_id: group.organization.clone(),
        key_id: group.key.map(|key| key.map(|key| key.to_string()).unwrap_or_default()),
        api: group.api.clone(),
        route: group.route.clone(),
        model: group.model.clone(),
        status: group.status,
        reason: group.reason.map(|reason| reason.map_or("", Reason::name).to_owned()),
        requests: sums.requests,
        errors: total.errors,
        refusals: total.refusals,
        tokens: TokensView {
            input: sums.tokens.input,
            cached: sums.tokens.cached,
            cache_written: sums.tokens.cache_written,
            output: sums.tokens.output,
            reasoning: sums.tokens.reasoning,
        },
        estimated: sums.estimated,
        cost: sums.cost.to_string(),
        bytes_in: sums.bytes_in,
        bytes_out: sums.bytes_out,
        latency_ms: LatencyView {
            mean: millis(sums.latency_micros.checked_div(sums.requests).unwrap_or_default()),
            p50: quantile(500),
            p90: quantile(900),
            p99: quantile(990),
        },
    }
}

pub(super) fn json_lines(totals: &[UsageTotal]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for total in totals {
        serde_json::to_writer(&mut bytes, &view(total)).ok()?;
        bytes.push(b'\n');
    }
    Some(bytes)
}

pub(super) fn csv(totals: &[UsageTotal], currency: &str, first: bool) -> Option<Vec<u8>> {
    let mut builder = csv::WriterBuilder::new();
    let mut writer = builder.terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if first {
        writer.write_record(HEADER).ok()?;
    }
    for total in totals {
        let sum = view(total);
        let latency = sum.latency_ms;
        let number = |number: Option<f64>| number.map(|ms| ms.to_string()).unwrap_or_default();
        let texts = [
            sum.start.unwrap_or_default(),
            sum.organization_id.unwrap_or_default(),
            sum.key_id.unwrap_or_default(),
            sum.api.unwrap_or_default(),
            sum.route.unwrap_or_default(),
            sum.model.unwrap_or_default(),
            sum.status.map(|status| status.to_string()).unwrap_or_default(),
            sum.reason.unwrap_or_default(),
        ];
        let figures = [
            sum.requests,
            sum.errors,
            sum.refusals,
            sum.tokens.input,
            sum.tokens.cached,
            sum.tokens.cache_written,
            sum.tokens.output,
            sum.tokens.reasoning,
            sum.estimated,
        ];
        let rest = [
            sum.cost,
            currency.to_owned(),
            sum.bytes_in.to_string(),
            sum.bytes_out.to_string(),
            number(Some(latency.mean)),
            number(latency.p50),
            number(latency.p90),
            number(latency.p99),
            total.latencies.total().to_string(),
        ];
        let cells = texts.into_iter().chain(figures.map(|figure| figure.to_string())).chain(rest);
        writer.write_record(cells.map(defused)).ok()?;
    }
    writer.into_inner().ok()
}
