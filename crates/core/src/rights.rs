//! Rights as a set: what a role has, and what a management key was granted.
//!
//! People and programs are held against one list, [`Right`]. A member has the rights of their role; a management key, which is a key
//! of the API [`MANAGEMENT`], those that its permissions name and imply, and where it has an owner no more than the owner's role.
//! The same implications stand in `profiles/keyward.toml`, where people read them; a test holds the two against each other.
//! They are written here as well because the store, which knows no profiles, asks for them in the transaction of a change.

use crate::{
    key::Key,
    member::{Right, Role},
    network::Network,
};

/// The API that management keys are keys of.
pub const MANAGEMENT: &str = "keyward";

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u32);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);

    const fn of(right: Right) -> Self {
        Self(1 << right as u32)
    }

    /// Every right, as those have who run this Keyward.
    pub fn all() -> Self {
        Right::ALL.into_iter().collect()
    }

    /// What a key that was granted these permissions may do at most. Words that are no right's grant nothing.
    pub fn granted<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        names
            .into_iter()
            .filter_map(Right::from_permission)
            .map(Right::closure)
            .fold(Self::NONE, Self::union)
    }

    /// What a key was granted, if it is a management key; keys of other APIs have no rights.
    pub fn granted_to(key: &Key) -> Self {
        match key.api.as_str() {
            MANAGEMENT => Self::granted(key.permissions.iter().map(String::as_str)),
            _ => Self::NONE,
        }
    }

    /// What a management key may do now: what it was granted, as far as its owner's role goes.
    pub fn held_by(key: &Key, owner_role: Option<Role>) -> Self {
        let granted = Self::granted_to(key);
        match key.owner {
            None => granted,
            Some(_) => granted.intersection(owner_role.map_or(Self::NONE, Role::rights)),
        }
    }

    /// Whether the right is in the set.
    pub const fn has(self, right: Right) -> bool {
        self.0 & Self::of(right).0 != 0
    }

    /// A right of `others` that is not in the set; `None` where all are.
    pub fn lacks(self, others: Self) -> Option<Right> {
        others.iter().find(|right| !self.has(*right))
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The rights in it.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.has(*right))
    }
}

/// How a management key would go beyond the one that makes it, opens it or wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Beyond {
    /// It would be good for longer.
    #[error("the key would outlive the key that you act with")]
    Expiry,
    /// It could be used from elsewhere.
    #[error("the key could be used from networks that the key you act with may not be used from")]
    Networks,
}

/// Whether `made` is bounded as `maker` is, in time and place: else who holds a key for a day, or for one network, would hold
/// another for good. A key may always renew itself.
pub fn bounded(made: &Key, maker: &Key) -> Result<(), Beyond> {
    if made.id == maker.id {
        return Ok(());
    }
    if maker.expires_at.is_some_and(|end| made.expires_at.is_none_or(|at| at > end)) {
        return Err(Beyond::Expiry);
    }
    let (inner, outer) = (&made.allowed_networks, &maker.allowed_networks);
    let covered = |one: &Network| outer.iter().any(|network| network.covers(one));
    match outer.is_empty() || (!inner.is_empty() && inner.iter().all(covered)) {
        true => Ok(()),
        false => Err(Beyond::Networks),
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        rights.into_iter().map(Self::of).fold(Self::NONE, Self::union)
    }
}

impl Role {
    /// All rights of the role.
    pub fn rights(self) -> Rights {
        Right::ALL.into_iter().filter(|right| self.has(*right)).collect()
    }
}

impl Right {
    /// The right that a permission of management keys grants.
    pub fn from_permission(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.permission() == name)
    }

    /// What comes with it: who may change something may see it.
    const fn implied(self) -> &'static [Self] {
        match self {
            Self::WriteOrganization => &[Self::ReadOrganization],
            Self::WriteMembers => &[Self::ReadMembers],
            Self::WriteOwnKeys => &[Self::ReadKeys],
            Self::WriteKeys => &[Self::WriteOwnKeys, Self::ReadKeys],
            Self::DecideRequests => &[Self::ReadKeys],
            Self::WriteWebhooks => &[Self::ReadWebhooks],
            Self::WriteAlerts => &[Self::ReadAlerts],
            Self::Operate => &Self::ALL,
            Self::ReadOrganization
            | Self::ReadMembers
            | Self::ReadKeys
            | Self::ReadUsage
            | Self::ReadWebhooks
            | Self::ReadAlerts
            | Self::ReadAudit => &[],
        }
    }

    /// It and all it implies.
    fn closure(self) -> Rights {
        self.implied().iter().copied().chain([self]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::profile::{self, File};

    #[test]
    fn the_shipped_vocabulary_is_the_list_of_rights() {
        let shipped = [
            ("default", include_str!("../../../profiles/default.toml")),
            (MANAGEMENT, include_str!("../../../profiles/keyward.toml")),
        ];
        let files = shipped.map(|(name, text)| (name.to_owned(), File::new(name, text)));
        let profile = profile::compile(MANAGEMENT, &BTreeMap::from(files)).unwrap();
        let words = &profile.vocabulary;
        let mut named: Vec<_> = words.iter().map(|permission| &*permission.name).collect();
        let mut rights = Right::ALL.map(Right::permission);
        named.sort_unstable();
        rights.sort_unstable();
        assert_eq!(named, rights);
        for permission in words.iter() {
            let closure: Vec<_> = words
                .names(words.get(&permission.name).unwrap())
                .filter_map(Right::from_permission)
                .collect();
            let closure: Rights = closure.into_iter().collect();
            assert_eq!(closure, Rights::granted([&*permission.name]), "{}", permission.name);
        }
        for preset in &profile.presets {
            let granted = Rights::granted(preset.permissions.iter().map(String::as_str));
            let holder = Role::ALL.into_iter().find(|role| role.rights().lacks(granted).is_none());
            assert_eq!(holder.is_none(), granted.has(Right::Operate), "{}", preset.name);
        }
    }

    #[test]
    fn implication_is_whole_and_never_above_the_role_that_has_the_right() {
        for right in Right::ALL {
            let closure = right.closure();
            assert!(closure.has(right));
            for implied in closure.iter() {
                assert_eq!(closure.lacks(implied.closure()), None, "{right:?} {implied:?}");
                for role in Role::ALL.into_iter().filter(|role| role.has(right)) {
                    assert!(role.has(implied), "{role:?} {right:?} {implied:?}");
                }
            }
        }
    }

    #[test]
    fn each_role_has_more_rights_than_the_one_below_and_none_operates() {
        for (lower, higher) in Role::ALL.iter().zip(Role::ALL.iter().skip(1)) {
            assert_eq!(higher.rights().lacks(lower.rights()), None);
            assert!(lower.rights().lacks(higher.rights()).is_some());
            assert!(!higher.rights().has(Right::Operate));
        }
    }
}
