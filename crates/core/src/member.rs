//! Members: people in an organization, what each role lets them do, and so how much a key of theirs can do.
//!
//! Roles are ordered: each has the rights of those below it. A right is what one operation of the management API asks for, and the
//! same names are the permissions of management keys (`profiles/keyward.toml`), so that people and programs are held against
//! one list. Two parts ask: the control plane before it acts, and the store when a change is done.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{OrganizationId, UserId},
    time::Timestamp,
};

/// An address to reach a person at, and the name they log in by. Lower case, since nobody's mail depends on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Email(Box<str>);

/// The text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no email address: write one like name@example.com, 254 characters at most")]
pub struct NotAnEmail(String);

impl Email {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = NotAnEmail;

    /// Whether mail arrives is found out by sending some; refused is what cannot be an address at all (RFC 5321, 4.1.2,
    /// without quoted names and address literals).
    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        let wrong = || NotAnEmail(text.chars().take(254).collect());
        // What is kept is what must be an address: some letters grow in lower case, or fall apart into what is none.
        let lower = text.to_lowercase();
        let (name, host) = lower.rsplit_once('@').ok_or_else(wrong)?;
        let in_name = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        let in_host = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
        let dotted = |part: &str| !part.split('.').any(str::is_empty);
        let fits = lower.len() <= 254
            && name.len() <= 64
            && dotted(name)
            && dotted(host)
            && name.chars().all(in_name)
            && host.chars().all(in_host);
        if fits { Ok(Self(lower.into())) } else { Err(wrong()) }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a member is in an organization, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees keys, members and usage. Holds no keys.
    Viewer,
    /// Makes, or asks for, keys of their own.
    Developer,
    /// Sees to all keys, requests and members, but for owners.
    Administrator,
    /// Everything in the organization.
    Owner,
}

impl Role {
    /// Every role, from least to most.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Developer, Self::Administrator, Self::Owner];

    /// The word it is stored and shown by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Administrator => "administrator",
            Self::Owner => "owner",
        }
    }

    /// Whether the role has the right.
    pub fn has(self, right: Right) -> bool {
        right.least_role().is_some_and(|least| self >= least)
    }
}

/// The text names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: use viewer, developer, administrator or owner")]
pub struct NotARole(String);

impl FromStr for Role {
    type Err = NotARole;

    fn from_str(text: &str) -> Result<Self, NotARole> {
        let named = Self::ALL.into_iter().find(|role| role.as_str() == text);
        named.ok_or_else(|| NotARole(text.chars().take(40).collect()))
    }
}

/// What an operation of the management API asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// See the organization and its model ids.
    ReadOrganization,
    /// Rename it, and narrow its models.
    WriteOrganization,
    /// See who belongs to it.
    ReadMembers,
    /// Invite, remove and promote members, up to one's own role.
    WriteMembers,
    /// See keys, without their secrets.
    ReadKeys,
    /// Make, change, rotate and revoke keys of one's own.
    WriteOwnKeys,
    /// The same for every key of the organization; import and export.
    WriteKeys,
    /// Approve and deny requests for keys.
    DecideRequests,
    /// See what keys used.
    ReadUsage,
    /// Read the organization's audit log.
    ReadAudit,
    /// See webhooks, and what became of deliveries to them.
    ReadWebhooks,
    /// Make, change, rotate and remove webhooks, and send to them again. What they are told is what the audit log says.
    WriteWebhooks,
    /// See alert rules, and what they raised.
    ReadAlerts,
    /// Make, change and remove alert rules.
    WriteAlerts,
    /// Everything else, in every organization: only who runs this Keyward.
    Operate,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 15] = [
        Self::ReadOrganization,
        Self::WriteOrganization,
        Self::ReadMembers,
        Self::WriteMembers,
        Self::ReadKeys,
        Self::WriteOwnKeys,
        Self::WriteKeys,
        Self::DecideRequests,
        Self::ReadUsage,
        Self::ReadAudit,
        Self::ReadWebhooks,
        Self::WriteWebhooks,
        Self::ReadAlerts,
        Self::WriteAlerts,
        Self::Operate,
    ];

    /// The permission of management keys that grants it.
    pub const fn permission(self) -> &'static str {
        match self {
            Self::ReadOrganization => "organization:read",
            Self::WriteOrganization => "organization:write",
            Self::ReadMembers => "members:read",
            Self::WriteMembers => "members:write",
            Self::ReadKeys => "keys:read",
            Self::WriteOwnKeys => "keys:own",
            Self::WriteKeys => "keys:write",
            Self::DecideRequests => "requests:decide",
            Self::ReadUsage => "usage:read",
            Self::ReadAudit => "audit:read",
            Self::ReadWebhooks => "webhooks:read",
            Self::WriteWebhooks => "webhooks:write",
            Self::ReadAlerts => "alerts:read",
            Self::WriteAlerts => "alerts:write",
            Self::Operate => "operate",
        }
    }

    /// The least role that has it; `None` where no member has.
    pub const fn least_role(self) -> Option<Role> {
        match self {
            Self::ReadOrganization | Self::ReadMembers | Self::ReadKeys | Self::ReadUsage => {
                Some(Role::Viewer)
            }
            Self::WriteOwnKeys => Some(Role::Developer),
            Self::WriteMembers | Self::WriteKeys | Self::DecideRequests | Self::ReadAudit => {
                Some(Role::Administrator)
            }
            Self::ReadWebhooks | Self::WriteWebhooks | Self::ReadAlerts | Self::WriteAlerts => {
                Some(Role::Administrator)
            }
            Self::WriteOrganization => Some(Role::Owner),
            Self::Operate => None,
        }
    }
}

/// A person who may log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Public id.
    pub id: UserId,
    /// Where they are reached, and what they log in by.
    pub email: Email,
    /// What people call them. 1 to 100 characters.
    pub name: String,
    /// Whether they run this Keyward.
    pub operator: bool,
    /// When they were first known here.
    pub created_at: Timestamp,
}

/// A person's place in an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Where.
    pub organization: OrganizationId,
    /// Who.
    pub user: UserId,
    /// As what.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_the_rights_of_those_below_it() {
        for right in Right::ALL {
            let having: Vec<_> = Role::ALL.into_iter().filter(|role| role.has(right)).collect();
            let suffix = Role::ALL.get(Role::ALL.len() - having.len()..).unwrap();
            assert_eq!(having, suffix, "{right:?}");
            assert!(right == Right::Operate || having.contains(&Role::Owner), "{right:?}");
        }
    }

    #[test]
    fn roles_and_permissions_read_back_by_their_words() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("Owner".parse::<Role>().is_err() && "".parse::<Role>().is_err());
        let mut words = Right::ALL.map(Right::permission);
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair.first() != pair.last()));
    }

    proptest::proptest! {
        #[test]
        fn every_address_reads_back_as_it_is_kept(text in "\\PC{1,20}@\\PC{1,20}") {
            if let Ok(email) = text.parse::<Email>() {
                let kept = email.as_str().to_owned();
                proptest::prop_assert_eq!(kept.parse(), Ok(email));
            }
        }
    }

    #[test]
    fn letters_that_fall_apart_in_lower_case_are_refused() {
        // U+0130 becomes an i with a dot of its own, which is no letter.
        assert!("\u{130}@example.com".parse::<Email>().is_err());
        assert!("ana@example.c\u{130}".parse::<Email>().is_err());
    }

    #[test]
    fn addresses_are_compared_in_lower_case_and_must_be_possible() {
        assert_eq!("Ana.B+c@Example.COM".parse::<Email>().unwrap().as_str(), "ana.b+c@example.com");
        let long = format!("a@{}.example", "b".repeat(250));
        for wrong in [
            "", "a", "@a", "a@", "a b@c", "a@b c", "a@b..c", ".a@b", "a.@b", "a@.b", "a@b@",
            "a\n@b", "<a@b>", "a@b,c@d", &long,
        ] {
            assert!(wrong.parse::<Email>().is_err(), "{wrong}");
        }
    }
}
