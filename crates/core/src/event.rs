//! What receivers of webhooks are told of: the kinds of events, by dotted words that stay as they are.
//!
//! Most tell of a change, and are written in its transaction; an alert's are told by who looks for alerts. Programs match on
//! these words, so one is never given another meaning, and new ones may come.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A key was made, or claimed.
    KeyCreated,
    /// A key came from another system.
    KeyImported,
    /// What is written on a key, or what it may, was changed.
    KeyUpdated,
    /// A key rests.
    KeyDisabled,
    /// A key works again.
    KeyEnabled,
    /// A key ended for good.
    KeyRevoked,
    /// A key has a new secret.
    KeyRotated,
    /// An old secret of a key was ended.
    KeySecretRetired,
    /// A key was seen in the clear.
    KeyExposed,
    /// Somebody asks for a key.
    KeyRequestCreated,
    /// A request for a key was approved.
    KeyRequestApproved,
    /// A request for a key was denied.
    KeyRequestDenied,
    /// A request for a key was taken back.
    KeyRequestWithdrawn,
    /// Somebody belongs to the organization now.
    MemberJoined,
    /// A member has another role.
    MemberChanged,
    /// Somebody does not belong to it any more.
    MemberRemoved,
    /// What is written on the organization was changed.
    OrganizationUpdated,
    /// None of its keys work.
    OrganizationSuspended,
    /// Its keys work again.
    OrganizationResumed,
    /// An alert rule holds.
    AlertRaised,
    /// It holds no longer.
    AlertResolved,
    /// Somebody wants to see whether a webhook works.
    WebhookTest,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::KeyCreated,
        Self::KeyImported,
        Self::KeyUpdated,
        Self::KeyDisabled,
        Self::KeyEnabled,
        Self::KeyRevoked,
        Self::KeyRotated,
        Self::KeySecretRetired,
        Self::KeyExposed,
        Self::KeyRequestCreated,
        Self::KeyRequestApproved,
        Self::KeyRequestDenied,
        Self::KeyRequestWithdrawn,
        Self::MemberJoined,
        Self::MemberChanged,
        Self::MemberRemoved,
        Self::OrganizationUpdated,
        Self::OrganizationSuspended,
        Self::OrganizationResumed,
        Self::AlertRaised,
        Self::AlertResolved,
        Self::WebhookTest,
    ];

    /// The word it is sent, stored and shown by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreated => "key.created",
            Self::KeyImported => "key.imported",
            Self::KeyUpdated => "key.updated",
            Self::KeyDisabled => "key.disabled",
            Self::KeyEnabled => "key.enabled",
            Self::KeyRevoked => "key.revoked",
            Self::KeyRotated => "key.rotated",
            Self::KeySecretRetired => "key.secret_retired",
            Self::KeyExposed => "key.exposed",
            Self::KeyRequestCreated => "key_request.created",
            Self::KeyRequestApproved => "key_request.approved",
            Self::KeyRequestDenied => "key_request.denied",
            Self::KeyRequestWithdrawn => "key_request.withdrawn",
            Self::MemberJoined => "member.joined",
            Self::MemberChanged => "member.changed",
            Self::MemberRemoved => "member.removed",
            Self::OrganizationUpdated => "organization.updated",
            Self::OrganizationSuspended => "organization.suspended",
            Self::OrganizationResumed => "organization.resumed",
            Self::AlertRaised => "alert.raised",
            Self::AlertResolved => "alert.resolved",
            Self::WebhookTest => "webhook.test",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no kind of event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no event `{0}`: use some of {known}", known = EventKind::ALL.map(EventKind::as_str).join(", "))]
pub struct NotAnEvent(String);

impl FromStr for EventKind {
    type Err = NotAnEvent;

    fn from_str(text: &str) -> Result<Self, NotAnEvent> {
        let named = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        named.ok_or_else(|| NotAnEvent(text.chars().take(40).collect()))
    }
}

impl Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_by_its_word() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        let error = "key.made".parse::<EventKind>().unwrap_err().to_string();
        assert!(error.contains("key.created"), "{error}");
    }
}
