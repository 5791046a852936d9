//! Alert rules, and what they raised.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// When people are to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AlertConditionView {
    /// Of a limit, so much is used.
    LimitShare {
        /// Of the limit.
        #[schema(example = 80, minimum = 1, maximum = 100)]
        percent: u8,
    },
    /// More was spent within the last days.
    Spend {
        /// In the currency of the price list.
        #[schema(example = "100.00")]
        amount: String,
        /// Days.
        #[schema(example = 30, minimum = 1, maximum = 366)]
        days: u16,
    },
    /// So many of the requests ended in a 5xx.
    ErrorRate {
        /// Of the requests.
        #[schema(example = 10, minimum = 1, maximum = 100)]
        percent: u8,
        /// Over the last minutes.
        #[schema(example = 15, minimum = 1, maximum = 1440)]
        window_minutes: u16,
        /// Among fewer requests nothing is told.
        #[schema(example = 100, maximum = 1_000_000_000_000_u64)]
        least_requests: u64,
    },
    /// So many of the requests were refused.
    RefusalRate {
        /// Of the requests.
        #[schema(example = 10, minimum = 1, maximum = 100)]
        percent: u8,
        /// Over the last minutes.
        #[schema(example = 15, minimum = 1, maximum = 1440)]
        window_minutes: u16,
        /// Among fewer requests nothing is told.
        #[schema(example = 100, maximum = 1_000_000_000_000_u64)]
        least_requests: u64,
    },
    /// A key that is good was not used for so long.
    KeyUnused {
        /// Days.
        #[schema(example = 90, minimum = 1, maximum = 3660)]
        days: u16,
    },
    /// A key that is good ends within so long.
    KeyExpiring {
        /// Days.
        #[schema(example = 14, minimum = 1, maximum = 366)]
        days: u16,
    },
    /// An old secret is still used so long after it was replaced.
    OldSecretInUse {
        /// Hours.
        #[schema(example = 24, minimum = 1, maximum = 8784)]
        hours: u16,
    },
    /// A key is used from a network (IPv4: /24, IPv6: /48) that it was not used from before. Use that goes on for a while is seen; a
    /// few requests beside many from elsewhere may not be. A key that is known from 64 networks is used from everywhere: nothing is told.
    NewNetwork {
        /// Of the networks in its first days nothing is told.
        #[schema(example = 14, maximum = 366)]
        learning_days: u16,
    },
    /// A key made many times as many requests in the last hour as in its usual one.
    Jump {
        /// How many times.
        #[schema(example = 10, minimum = 2, maximum = 1000)]
        factor: u16,
        /// Of fewer requests nothing is told.
        #[schema(example = 1000, maximum = 1_000_000_000_000_u64)]
        least_requests: u64,
    },
    /// So many requests were refused.
    ManyRefusals {
        /// Requests.
        #[schema(example = 100, minimum = 1, maximum = 1_000_000_000_000_u64)]
        count: u64,
        /// Over the last minutes.
        #[schema(example = 10, minimum = 1, maximum = 1440)]
        window_minutes: u16,
    },
    /// A key was shown after it was revoked, within the last hour.
    RevokedKeyUsed,
}

/// What a rule is asked of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum AlertScopeView {
    /// The organization as a whole; what can only be asked of keys is asked of each.
    Organization,
    /// Each key of it.
    EachKey,
    /// One key.
    Key {
        /// Which.
        #[schema(example = "key_7j0z2k4m6n8p0q2r4s6t8v0w2x")]
        key: String,
    },
}

/// Whom mails go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertMailView {
    /// Nobody.
    Nobody,
    /// Owners and administrators; of a rule of who runs this Keyward, those who do.
    Administrators,
    /// These, as long as they are members, or run this Keyward where the rule is of those.
    Members(Vec<String>),
}

/// Whom a rule is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertChannelView {
    /// By mail.
    pub mail: AlertMailView,
    /// Whether webhooks that want to hear of alerts are told.
    #[schema(example = true)]
    pub webhooks: bool,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertRuleView {
    /// Its id.
    pub id: String,
    /// Whose it is; `null` for one of who runs this Keyward, over every organization.
    pub organization_id: Option<String>,
    /// What people call it.
    pub name: String,
    /// When people are told.
    pub condition: AlertConditionView,
    /// Of what.
    pub scope: AlertScopeView,
    /// Who.
    pub channel: AlertChannelView,
    /// The same thing is not told again within so many seconds.
    pub quiet_seconds: u64,
    /// Whether it is looked at.
    pub enabled: bool,
    /// The revision of the last change to it.
    #[serde(default)]
    pub revision: u64,
    /// When it was made.
    pub created_at: String,
}

/// That a rule holds of something, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertView {
    /// Its id.
    pub id: String,
    /// By which rule.
    pub rule_id: String,
    /// Whose business it is.
    pub organization_id: Option<String>,
    /// The key, where it is one's.
    pub key_id: Option<String>,
    /// Of what: a key's id, an organization's, or more with a word behind it.
    pub subject: String,
    /// What there is, for people.
    pub message: String,
    /// Since when.
    pub raised_at: String,
    /// Until when; `null` as long as it holds.
    pub resolved_at: Option<String>,
}

/// A new rule.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertRuleInput {
    /// What people call it, 1 to 100 characters.
    #[schema(example = "Keys that rest")]
    pub name: String,
    /// When people are told.
    pub condition: AlertConditionView,
    /// Of what; left out, of each key.
    pub scope: Option<AlertScopeView>,
    /// Who; left out, owners and administrators, and webhooks.
    pub channel: Option<AlertChannelView>,
    /// The same thing is not told again within so many seconds, at most 366 days; left out, a day.
    #[schema(example = 86_400, maximum = 31_622_400)]
    pub quiet_seconds: Option<u64>,
}

/// What of a rule shall be different. What is left out stays.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAlertRuleInput {
    /// What people call it.
    #[schema(example = "Keys that rest")]
    pub name: Option<String>,
    /// When people are told.
    pub condition: Option<AlertConditionView>,
    /// Of what.
    pub scope: Option<AlertScopeView>,
    /// Who.
    pub channel: Option<AlertChannelView>,
    /// The same thing is not told again within so many seconds.
    #[schema(example = 86_400, maximum = 31_622_400)]
    pub quiet_seconds: Option<u64>,
    /// Whether it is looked at.
    pub enabled: Option<bool>,
}

/// Which alerts to list, newest first.
#[derive(Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAlertsQuery {
    /// Only those that are raised now, or that are over.
    pub raised: Option<bool>,
    /// Behind this one: the `next` of the page before.
    pub after: Option<String>,
    /// How many, 1 to 1,000; 100 where left out.
    pub limit: Option<u32>,
}
