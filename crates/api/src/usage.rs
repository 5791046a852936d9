//! What was used, in sums.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::RowFormat;

/// The sums of one key at one route with one status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageView {
    /// The API.
    pub api: String,
    /// The route's pattern; empty where none matched.
    pub route: String,
    /// The key, where one was recognized.
    pub key_id: Option<String>,
    /// The status that was answered (499 where the client left before an answer).
    pub status: u16,
    /// How many requests.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes_in: u64,
    /// Bytes of the answers' bodies.
    pub bytes_out: u64,
    /// The mean time from a whole request head to the last byte of its answer, in microseconds.
    pub mean_latency_micros: u64,
    /// The minute of the first request.
    pub first_at: String,
    /// The minute of the last request.
    pub last_at: String,
}

/// Into which times usage is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageGrainView {
    /// Not at all: one sum over the range.
    None,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days, in UTC.
    Day,
}

/// Which usage is asked for, and how. What of it an operation takes says its description.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// See [`UsageParameters`].
    pub from: Option<String>,
    /// See [`UsageParameters`].
    pub until: Option<String>,
    /// See [`UsageParameters`].
    pub grain: Option<UsageGrainView>,
    /// See [`UsageParameters`].
    pub group_by: Option<String>,
    /// See [`UsageOrganizationParameter`].
    pub organization: Option<String>,
    /// See [`UsageKeyParameter`].
    pub key: Option<String>,
    /// See [`UsageParameters`].
    pub api: Option<String>,
    /// See [`UsageParameters`].
    pub route: Option<String>,
    /// See [`UsageParameters`].
    pub model: Option<String>,
    /// See [`UsageParameters`].
    pub status: Option<u16>,
    /// See [`UsageParameters`].
    pub reason: Option<String>,
    /// See [`UsagePageParameters`].
    pub after: Option<String>,
    /// See [`UsagePageParameters`].
    pub limit: Option<u32>,
    /// See [`UsageExportParameter`].
    pub format: Option<RowFormat>,
}

/// What every question about usage takes, for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageParameters {
    /// From then on, RFC 3339; a day before `until` where left out. The answer says which time it covers: whole minutes, or whole times
    /// of `grain`, and of what is long ago whole hours or days.
    #[param(example = "2026-01-01T00:00:00Z")]
    pub from: Option<String>,
    /// Until before then, RFC 3339; now where left out.
    #[param(example = "2026-02-01T00:00:00Z")]
    pub until: Option<String>,
    /// A sum for each of these; one for the whole range where left out.
    #[param(inline)]
    pub grain: Option<UsageGrainView>,
    /// A sum for each of these, with commas between them: organization, key, api, route, model, status, reason.
    #[param(
        example = "key,model",
        pattern = "^(organization|key|api|route|model|status|reason)(,(organization|key|api|route|model|status|reason))*$"
    )]
    pub group_by: Option<String>,
    /// Only at this API.
    pub api: Option<String>,
    /// Only at the route with this pattern.
    #[param(example = "/v1/chat/completions")]
    pub route: Option<String>,
    /// Only for this model.
    pub model: Option<String>,
    /// Only with this status.
    #[param(maximum = 999)]
    pub status: Option<u16>,
    /// Only what Keyward refused for this reason, like `rate_limited`.
    #[param(example = "rate_limited")]
    pub reason: Option<String>,
}

/// That usage may be asked for by organization, for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageOrganizationParameter {
    /// Only of this organization.
    #[param(pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    pub organization: Option<String>,
}

/// That usage may be asked for by key, for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageKeyParameter {
    /// Only of this key.
    #[param(pattern = "^key_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub key: Option<String>,
}

/// A page of usage, for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsagePageParameters {
    /// Behind this sum: the `next` of the page before.
    #[param(pattern = "^([0-9a-f][0-9a-f])+$")]
    pub after: Option<String>,
    /// How many, 1 to 1,000; 100 where left out.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// How usage is exported, for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageExportParameter {
    /// In which form; CSV where left out.
    #[param(inline)]
    pub format: Option<RowFormat>,
}

/// Language-model tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokensView {
    /// Read by the model, those from a cache and those put into one included.
    pub input: u64,
    /// Of those read, how many came from a cache.
    pub cached: u64,
    /// Of those read, how many were put into a cache.
    pub cache_written: u64,
    /// Written by the model, those of reasoning included.
    pub output: u64,
    /// Of those written, how many were reasoning.
    pub reasoning: u64,
}

/// How long requests took, from the whole head to the last byte of the answer, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatencyView {
    /// On average.
    pub mean: f64,
    /// Half of them took no longer, within a twentieth; left out where it was not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// Nine of ten took no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90: Option<f64>,
    /// Ninety-nine of a hundred took no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
}

/// What was used by one group. What the answer is not told apart by is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageSumView {
    /// When its time begins, where it was asked for by minute, hour or day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The organization; empty where no key was recognized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// The key; empty where none was recognized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The API; empty where none was at the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// The route's pattern; empty where none matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The model; empty where none was named, `other` for names that the upstream never answered a request for, and where an
    /// organization has too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The status that was answered (499 where the client left before an answer).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why Keyward answered itself; empty where the upstream's answer was passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many requests.
    pub requests: u64,
    /// How many of them got an answer of 400 or more.
    pub errors: u64,
    /// How many of them Keyward answered itself.
    pub refusals: u64,
    /// Language-model tokens.
    pub tokens: TokensView,
    /// How many of the requests have tokens that are estimated, because their answer did not tell them.
    pub estimated: u64,
    /// What they cost, as a decimal number of the currency.
    pub cost: String,
    /// Bytes of the requests' bodies.
    pub bytes_in: u64,
    /// Bytes of the answers' bodies.
    pub bytes_out: u64,
    /// How long they took.
    pub latency_ms: LatencyView,
}

/// Usage over a range of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsagePage {
    /// The sums, by time and then by group.
    pub items: Vec<UsageSumView>,
    /// What to ask for the next piece with; `None` at the end.
    pub next: Option<String>,
    /// The begin of the time that was added up.
    pub from: String,
    /// Its end.
    pub until: String,
    /// Up to when requests that had ended are counted: what ended later may be missing still.
    pub complete_until: String,
    /// What costs are in.
    pub currency: String,
}
