//! Who acts, what they may, and when: the first argument of every operation.

use std::{net::IpAddr, sync::Arc};

use keyward_core::{
    id::{OrganizationId, UserId},
    key::Key,
    member::{Membership, Right, Role},
    rights::{self, MANAGEMENT, Rights},
    time::Timestamp,
};
use keyward_store::{Actor, Interface, KeyRecord, StoreError, UserRecord};

use crate::{app::once::Ticket, error::ControlError};

/// Who acts, what they may, and when. The audit log says who and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Who, and from where.
    pub actor: Actor,
    /// What they may.
    pub caller: Caller,
    /// When. Expiry is judged by it too.
    pub now: Timestamp,
    /// By what a repeat of the request is known, where the caller said.
    pub once: Option<Arc<Ticket>>,
}

/// Whose rights count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Who runs this Keyward: has every right everywhere.
    Operator(Option<UserId>),
    /// A person, with their places in organizations.
    Person(UserId, Vec<Membership>),
    /// A program that showed a management key, with what the key may now. It acts in its own organization, or everywhere where it
    /// may operate.
    Key(Box<KeyRecord>, Rights),
    /// Nobody who is known.
    Visitor,
}

impl Context {
    /// Whoever can open the data folder.
    pub fn machine(name: impl Into<String>, interface: Interface, now: Timestamp) -> Self {
        Self {
            actor: Actor::operator(name, interface),
            caller: Caller::Operator(None),
            now,
            once: None,
        }
    }

    /// Somebody who is not known yet.
    pub fn visitor(name: impl Into<String>, interface: Interface, now: Timestamp) -> Self {
        Self { actor: Actor::visitor(name, interface), caller: Caller::Visitor, now, once: None }
    }

    /// Somebody who logged in.
    pub fn person(record: UserRecord, interface: Interface, now: Timestamp) -> Self {
        let actor = Actor::person(&record.user, interface);
        let caller = match record.user.operator {
            true => Caller::Operator(Some(record.user.id)),
            false => Caller::Person(record.user.id, record.memberships),
        };
        Self { actor, caller, now, once: None }
    }

    /// A program that showed a management key, which is good.
    pub fn key(record: KeyRecord, interface: Interface, now: Timestamp) -> Self {
        let actor = Actor::key(record.key.id, interface);
        let rights = Rights::held_by(&record.key, record.owner_role);
        Self { actor, caller: Caller::Key(Box::new(record), rights), now, once: None }
    }

    /// The same, from this address: the audit log tells it.
    #[must_use]
    pub fn from_address(self, address: IpAddr) -> Self {
        Self { actor: self.actor.from_address(address), ..self }
    }

    /// The person who acts. A key is nobody: passwords, sessions and invitations are people's.
    pub const fn user(&self) -> Option<UserId> {
        match &self.caller {
            Caller::Operator(user) => *user,
            Caller::Person(user, _) => Some(*user),
            Caller::Key(..) | Caller::Visitor => None,
        }
    }

    /// Whose the caller's own keys are: the person who acts, or who answers for the key that acts.
    pub fn answerable(&self) -> Option<UserId> {
        match &self.caller {
            Caller::Key(record, _) => record.key.owner,
            _ => self.user(),
        }
    }

    /// Whether the caller has every right everywhere.
    pub fn operates(&self) -> bool {
        match &self.caller {
            Caller::Operator(_) => true,
            Caller::Key(_, rights) => rights.has(Right::Operate),
            Caller::Person(..) | Caller::Visitor => false,
        }
    }

    /// The organizations that the caller has a place in; `None` where that is everywhere.
    pub(crate) fn places(&self) -> Option<Vec<&OrganizationId>> {
        match &self.caller {
            _ if self.operates() => None,
            Caller::Person(_, places) => {
                Some(places.iter().map(|place| &place.organization).collect())
            }
            Caller::Key(record, _) => Some(vec![&record.key.organization]),
            Caller::Operator(_) | Caller::Visitor => Some(vec![]),
        }
    }

    /// Who answers for keys that the caller makes, where nobody else is named. What who runs this Keyward makes is nobody's: they need
    /// not belong to the organization. And what a key makes is as much somebody's as the key is.
    pub(crate) const fn answers_for_keys(&self) -> Option<UserId> {
        match &self.caller {
            Caller::Person(user, _) => Some(*user),
            Caller::Key(record, _) => record.key.owner,
            Caller::Operator(_) | Caller::Visitor => None,
        }
    }

    /// What the caller is in the organization; `None` for who runs this Keyward, and for who has no place there.
    pub(crate) fn role_in(&self, organization: &OrganizationId) -> Option<Role> {
        match &self.caller {
            Caller::Person(_, places) => {
                places.iter().find(|place| place.organization == *organization).map(|p| p.role)
            }
            Caller::Key(record, _) if record.key.organization == *organization => record.owner_role,
            Caller::Key(..) | Caller::Operator(_) | Caller::Visitor => None,
        }
    }

    /// Whether the caller runs this Keyward.
    pub(crate) fn require_operator(&self) -> Result<(), ControlError> {
        match self.operates() {
            true => Ok(()),
            false => Err(ControlError::Forbidden(Right::Operate)),
        }
    }

    /// What the caller may in the organization; `None` where they have no place in it.
    pub(crate) fn rights_in(&self, organization: &OrganizationId) -> Option<Rights> {
        match &self.caller {
            Caller::Operator(_) => Some(Rights::all()),
            Caller::Key(record, rights) => {
                (record.key.organization == *organization || self.operates()).then_some(*rights)
            }
            Caller::Person(_, places) => {
                let place = places.iter().find(|place| place.organization == *organization);
                place.map(|place| place.role.rights())
            }
            Caller::Visitor => None,
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
        self.require_all(std::iter::once(right).collect(), organization)
    }

    /// Whether the caller has all these rights in the organization.
    pub(crate) fn require_all(
        &self,
        rights: Rights,
        organization: &OrganizationId,
    ) -> Result<(), ControlError> {
        match self.rights_in(organization) {
            None => Err(StoreError::NoSuchOrganization(organization.clone()).into()),
            Some(held) => {
                held.lacks(rights).map_or(Ok(()), |right| Err(ControlError::Forbidden(right)))
            }
        }
    }

    /// Whether the caller has the right where something is to be: in an organization, or without one, where who runs this Keyward is.
    pub(crate) fn require_there(
        &self,
        right: Right,
        organization: Option<&OrganizationId>,
    ) -> Result<(), ControlError> {
        match organization {
            Some(organization) => self.require(right, organization),
            None => self.require_operator(),
        }
    }

    /// Whether the caller has the right to something that there is. Who has no place where it is gets the answer for what is `missing`.
    pub(crate) fn require_seen(
        &self,
        right: Right,
        organization: Option<&OrganizationId>,
        missing: impl Fn() -> ControlError,
    ) -> Result<(), ControlError> {
        let rights = match organization {
            Some(organization) => self.rights_in(organization).ok_or_else(missing)?,
            None if self.operates() => return Ok(()),
            None => return Err(missing()),
        };
        match rights.has(right) {
            true => Ok(()),
            false => Err(ControlError::Forbidden(right)),
        }
    }

    /// Whether the caller may make this key, get a secret of it, or wake it: a management key gives nobody what they do not have.
    pub(crate) fn require_within(&self, made: &Key) -> Result<(), ControlError> {
        if made.api.as_str() != MANAGEMENT {
            return Ok(());
        }
        self.require_all(Rights::granted_to(made), &made.organization)?;
        let Caller::Key(maker, _) = &self.caller else { return Ok(()) };
        rights::bounded(made, &maker.key).map_err(|beyond| {
            ControlError::invalid(beyond.to_string(), "bound it in time and networks like that one")
        })
    }

    /// Whether the caller may come to know a secret of this key: who acts by a management key acts as whoever answers for it.
    pub(crate) fn require_in_own_name(&self, made: &Key) -> Result<(), ControlError> {
        match made.api.as_str() != MANAGEMENT || made.owner == self.answerable() || self.operates()
        {
            true => Ok(()),
            false => self.require(Right::WriteOrganization, &made.organization),
        }
    }
}

/// The clock, for what runs on by itself. Operations take the time from their [`Context`].
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
