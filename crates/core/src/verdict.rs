//! What comes out of a decision: a permit, a denial with its reason, or an outage.
//!
//! Three answers, never two: refused (4xx, the caller can mend it) and unable (503, we cannot know) must not
//! be mixed up, or a database that is away would tell every customer that its key is wrong.

use std::{borrow::Cow, time::Duration};

use crate::{
    id::{KeyId, SecretId},
    permission::PermissionSet,
    time::Timestamp,
};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a request is not forwarded, or not answered by its upstream. A profile words each one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of a request's way.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name by which profiles word it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// Framing, path or headers that another server could read otherwise.
    BadRequest = "bad_request",
    /// The head did not arrive whole in time.
    RequestTimeout = "request_timeout",
    /// The request target is too long.
    UriTooLong = "uri_too_long",
    /// The head is too large or has too many headers.
    HeadTooLarge = "head_too_large",
    /// No API is protected at this host and path.
    UnknownApi = "unknown_api",
    /// The API demands HTTPS and the request came in the clear.
    InsecureTransport = "insecure_transport",
    /// No credential came.
    MissingKey = "missing_key",
    /// More than one credential came.
    SeveralCredentials = "several_credentials",
    /// What came is not a key of this API's format, or came under a foreign scheme.
    MalformedKey = "malformed_key",
    /// Nobody knows the key.
    UnknownKey = "unknown_key",
    /// The key was revoked.
    RevokedKey = "revoked_key",
    /// The key is disabled for now.
    DisabledKey = "disabled_key",
    /// The key, or this secret of it, has expired.
    ExpiredKey = "expired_key",
    /// The organization is suspended.
    SuspendedOrganization = "suspended_organization",
    /// The client's address is in none of the key's networks.
    ForeignNetwork = "foreign_network",
    /// No route names the path.
    UnknownRoute = "unknown_route",
    /// A route names the path, with other methods.
    MethodNotAllowed = "method_not_allowed",
    /// The key lacks the route's permission.
    InsufficientPermission = "insufficient_permission",
    /// The body is larger than the route takes.
    BodyTooLarge = "body_too_large",
    /// The body, or the query, cannot be decided on.
    InvalidBody = "invalid_body",
    /// A field that the route demands is missing or is no string.
    MissingField = "missing_field",
    /// The request names another organization than the key's.
    ForeignOrganization = "foreign_organization",
    /// The request names a model id that is not the organization's.
    ForeignModelId = "foreign_model_id",
    /// The request asks for a model that the key is not allowed.
    ModelNotAllowed = "model_not_allowed",
    /// Nobody said what the model costs that the request asks for, and what it costs is limited.
    UnpricedModel = "unpriced_model",
    /// Nobody can say what the request uses, and what it uses is limited.
    UnknownUse = "unknown_use",
    /// A rate is reached; waiting helps.
    RateLimited = "rate_limited",
    /// Too many requests are in progress; waiting helps.
    ConcurrencyLimited = "concurrency_limited",
    /// What a period of the calendar allows is used up.
    QuotaExhausted = "quota_exhausted",
    /// The money for a period of the calendar is used up.
    BudgetExhausted = "budget_exhausted",
    /// The balance is used up.
    CreditExhausted = "credit_exhausted",
    /// One request asks for more than a limit ever allows.
    ExceedsLimit = "exceeds_limit",
    /// A fault of ours.
    Internal = "internal",
    /// The upstream could not be reached or its answer is no HTTP.
    BadGateway = "bad_gateway",
    /// We cannot know, or cannot take more now.
    Unavailable = "unavailable",
    /// The upstream did not answer in time.
    GatewayTimeout = "gateway_timeout",
}

impl Reason {
    /// The reason of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

/// A refusal: its reason, and the facts its words may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// One sentence: what was wrong and what would be right.
    pub detail: Cow<'static, str>,
    /// The key that was recognized, or a fingerprint of what was presented.
    pub key_id: Option<KeyId>,
    /// The key that was recognized, if one was: the one whose usage this request counts to.
    pub known_key: Option<KeyId>,
    /// Its organization.
    pub known_organization: Option<crate::directory::OrganizationSlot>,
    /// When the key or secret expired.
    pub expired_at: Option<Timestamp>,
    /// The permission that is missing, by name.
    pub required: Option<Box<str>>,
    /// The request field the refusal is about.
    pub field: Option<Box<str>>,
    /// Its value, or the model asked for.
    pub value: Option<Box<str>>,
    /// Methods that would be right, as the `Allow` header writes them.
    pub allowed: Option<Box<str>>,
    /// How long to wait before trying again.
    pub retry_after: Option<Duration>,
    /// The limit that has no room, by name.
    pub limit: Option<Box<str>>,
}

impl Denial {
    /// A refusal with nothing known but its reason.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            key_id: None,
            known_key: None,
            known_organization: None,
            expired_at: None,
            required: None,
            field: None,
            value: None,
            allowed: None,
            retry_after: None,
            limit: None,
        }
    }
}

/// We cannot know: what we would decide from is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// How old the last state known to be true is.
    pub age: Duration,
}

/// Leave to forward one request. Only [`crate::decide`] makes one, and forwarding takes it by value: a request
/// that was not decided on cannot be forwarded by mistake.
#[derive(Debug)]
pub struct Permit {
    /// The key.
    pub(crate) key: KeyId,
    /// Its secret that was sent.
    pub(crate) secret: SecretId,
    /// The secret's digest, by which it is found again.
    pub(crate) digest: crate::key::Digest,
    /// Which organization, by its place in the directory.
    pub(crate) organization: crate::directory::OrganizationSlot,
    /// What the key may do.
    pub(crate) permissions: PermissionSet,
    /// What narrows it, its limits among that.
    pub(crate) restrictions: Option<std::sync::Arc<crate::directory::Restrictions>>,
    /// The model that the request names.
    pub(crate) model: Option<Box<str>>,
}

impl Permit {
    /// The key that was accepted.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// The secret of it that was sent.
    pub const fn secret(&self) -> SecretId {
        self.secret
    }

    /// Its organization.
    pub const fn organization(&self) -> crate::directory::OrganizationSlot {
        self.organization
    }

    /// What the key may do.
    pub const fn permissions(&self) -> PermissionSet {
        self.permissions
    }

    /// The model that the request names, where its route binds one.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }
}

/// What is decided about a request.
#[derive(Debug)]
pub enum Verdict {
    /// It may be forwarded.
    Permit(Permit),
    /// It is refused, and the caller can mend it.
    Denial(Box<Denial>),
    /// We cannot know.
    Outage(Outage),
}
