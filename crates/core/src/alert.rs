//! Alerts: what people want to be told of before they look, as rules.
//!
//! A rule is a condition, what it is asked of, and whom it is told. It is told when it begins to hold, and once more when it holds no
//! longer; within its quiet time the same thing is not told again, however often it comes and goes.

use serde::{Deserialize, Serialize};

use crate::{
    id::{AlertRuleId, KeyId, OrganizationId, UserId},
    money::Money,
    time::Timestamp,
};

/// When people are to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// Of a limit, so much is used.
    LimitShare {
        /// 1 to 100.
        percent: u8,
    },
    /// So much was spent within the last days.
    Spend {
        /// More than this.
        amount: Money,
        /// 1 to 366.
        days: u16,
    },
    /// Of the requests, so many ended in a 5xx.
    ErrorRate {
        /// 1 to 100.
        percent: u8,
        /// Over the last minutes, 1 to 1,440.
        window_minutes: u16,
        /// Among fewer requests nothing is told.
        least_requests: u64,
    },
    /// Of the requests, so many were refused (401, 403 or 429).
    RefusalRate {
        /// 1 to 100.
        percent: u8,
        /// Over the last minutes, 1 to 1,440.
        window_minutes: u16,
        /// Among fewer requests nothing is told.
        least_requests: u64,
    },
    /// A key that is good was not used for so long.
    KeyUnused {
        /// 1 to 3,660.
        days: u16,
    },
    /// A key that is good ends within so long.
    KeyExpiring {
        /// 1 to 366.
        days: u16,
    },
    /// An old secret is still used so long after it was replaced.
    OldSecretInUse {
        /// 1 to 8,784.
        hours: u16,
    },
    /// A key is used from a network (IPv4: /24, IPv6: /48) that it was not used from before, as far as that is seen and remembered.
    NewNetwork {
        /// So many days after its first use, every network is as good as known; 0 to 366.
        learning_days: u16,
    },
    /// A key made many times as many requests in the last hour as in its usual one.
    Jump {
        /// 2 to 1,000.
        factor: u16,
        /// Among fewer requests nothing is told.
        least_requests: u64,
    },
    /// So many requests were refused (401, 403 or 429).
    ManyRefusals {
        /// 1 or more.
        count: u64,
        /// Over the last minutes, 1 to 1,440.
        window_minutes: u16,
    },
    /// A key was shown after it was revoked.
    RevokedKeyUsed,
}

impl Condition {
    /// No figure of requests in a condition is larger.
    pub const MOST_REQUESTS: u64 = 1_000_000_000_000;

    /// The word of its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::LimitShare { .. } => "limit_share",
            Self::Spend { .. } => "spend",
            Self::ErrorRate { .. } => "error_rate",
            Self::RefusalRate { .. } => "refusal_rate",
            Self::KeyUnused { .. } => "key_unused",
            Self::KeyExpiring { .. } => "key_expiring",
            Self::OldSecretInUse { .. } => "old_secret_in_use",
            Self::NewNetwork { .. } => "new_network",
            Self::Jump { .. } => "jump",
            Self::ManyRefusals { .. } => "many_refusals",
            Self::RevokedKeyUsed => "revoked_key_used",
        }
    }

    /// Whether its figures are within what can be asked for.
    pub fn is_sound(&self) -> bool {
        let percent = |percent: u8| (1..=100).contains(&percent);
        let window = |minutes: u16| (1..=1440).contains(&minutes);
        let least = |requests: u64| requests <= Self::MOST_REQUESTS;
        match *self {
            Self::LimitShare { percent: share } => percent(share),
            Self::Spend { days, .. } | Self::KeyExpiring { days } => (1..=366).contains(&days),
            Self::ErrorRate { percent: share, window_minutes, least_requests }
            | Self::RefusalRate { percent: share, window_minutes, least_requests } => {
                percent(share) && window(window_minutes) && least(least_requests)
            }
            Self::KeyUnused { days } => (1..=3660).contains(&days),
            Self::OldSecretInUse { hours } => (1..=8784).contains(&hours),
            Self::NewNetwork { learning_days } => learning_days <= 366,
            Self::Jump { factor, least_requests } => {
                (2..=1000).contains(&factor) && least(least_requests)
            }
            Self::ManyRefusals { count, window_minutes } => {
                count > 0 && least(count) && window(window_minutes)
            }
            Self::RevokedKeyUsed => true,
        }
    }
}

/// What a rule is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// The organization as a whole; what can only be asked of keys is asked of each.
    Organization,
    /// Each key of it.
    EachKey,
    /// One key.
    Key {
        /// Which.
        key: KeyId,
    },
}

/// Whom mails go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTo {
    /// Nobody.
    Nobody,
    /// Owners and administrators; of a rule of who runs this Keyward, those who do.
    Administrators,
    /// These, as long as they are members, or run this Keyward where the rule is of those.
    Members(Vec<UserId>),
}

/// Whom a rule is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// By mail.
    pub mail: MailTo,
    /// Webhooks that want to hear of alerts.
    pub webhooks: bool,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRule {
    /// Public id.
    pub id: AlertRuleId,
    /// Whose it is; `None` for one of who runs this Keyward, over every organization.
    pub organization: Option<OrganizationId>,
    /// What people call it. 1 to 100 characters.
    pub name: String,
    /// When people are told.
    pub condition: Condition,
    /// Of what.
    pub scope: Scope,
    /// Who.
    pub channel: Channel,
    /// The same thing is not told again within so many seconds.
    pub quiet_seconds: u64,
    /// Whether it is looked at.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The rules that a new organization has: on suspicious use of its keys.
pub fn defaults() -> [(&'static str, Condition); 4] {
    [
        ("Use of a revoked key", Condition::RevokedKeyUsed),
        ("A network never seen", Condition::NewNetwork { learning_days: 14 }),
        ("Ten times the usual hour", Condition::Jump { factor: 10, least_requests: 1_000 }),
        ("Many refusals", Condition::ManyRefusals { count: 100, window_minutes: 10 }),
    ]
}

/// How long a rule that nobody said more of is quiet.
pub const QUIET_SECONDS: u64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_reads_back_and_unknown_fields_are_refused() {
        for (_, condition) in defaults() {
            assert!(condition.is_sound());
            let text = serde_json::to_string(&condition).unwrap();
            assert!(text.contains(condition.kind()));
            assert_eq!(serde_json::from_str::<Condition>(&text).unwrap(), condition);
        }
        let more = r#"{"kind":"key_unused","days":1,"hours":1}"#;
        assert!(serde_json::from_str::<Condition>(more).is_err());
        let many = Condition::MOST_REQUESTS + 1;
        assert!(!Condition::ManyRefusals { count: many, window_minutes: 1 }.is_sound());
        assert!(!Condition::KeyUnused { days: 0 }.is_sound());
        assert!(!Condition::Jump { factor: 1, least_requests: 0 }.is_sound());
    }
}
