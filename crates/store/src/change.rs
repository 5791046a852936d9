//! What can be done to the truth, by whom, and how others learn of it.
//!
//! A change names what is wanted, in the field's words; the engine fetches what the change needs and `rules`
//! decides, so that two engines cannot differ in what a change means. Rejected: handing whole rows to an `update`, which
//! would let two writers overwrite each other and leave the audit log to guess what was meant.

use std::{collections::BTreeMap, net::IpAddr};

use keyward_core::{
    id::{AlertRuleId, KeyId, KeyRequestId, ModelId, OrganizationId, SecretId, UserId, WebhookId},
    key::{Digest, Environment, Key, KeyState, PepperVersion, Rotation, Secret},
    limit::{Limit, ModelPattern, PlanName},
    member::User,
    network::Network,
    organization::{Organization, OrganizationState},
    time::Timestamp,
};

pub use keyward_core::snapshot::Revision;

use crate::{
    alerts::AlertRuleChange,
    people::PeopleChange,
    plans::{PlanChange, PlanChoice},
    requests::KeyRequestChange,
    seal::SealedBytes,
    webhooks::WebhookChange,
};

/// What kind of someone acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// A person who runs this Keyward.
    Operator,
    /// Keyward itself, where a rule that the operator set asks for it.
    System,
    /// A person in an organization.
    Member,
    /// Somebody who is not known yet: who signs up, logs in, or shows a token.
    Visitor,
    /// A program that showed a management key.
    Key,
}

impl ActorKind {
    /// The word it is stored and shown by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::System => "system",
            Self::Member => "member",
            Self::Visitor => "visitor",
            Self::Key => "key",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Operator, Self::System, Self::Member, Self::Visitor, Self::Key]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// From where someone acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// `keyward …` on the machine that holds the data folder.
    CommandLine,
    /// The management API.
    ManagementApi,
    /// The data plane, as with a key seen in the clear.
    Gateway,
}

impl Interface {
    /// The word it is stored and shown by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommandLine => "command_line",
            Self::ManagementApi => "management_api",
            Self::Gateway => "gateway",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::CommandLine, Self::ManagementApi, Self::Gateway]
            .into_iter()
            .find(|interface| interface.as_str() == word)
    }
}

/// Who acts, and from where: what the audit log will say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What kind of someone.
    pub kind: ActorKind,
    /// By which name: a person's or key's id, the account for an operator of the machine, the part of Keyward for the system.
    pub name: String,
    /// By what.
    pub interface: Interface,
    /// From which address, where it came over a network.
    pub address: Option<IpAddr>,
    /// Which person, where it is one who is known here. Their rights are looked up when a change is done, and bound it.
    pub person: Option<UserId>,
    /// Which management key, where it was one. What it may is looked up when a change is done, like a person's rights.
    pub key: Option<KeyId>,
}

impl Actor {
    /// A person who runs this Keyward.
    pub fn operator(name: impl Into<String>, interface: Interface) -> Self {
        Self::new(ActorKind::Operator, name.into(), interface)
    }

    /// Somebody who logged in: as one who runs this Keyward, or as a member of organizations.
    pub fn person(user: &User, interface: Interface) -> Self {
        let kind = if user.operator { ActorKind::Operator } else { ActorKind::Member };
        Self { person: Some(user.id), ..Self::new(kind, user.id.to_string(), interface) }
    }

    /// A program that showed a management key.
    pub fn key(key: KeyId, interface: Interface) -> Self {
        Self { key: Some(key), ..Self::new(ActorKind::Key, key.to_string(), interface) }
    }

    /// Somebody who is not known yet; `name` says what they call themselves.
    pub fn visitor(name: impl Into<String>, interface: Interface) -> Self {
        Self::new(ActorKind::Visitor, name.into(), interface)
    }

    /// Keyward itself.
    pub fn system(part: impl Into<String>, interface: Interface) -> Self {
        Self::new(ActorKind::System, part.into(), interface)
    }

    const fn new(kind: ActorKind, name: String, interface: Interface) -> Self {
        Self { kind, name, interface, address: None, person: None, key: None }
    }

    /// The same, from this address.
    #[must_use]
    pub fn from_address(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }
}

/// One change: one transaction, one audit entry, one feed entry, one revision.
///
/// Asking for what is already so succeeds and leaves no trace: the revision that is answered is the current one.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new organization, with its model ids.
    CreateOrganization(Organization),
    /// Suspend or resume.
    SetOrganizationState {
        /// Which.
        organization: OrganizationId,
        /// What it shall be.
        state: OrganizationState,
    },
    /// Its name, which models its keys may ask for, its plan and its limits.
    UpdateOrganization {
        /// Which.
        organization: OrganizationId,
        /// What shall be different.
        update: OrganizationUpdate,
        /// The state of it that was seen; another than the present one is refused. `None` takes any.
        seen: Option<Revision>,
    },
    /// Gives a model id to an organization. A model id belongs to one at most.
    AssignModelId {
        /// To whom.
        organization: OrganizationId,
        /// Which.
        model: ModelId,
    },
    /// Takes a model id from an organization.
    WithdrawModelId {
        /// From whom.
        organization: OrganizationId,
        /// Which.
        model: ModelId,
    },
    /// A new key with its first secret.
    CreateKey {
        /// The key, active or disabled.
        key: Key,
        /// Its first secret.
        secret: Secret,
        /// How many keys that are not revoked the organization may have at this API, this one included.
        most_active: Option<u32>,
    },
    /// What is written on a key and what it may, without its secrets.
    UpdateKey {
        /// Which.
        key: KeyId,
        /// What shall be different.
        update: Box<KeyUpdate>,
        /// The state of it that was seen; another than the present one is refused. `None` takes any.
        seen: Option<Revision>,
    },
    /// Disable, enable or revoke. Revoked is final.
    SetKeyState {
        /// Which.
        key: KeyId,
        /// What it shall be.
        state: KeyState,
    },
    /// A new secret; those that are still good end at `old_expires_at`, or earlier where they ended earlier.
    RotateKey {
        /// Which key.
        key: KeyId,
        /// The new secret.
        secret: Secret,
        /// When the old ones end.
        old_expires_at: Timestamp,
    },
    /// Keeps our own digest of an imported secret, which was used, in place of another system's.
    UpgradeSecret {
        /// Which.
        secret: SecretId,
        /// Its digest.
        digest: Digest,
        /// The pepper the digest was made under.
        pepper: PepperVersion,
    },
    /// Ends one secret at `at`, or earlier where it ended earlier.
    RetireSecret {
        /// Which.
        secret: SecretId,
        /// When.
        at: Timestamp,
        /// Also when somebody still uses it, though it was replaced.
        force: bool,
    },
    /// Keeps the credential that an upstream is called with.
    SetUpstreamCredential {
        /// The upstream's name in the configuration.
        upstream: String,
        /// Sealed under [`crate::SealContext::upstream_credential`].
        sealed: SealedBytes,
    },
    /// Forgets it.
    RemoveUpstreamCredential {
        /// The upstream's name in the configuration.
        upstream: String,
    },
    /// A key was seen in the clear. One audit entry per key and hour, whatever happens to it after; where the
    /// operator chose so, an active key is disabled, each time.
    MarkKeyExposed {
        /// Which.
        key: KeyId,
        /// When.
        at: Timestamp,
        /// The client's address.
        from: IpAddr,
        /// Whether it is disabled.
        disable: bool,
    },
    /// People, and what they log in with.
    People(PeopleChange),
    /// Requests for keys.
    KeyRequest(KeyRequestChange),
    /// Plans, and what models cost.
    Plan(PlanChange),
    /// Webhooks.
    Webhook(WebhookChange),
    /// Alert rules.
    AlertRule(AlertRuleChange),
}

/// What of a key shall be different; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Another environment.
    pub environment: Option<Environment>,
    /// Other permissions.
    pub permissions: Option<Vec<String>>,
    /// Other networks.
    pub allowed_networks: Option<Vec<Network>>,
    /// Other models; within, `None` means every model.
    pub allowed_models: Option<Option<Vec<String>>>,
    /// Another end; within, `None` means none.
    pub expires_at: Option<Option<Timestamp>>,
    /// Other tags.
    pub tags: Option<Vec<String>>,
    /// Other metadata.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Another rule for rotation; within, `None` means none. It holds for secrets that are made from then on.
    pub rotation: Option<Option<Rotation>>,
    /// Another owner; within, `None` means nobody.
    pub owner: Option<Option<UserId>>,
    /// Other limits, in the place of all it had.
    pub limits: Option<Vec<Limit>>,
}

/// What of an organization shall be different; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrganizationUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Other models; within, `None` means every model.
    pub allowed_models: Option<Option<Vec<String>>>,
    /// Another plan; within, `None` means none.
    pub plan: Option<Option<PlanChoice>>,
    /// Other limits of its own, in the place of all it had.
    pub limits: Option<Vec<Limit>>,
}

/// What a change was about: what a reader of the feed has to read again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A key or one of its secrets.
    Key(KeyId),
    /// An organization or its model ids.
    Organization(OrganizationId),
    /// The credential of an upstream.
    UpstreamCredential(String),
    /// A person.
    User(UserId),
    /// A person's place in an organization; keys they own are as good as their role.
    Member(OrganizationId, UserId),
    /// Who runs this Keyward.
    Setup,
    /// A request for a key.
    KeyRequest(KeyRequestId),
    /// A plan.
    Plan(PlanName),
    /// What a model costs.
    Price(ModelPattern),
    /// A webhook.
    Webhook(WebhookId),
    /// An alert rule.
    AlertRule(AlertRuleId),
}

impl Subject {
    /// The word its kind is stored and shown by.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Organization(_) => "organization",
            Self::UpstreamCredential(_) => "upstream_credential",
            Self::User(_) => "user",
            Self::Member(..) => "member",
            Self::Setup => "setup",
            Self::KeyRequest(_) => "key_request",
            Self::Plan(_) => "plan",
            Self::Price(_) => "price",
            Self::Webhook(_) => "webhook",
            Self::AlertRule(_) => "alert_rule",
        }
    }

    /// Its id or name.
    pub fn id(&self) -> String {
        match self {
            Self::Key(key) => key.to_string(),
            Self::Organization(organization) => organization.to_string(),
            Self::UpstreamCredential(upstream) => upstream.clone(),
            Self::User(user) => user.to_string(),
            Self::Member(organization, user) => format!("{organization}/{user}"),
            Self::Setup => "keyward".to_owned(),
            Self::KeyRequest(request) => request.to_string(),
            Self::Plan(plan) => plan.to_string(),
            Self::Price(model) => model.to_string(),
            Self::Webhook(webhook) => webhook.to_string(),
            Self::AlertRule(rule) => rule.to_string(),
        }
    }

    /// What an id is of, by its shape: a key, a person, an organization, or `organization/person` for a member.
    pub fn of_id(id: &str) -> Option<Self> {
        ["key", "key_request", "webhook", "alert_rule", "user", "member", "organization"]
            .into_iter()
            .find_map(|kind| Self::from_words(kind, id))
    }

    pub(crate) fn from_words(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "key" => id.parse().ok().map(Self::Key),
            "organization" => id.parse().ok().map(Self::Organization),
            "upstream_credential" => Some(Self::UpstreamCredential(id.to_owned())),
            "user" => id.parse().ok().map(Self::User),
            "member" => {
                let (organization, user) = id.split_once('/')?;
                Some(Self::Member(organization.parse().ok()?, user.parse().ok()?))
            }
            "setup" => Some(Self::Setup),
            "key_request" => id.parse().ok().map(Self::KeyRequest),
            "plan" => id.parse().ok().map(Self::Plan),
            "price" => id.parse().ok().map(Self::Price),
            "webhook" => id.parse().ok().map(Self::Webhook),
            "alert_rule" => id.parse().ok().map(Self::AlertRule),
            _ => None,
        }
    }
}

/// One line of the change feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeEntry {
    /// The revision the change made.
    pub revision: Revision,
    /// What it was about.
    pub subject: Subject,
}

/// What the store tells a reader that knows some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Every change after that revision, in order, without a gap; at most as many as were asked for.
    Entries(Vec<ChangeEntry>),
    /// Changes that were asked for are gone, or the reader knows more than the store: it must load everything.
    Gap,
}
