//! A profile as it stands in its TOML file: what is left out is inherited.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    binding::BindingKind,
    key::format::{Alphabet, Checksum},
    limit::{Plan, PlanName},
    metering::{Metered, MeteringSource},
    route::LimitsTold,
};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) title: Option<String>,
    pub(super) inherits: Option<Spanned<String>>,
    pub(super) key: Option<Spanned<KeySource>>,
    pub(super) credential: Option<CredentialSource>,
    pub(super) transport: Option<TransportSource>,
    pub(super) issuance: Option<IssuanceSource>,
    pub(super) permissions: Option<Spanned<Vec<PermissionSource>>>,
    pub(super) presets: Option<Vec<Spanned<Preset>>>,
    pub(super) roles: Option<RolesSource>,
    pub(super) routes: Option<Vec<Spanned<RouteSource>>>,
    #[serde(default)]
    pub(super) refusals: RefusalsSource,
    pub(super) request_id: Option<Spanned<RequestIdSource>>,
    pub(super) limits: Option<Spanned<Limits>>,
    pub(super) metering: Option<Spanned<MeteringSource>>,
    pub(super) demo: Option<Spanned<Demo>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySource {
    pub(super) prefix: Option<String>,
    pub(super) length: Option<usize>,
    pub(super) alphabet: Option<Alphabet>,
    pub(super) checksum: Option<Checksum>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialSource {
    pub(super) slots: Option<Spanned<Vec<Spanned<SlotSource>>>>,
    pub(super) realm: Option<Spanned<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlotSource {
    pub(super) header: Option<String>,
    pub(super) scheme: Option<String>,
    pub(super) query: Option<String>,
    pub(super) subprotocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TransportSource {
    pub(super) https: Option<Https>,
    pub(super) exposed: Option<Exposed>,
}

/// Whether requests may come in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Https {
    /// A request in the clear is refused, never redirected.
    Required,
    /// Both are taken.
    Optional,
}

/// What becomes of a key that was sent in the clear where HTTPS is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exposed {
    /// The audit log says so.
    Mark,
    /// It is disabled, and the audit log says so.
    Disable,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuanceSource {
    pub(super) mode: Option<IssuanceMode>,
    pub(super) keys_per_organization: Option<u32>,
    pub(super) rotate_after_days: Option<Spanned<u32>>,
    pub(super) rotation: Option<RotationMode>,
}

/// What happens to a secret that should have been replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RotationMode {
    /// People are reminded.
    Remind,
    /// It is refused, too.
    Require,
}

/// What keys of members may be allowed, by role; left out, everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RolesSource {
    pub(super) developer: Option<Spanned<Vec<String>>>,
    pub(super) administrator: Option<Spanned<Vec<String>>>,
    pub(super) owner: Option<Spanned<Vec<String>>>,
}

/// Who may create keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssuanceMode {
    /// Members create keys themselves.
    SelfService,
    /// Members ask, administrators approve, the member claims the key once.
    Request,
    /// Only operators create keys.
    Staff,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PermissionSource {
    pub(super) name: String,
    pub(super) description: String,
    #[serde(default)]
    pub(super) implies: Vec<String>,
}

/// A named bundle of permissions to choose on creation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// As people choose it; case does not matter.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it grants.
    pub permissions: Vec<String>,
    /// The environment of keys made with it, unless another is named.
    pub environment: Option<String>,
}

/// A route as profiles and configurations write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSource {
    /// Methods, upper case.
    pub(super) methods: Vec<String>,
    /// A path pattern.
    pub(super) path: String,
    /// The permission it takes; left out where every valid key may.
    pub(super) permission: Option<String>,
    /// Fields that must belong to the key.
    #[serde(default)]
    pub(super) bindings: Vec<BindingSource>,
    /// Most bytes of a request body.
    pub(super) body_limit: Option<u64>,
    /// What of its requests' language-model tokens is counted. Left out, a POST that binds a model is a model's call, and any
    /// other counts what its answer tells.
    pub(super) metered: Option<Metered>,
    /// Whose limits its answers tell of.
    #[serde(default)]
    pub(super) limit_headers: LimitsTold,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BindingSource {
    pub(super) kind: BindingKind,
    pub(super) body: Option<String>,
    pub(super) query: Option<String>,
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) required: bool,
}

/// Words of refusals. The most particular that defines a word wins: the reason, then its status, then `all`,
/// first in this file, then in the inherited one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefusalsSource {
    pub(super) envelope: Option<Spanned<String>>,
    pub(super) content_type: Option<Spanned<String>>,
    pub(super) all: Option<Spanned<toml::Table>>,
    #[serde(default)]
    pub(super) status: BTreeMap<String, Spanned<toml::Table>>,
    #[serde(default)]
    pub(super) reason: BTreeMap<String, Spanned<toml::Table>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestIdSource {
    pub(super) header: Option<String>,
    pub(super) prefix: Option<String>,
}

/// How limits are told to clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How the moment of a reset is written.
    pub reset: Option<ResetForm>,
    /// Header names for limits on requests.
    pub requests: Option<LimitHeaders>,
    /// Header names for limits on language-model tokens.
    pub tokens: Option<LimitHeaders>,
    /// Bundles of limits that organizations can be on.
    #[serde(default)]
    pub plans: Vec<Plan>,
    /// The plan of organizations that are on none: one of `plans`.
    pub default_plan: Option<PlanName>,
}

/// The names of one kind of limit's headers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitHeaders {
    /// The most that is allowed.
    pub limit: String,
    /// What is left.
    pub remaining: String,
    /// When it is whole again.
    pub reset: String,
}

/// How a reset is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResetForm {
    /// Seconds since the Unix epoch.
    EpochSeconds,
    /// Seconds from now.
    DeltaSeconds,
    /// From now, like `6m0s`.
    Duration,
    /// RFC 3339 in UTC.
    Rfc3339,
}

/// What `keyward demo` shows of a profile: where it is reached, who calls, and what the built-in upstream answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demo {
    /// Hosts it is reached at.
    pub hosts: Vec<String>,
    /// Path prefixes.
    pub prefixes: Vec<String>,
    /// The organization that has a key.
    pub organization: DemoOrganization,
    /// What the key may do.
    pub permissions: Vec<String>,
    /// The request that is shown as a curl line.
    pub example: DemoExample,
    /// What the built-in upstream answers.
    pub answers: Vec<DemoAnswer>,
}

/// See [`Demo::organization`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoOrganization {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Model ids assigned to it.
    #[serde(default)]
    pub model_ids: Vec<String>,
}

/// See [`Demo::example`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoExample {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// A JSON body.
    pub body: Option<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// One answer of the built-in upstream; of several that match, the first is given.
///
/// Bodies and events may hold `{{model}}` (the model that the request names in its JSON body or its path), `{{id}}`
/// (letters and digits, the same throughout one answer), `{{now}}` (seconds since the Unix epoch, a number) and `{{n}}` (which event
/// of the stream it is). What was written is `{{text}}`; an event with a `{{word}}` is sent once for each of its words.
///
/// Counts of tokens follow from the request, so that no two are alike: `{{read}}`, of which `{{cached}}` came from a cache,
/// `{{cache_written}}` were put into one and `{{uncached}}` are the rest; `{{written}}`, of which `{{reasoning}}` were not text and
/// `{{text_tokens}}` were; and `{{total}}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoAnswer {
    /// The method.
    pub method: String,
    /// A path pattern.
    pub path: String,
    /// The status, 200 where left out.
    pub status: Option<u16>,
    /// A JSON body.
    pub body: String,
    /// Events of a stream, sent instead of the body to a request whose JSON body says `"stream": true`. Each is the
    /// lines of one event, without the empty line that ends it.
    #[serde(default)]
    pub events: Vec<String>,
    /// What stands in the query of a request for the stream, where its body does not ask for it.
    pub stream_query: Option<String>,
    /// An event that is sent before the last one where the request says `"stream_options": {"include_usage": true}`.
    pub usage_event: Option<String>,
}
