//! Limits, plans and prices, as they are written and shown.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An amount: a whole number of requests or tokens, or money as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "an amount is a whole number, or of money a text like \"12.50\"")]
pub enum AmountView {
    /// Requests or language-model tokens.
    Count(u64),
    /// Money, with at most nine digits behind the point.
    Money(String),
}

/// How a limit bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKindView {
    /// So much in any window of `window_seconds`, whatever its start.
    Rate,
    /// So many requests at once.
    Concurrency,
    /// So much in each `period` of the calendar.
    Quota,
    /// A balance that is used up, and may be filled again.
    Credit,
    /// So much money, in each `period` where one is named.
    Budget,
}

impl LimitKindView {
    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::Quota => "quota",
            Self::Credit => "credit",
            Self::Budget => "budget",
        }
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitUnitView {
    /// Requests that were let pass.
    Requests,
    /// Language-model tokens, read and written.
    Tokens,
    /// Language-model tokens that were read.
    InputTokens,
    /// Language-model tokens that were written.
    OutputTokens,
    /// Money.
    Cost,
}

impl LimitUnitView {
    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Cost => "cost",
        }
    }
}

/// A period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitPeriodView {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday on.
    Week,
    /// From the first of a month on.
    Month,
    /// From the first of January on.
    Year,
}

impl LimitPeriodView {
    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// A limit, and how it stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitStateView {
    /// The limit.
    pub limit: LimitView,
    /// Where it stands: `api`, `plan`, `organization` or `key`.
    #[schema(example = "plan")]
    pub place: String,
    /// What is used, requests in progress included; left out where routes or models are counted apart, and where only a gateway that
    /// runs elsewhere knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<AmountView>,
    /// What is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<AmountView>,
    /// From when on all of it is there again, if nothing else is used; left out where it never is by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11-22T12:01:00.000Z")]
    pub whole_at: Option<String>,
}

/// By what uses are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitDimensionView {
    /// Everybody who is on a plan, together; of a plan's limits alone.
    Plan,
    /// Each organization.
    Organization,
    /// Each key.
    Key,
    /// Each API.
    Api,
    /// Each route.
    Route,
    /// Each model that a request names.
    Model,
}

impl LimitDimensionView {
    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Organization => "organization",
            Self::Key => "key",
            Self::Api => "api",
            Self::Route => "route",
            Self::Model => "model",
        }
    }
}

/// What a credit gets by itself at the beginning of each period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "amount": 1000, "period": "month" }))]
pub struct RefillView {
    /// How much.
    pub amount: AmountView,
    /// When.
    pub period: LimitPeriodView,
    /// A balance above this is not filled further; left out, the limit's own amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<AmountView>,
}

/// A limit. What its kind does not know must be left out. Every limit that applies to a request must have room for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "requests", "kind": "rate", "unit": "requests", "amount": 100, "window_seconds": 60 }))]
pub struct LimitView {
    /// By it, its counts are found again, also after an edit. No other limit in the same place has it.
    #[schema(pattern = "^[a-z0-9-]{1,40}$")]
    pub name: String,
    /// How it bounds.
    pub kind: LimitKindView,
    /// What it counts; left out, requests, or for a budget money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<LimitUnitView>,
    /// How much.
    pub amount: AmountView,
    /// How long a rate's window is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86400)]
    pub window_seconds: Option<u64>,
    /// When a quota or a budget begins anew. A budget without one never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<LimitPeriodView>,
    /// Where days begin, by its IANA name; left out, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What a credit gets by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refill: Option<RefillView>,
    /// Whose use is counted apart; left out, all is counted together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per: Vec<LimitDimensionView>,
    /// Confined to these APIs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apis: Vec<String>,
    /// Confined to these routes, by their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Confined to these models; `large*` is all that begin so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Whether a stream that would pass it is ended, where an estimate was too low.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_streams: bool,
}

/// A plan: limits that organizations can be on together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// What people call it. Two that differ in case only are one.
    #[schema(example = "Premium")]
    pub name: String,
    /// Its limits; without `per` each is counted for each organization.
    pub limits: Vec<LimitView>,
    /// The profile that brings it; `null` where it was made here. What a profile brings is not changed here: a plan that is made with the
    /// same name takes its place.
    #[schema(example = "default")]
    pub profile: Option<String>,
    /// In the list of all plans, the APIs of that profile; in an organization's, the APIs at which it holds.
    #[serde(default)]
    #[schema(example = json!(["main"]))]
    pub apis: Vec<String>,
    /// Whether organizations that are on no plan are on it, at some API.
    #[serde(default)]
    #[schema(example = false)]
    pub default: bool,
    /// How many organizations are on it; told of plans that were made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 12)]
    pub organizations: Option<u64>,
    /// The revision of the last change to it; left out where a profile brings it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// What a plan shall be.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPlanInput {
    /// Its limits, in the place of all it had; at most 20.
    pub limits: Vec<LimitView>,
}

/// What a model's use costs. Prices of tokens are for a million of them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "model": "large-2*", "input": "2.50", "cached": "1.25", "output": "10.00" }))]
pub struct PutPriceInput {
    /// The model's name as requests write it; with a `*` at its end, all that begin so. The longest that fits counts.
    #[schema(pattern = "^([!-)+-~]{1,128}|[!-)+-~]{0,127}[*])$")]
    pub model: String,
    /// Tokens read; left out, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Tokens read from a cache; left out, as others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<String>,
    /// Tokens put into a cache; left out, as others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_written: Option<String>,
    /// Tokens written; left out, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Tokens of reasoning; left out, as others that are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Each request, besides its tokens; left out, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The most tokens that the model writes for one request: what is set aside where a request does not say less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub most_output: Option<u64>,
}

/// What a model's use costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceView {
    /// The model's name as requests write it; with a `*` at its end, all that begin so.
    #[schema(example = "large-2*")]
    pub model: String,
    /// A million tokens read.
    #[schema(example = "2.50")]
    pub input: String,
    /// A million tokens read from a cache; `null` where they cost what others do.
    #[schema(example = "1.25")]
    pub cached: Option<String>,
    /// A million tokens put into a cache; `null` where they cost what others do.
    #[schema(example = "3.75")]
    pub cache_written: Option<String>,
    /// A million tokens written.
    #[schema(example = "10.00")]
    pub output: String,
    /// A million tokens of reasoning; `null` where they cost what other written ones do.
    #[schema(example = "10.00")]
    pub reasoning: Option<String>,
    /// Each request, besides its tokens.
    #[schema(example = "0.00")]
    pub request: String,
    /// The most tokens that the model writes for one request, where that is known.
    #[schema(example = 16384)]
    pub most_output: Option<u64>,
    /// The revision of the last change to it.
    pub revision: u64,
}

/// Which price is forgotten.
#[derive(Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeletePriceQuery {
    /// The model, as the price writes it.
    #[serde(default)]
    #[param(example = "large-2*", required = true)]
    pub model: String,
}
