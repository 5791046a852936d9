//! What can be asked of the truth, and the shape of the answers.

use std::{borrow::Cow, net::IpAddr};

use keyward_core::{
    id::{ApiName, NodeId, OrganizationId, SecretId, UserId},
    key::{Environment, Key, KeyState, Secret},
    limit::{Plan, Price},
    member::{Right, Role},
    organization::{Organization, OrganizationState},
    time::Timestamp,
};

use crate::{
    change::{Actor, Revision, Subject},
    error::StoreError,
    rules,
    seal::SealedBytes,
    words::Word,
};

/// A key with every secret it ever had, oldest first: an old secret is known but unusable, which is not unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key.
    pub key: Key,
    /// What its owner is in its organization now; `None` where it has no owner, or a former member for one.
    pub owner_role: Option<Role>,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// The revision of the last change to it.
    pub revision: Revision,
}

impl KeyRecord {
    /// The key as it counts: as good as its owner's role lets it be. A viewer, or somebody who left, holds no keys.
    pub fn in_force(&self) -> Cow<'_, Key> {
        let may_hold = |role: Role| role.has(Right::WriteOwnKeys);
        let is_held = self.key.owner.is_none() || self.owner_role.is_some_and(may_hold);
        if is_held || self.key.state != KeyState::Active {
            return Cow::Borrowed(&self.key);
        }
        Cow::Owned(Key { state: KeyState::Disabled, ..self.key.clone() })
    }
}

impl KeyRecord {
    /// As a rotation to `new` at `now` makes it: those that are good end at `old_expires_at` at the latest.
    pub fn rotated(
        mut self,
        new: Secret,
        old_expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let (ending, _) = rules::rotation(&self, &new, old_expires_at, now)?;
        for secret in &mut self.secrets {
            if let Some(ended) = ending.iter().find(|ended| ended.id == secret.id) {
                secret.expires_at = ended.expires_at;
            }
        }
        self.secrets.push(new);
        Ok(self)
    }
}

/// A key that somebody showed a secret of, and all that says whether it is good: of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownKey {
    /// The key, with all its secrets.
    pub record: KeyRecord,
    /// The secret that was shown.
    pub secret: Secret,
    /// The state of the key's organization.
    pub organization: OrganizationState,
}

/// Which keys to list; what is `None` does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Of this organization.
    pub organization: Option<OrganizationId>,
    /// At this API.
    pub api: Option<ApiName>,
    /// In this state.
    pub state: Option<KeyState>,
    /// Owned by this person.
    pub owner: Option<UserId>,
    /// Used for this.
    pub environment: Option<Environment>,
    /// With a word for each of these on it, see [`Word`].
    pub words: Vec<Word>,
    /// By when they end.
    pub ending: Option<Ending>,
    /// Without a use since then, and made before.
    pub unused_since: Option<Timestamp>,
}

/// Keys by when they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not later than this.
    By(Timestamp),
    /// Later, or never.
    After(Timestamp),
}

/// A piece of a list. The cursor is the id of the last item seen; an id that is not in the list gives an error, not a
/// silent start from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<Cursor> {
    /// Begin behind this item; `None` begins at the start.
    pub after: Option<Cursor>,
    /// How many items, 1 to 1,000; what lies outside is moved to the nearer bound.
    pub limit: u32,
}

impl<Cursor> Page<Cursor> {
    /// The first `limit` items.
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// The `limit` items behind `cursor`.
    pub const fn after(cursor: Cursor, limit: u32) -> Self {
        Self { after: Some(cursor), limit }
    }

    pub(crate) fn rows(&self) -> i64 {
        i64::from(self.limit.clamp(1, 1000))
    }
}

/// An audit entry's place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId(u64);

impl AuditId {
    /// From the stored number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Who did what to what, and when. Written in the transaction of the change.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Its place in the log.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who, and from where.
    pub actor: Actor,
    /// What, like `key.revoke`.
    pub action: String,
    /// To what.
    pub subject: Subject,
    /// Whose business it is; `None` where it is nobody's but who runs this Keyward.
    pub organization: Option<OrganizationId>,
    /// What was there before, as far as it changed. Never a secret, digest or hint.
    pub before: Option<serde_json::Value>,
    /// What was there after, as far as it changed. Never a secret, digest or hint.
    pub after: Option<serde_json::Value>,
    /// How it ended; `done` for every change that stands.
    pub outcome: String,
    /// The revision it made.
    pub revision: Option<Revision>,
}

/// How far one secret of a key is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// Which.
    pub secret: SecretId,
    /// When and from where it was last accepted, some seconds late.
    pub last: Option<(Timestamp, IpAddr)>,
    /// For how many requests it was accepted.
    pub requests: u64,
    /// For how many of them after it was replaced; `None` where it was not.
    pub since_replaced: Option<u64>,
}

/// Which entries of the audit log to read; what is `None` does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The business of this organization.
    pub organization: Option<OrganizationId>,
    /// About this.
    pub subject: Option<Subject>,
    /// Done by this person.
    pub person: Option<UserId>,
    /// This action, or where it ends with a dot, all that begin with it.
    pub action: Option<String>,
    /// From then on.
    pub from: Option<Timestamp>,
    /// Until before then.
    pub until: Option<Timestamp>,
}

/// A gateway that follows the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id, another with each start.
    pub id: NodeId,
    /// The machine and process.
    pub name: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last said that it follows.
    pub seen_at: Timestamp,
    /// When it had applied the revision that was asked for; `None` where it has not yet.
    pub applied_at: Option<Timestamp>,
}

/// The credential an upstream is called with, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamCredential {
    /// The upstream's name in the configuration.
    pub upstream: String,
    /// Opens under [`crate::SealContext::upstream_credential`].
    pub sealed: SealedBytes,
    /// When it was set.
    pub set_at: Timestamp,
}

/// One item of the full state, in the order a reader needs them: organizations, credentials, keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// A plan.
    Plan(Plan),
    /// What a model costs.
    Price(Price),
    /// An organization.
    Organization(Organization),
    /// The credential of an upstream.
    UpstreamCredential(UpstreamCredential),
    /// A key with its secrets, in the order the keys were made.
    Key(KeyRecord),
}
