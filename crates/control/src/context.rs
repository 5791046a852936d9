//! Who acts, what they may, and when: the first argument of every operation.

use std::sync::Arc;

use keyward_core::{
    id::{OrganizationId, UserId},
    member::{Membership, Right, Role},
    time::Timestamp,
};
use keyward_store::{Actor, Interface, StoreError, UserRecord};

use crate::error::ControlError;

/// Who acts, what they may, and when. The audit log says who and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Who, and from where.
    pub actor: Actor,
    /// What they may.
    pub caller: Caller,
    /// When. Expiry is judged by it too.
    pub now: Timestamp,
}

/// Whose rights count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Who runs this Keyward: has every right everywhere.
    Operator(Option<UserId>),
    /// A person, with their places in organizations.
    Person(UserId, Vec<Membership>),
    /// Nobody who is known.
    Visitor,
}

impl Context {
    /// Whoever can open the data folder.
    pub fn machine(name: impl Into<String>, interface: Interface, now: Timestamp) -> Self {
        Self { actor: Actor::operator(name, interface), caller: Caller::Operator(None), now }
    }

    /// Somebody who is not known yet.
    pub fn visitor(name: impl Into<String>, interface: Interface, now: Timestamp) -> Self {
        Self { actor: Actor::visitor(name, interface), caller: Caller::Visitor, now }
    }

    /// Somebody who logged in.
    pub fn person(record: UserRecord, interface: Interface, now: Timestamp) -> Self {
        let actor = Actor::person(&record.user, interface);
        let caller = match record.user.operator {
            true => Caller::Operator(Some(record.user.id)),
            false => Caller::Person(record.user.id, record.memberships),
        };
        Self { actor, caller, now }
    }

    /// The person who acts.
    pub const fn user(&self) -> Option<UserId> {
        match &self.caller {
            Caller::Operator(user) => *user,
            Caller::Person(user, _) => Some(*user),
            Caller::Visitor => None,
        }
    }

    /// What the caller is in the organization; `None` for who runs this Keyward, and for who has no place there.
    pub(crate) fn role_in(&self, organization: &OrganizationId) -> Option<Role> {
        match &self.caller {
            Caller::Person(_, places) => {
                places.iter().find(|place| place.organization == *organization).map(|p| p.role)
            }
            Caller::Operator(_) | Caller::Visitor => None,
        }
    }

    /// Whether the caller runs this Keyward.
    pub(crate) fn require_operator(&self) -> Result<(), ControlError> {
        match &self.caller {
            Caller::Operator(_) => Ok(()),
            Caller::Person(..) | Caller::Visitor => Err(ControlError::Forbidden(Right::Operate)),
        }
    }

    /// Whether the caller has the right in the organization. Who has no place in it is told that it does not exist.
    ///
    /// The store asks again in the transaction of each change; here the answer is given before anything is done.
    pub(crate) fn require(
        &self,
        right: Right,
        organization: &OrganizationId,
    ) -> Result<(), ControlError> {
        let places = match &self.caller {
            Caller::Operator(_) => return Ok(()),
            Caller::Person(_, places) => places.as_slice(),
            Caller::Visitor => &[],
        };
        match places.iter().find(|place| place.organization == *organization) {
            Some(place) if place.role.has(right) => Ok(()),
            Some(_) => Err(ControlError::Forbidden(right)),
            None => Err(StoreError::NoSuchOrganization(organization.clone()).into()),
        }
    }
}

/// The clock, for what runs on by itself. Operations take the time from their [`Context`].
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
