//! What can go wrong at the store, each with what to do about it.
//!
//! Three kinds, which callers tell apart: the change does not fit what is there (a 4xx), the store cannot answer now
//! ([`StoreError::is_outage`], a 503, never a 401), and what is stored is damaged.

use std::path::PathBuf;

use keyward_core::{
    id::{
        AlertId, AlertRuleId, ApiName, DeliveryId, InvitationId, KeyId, KeyRequestId, ModelId,
        OrganizationId, SecretId, UserId, WebhookId,
    },
    key::Unusable,
    limit::{ModelPattern, PlanName},
    member::{Email, Right},
    snapshot::Revision,
    time::Timestamp,
};

/// Why the store did not do what was asked. Nothing of the change was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No organization of this id.
    #[error("there is no organization `{0}`: `keyward orgs list` shows which there are")]
    NoSuchOrganization(OrganizationId),
    /// No key of this id.
    #[error("there is no key {0}: `keyward keys list` shows which there are")]
    NoSuchKey(KeyId),
    /// No secret of this id.
    #[error("there is no secret {0}: `keyward keys show` lists those of a key")]
    NoSuchSecret(SecretId),
    /// No credential is kept for this upstream.
    #[error("no credential is kept for upstream `{0}`: nothing to remove")]
    NoSuchUpstreamCredential(String),
    /// The model id is not this organization's. The same answer whether nobody or somebody else has it.
    #[error("model id `{model}` is not assigned to organization `{organization}`")]
    ModelNotAssigned {
        /// Who was asked about.
        organization: OrganizationId,
        /// Which model id.
        model: ModelId,
    },
    /// The organization's id is in use.
    #[error("organization `{0}` exists already: choose another id, or change that one")]
    OrganizationExists(OrganizationId),
    /// The key's id is in use.
    #[error("key {0} exists already: ids come from 128 random bits, ask for another")]
    KeyExists(KeyId),
    /// The secret's id or its digest is in use.
    #[error("secret {0} exists already, or another key has the same one: make a new secret")]
    SecretExists(SecretId),
    /// Another organization has the model id; whose is not said, it may be another tenant's business.
    #[error("model id `{0}` is taken: choose another")]
    ModelTaken(ModelId),
    /// Another key that is not revoked has this name, in the same organization at the same API.
    #[error("the name `{name}` is taken by key {key}: choose another name, or revoke that key")]
    NameTaken {
        /// The name.
        name: String,
        /// Which key has it.
        key: KeyId,
    },
    /// The organization has as many keys as this API allows it.
    #[error(
        "organization `{organization}` may have {most} key(s) at API `{api}` and has them: \
         revoke one that is no longer used, or rotate it to get a new secret"
    )]
    TooManyKeys {
        /// Whose keys.
        organization: OrganizationId,
        /// At which API.
        api: ApiName,
        /// How many it may have that are not revoked.
        most: u32,
    },
    /// No person of this id.
    #[error("there is no person {0}")]
    NoSuchUser(UserId),
    /// No member of this id in this organization.
    #[error("{user} is no member of organization `{organization}`: list its members to see who is")]
    NoSuchMember {
        /// Where.
        organization: OrganizationId,
        /// Who.
        user: UserId,
    },
    /// No invitation of this id.
    #[error("there is no invitation {0}")]
    NoSuchInvitation(InvitationId),
    /// A token that opens nothing: it never did, was used, was taken back, or its time is over. Which is not said.
    #[error("this token opens nothing (any more): ask for a new one")]
    UnknownToken,
    /// Somebody runs this Keyward already.
    #[error("this Keyward is set up already: log in, or ask an operator for an invitation")]
    SetUpAlready,
    /// Somebody with this address is known here.
    #[error("{0} is known here already: log in with it")]
    EmailTaken(Email),
    /// The person logs in with another account of this issuer.
    #[error("{email} logs in with another account of {issuer} already: ask an operator")]
    LinkedOtherwise {
        /// Who.
        email: Email,
        /// Where both accounts are.
        issuer: String,
    },
    /// The person belongs there.
    #[error("{0} is a member already")]
    AlreadyMember(Email),
    /// An invitation to the same place is open.
    #[error("{0} is invited already: withdraw that invitation to send another")]
    AlreadyInvited(Email),
    /// Each invitation is a mail to somebody who did not ask for it.
    #[error(
        "organization `{organization}` has sent {most} invitations within a day, and cannot send more: wait until tomorrow"
    )]
    TooManyInvitations {
        /// Which.
        organization: OrganizationId,
        /// How many it may send in a day.
        most: u32,
    },
    /// It was accepted, and cannot be taken back.
    #[error("invitation {0} was accepted: remove the member instead")]
    AlreadyAccepted(InvitationId),
    /// Nobody of the invited address is known here yet.
    #[error("nobody with the address {0} is known here yet: choose a name and a password")]
    NewcomerExpected(Email),
    /// An organization keeps at least one owner.
    #[error("organization `{0}` would have no owner: make somebody else an owner first")]
    LastOwner(OrganizationId),
    /// Whoever acts may not, or no longer.
    #[error("you may not do this{}: ask somebody who may", .0.map_or_else(String::new, |right| format!(" (it takes `{}`)", right.permission())))]
    NotAllowed(Option<Right>),
    /// A password was right when it was checked, and no longer is.
    #[error("the password was changed meanwhile: log in with the new one")]
    PasswordChanged,
    /// The management key that acts is not good, or no longer.
    #[error(transparent)]
    KeyNotGood(Unusable),
    /// A repeat of a request whose change stands: it is not done twice.
    #[error("this was done before, under the same Idempotency-Key: ask for its answer")]
    DoneBefore,
    /// It was changed since it was seen.
    #[error(
        "it was changed since you saw it (you saw state {seen}, it is {is}): look again, then decide"
    )]
    Outdated {
        /// The state that was seen.
        seen: Revision,
        /// The present one.
        is: Revision,
    },
    /// Somebody has not changed to the new secret yet.
    #[error(
        "secret {secret} was used at {last_used_at}, after it was replaced: somebody would be cut off. \
         Find out who (the key shows from where), or force it"
    )]
    SecretInUse {
        /// Which.
        secret: SecretId,
        /// When it was last accepted.
        last_used_at: Timestamp,
    },
    /// No key request of this id.
    #[error("there is no key request {0}: list them to see which there are")]
    NoSuchKeyRequest(KeyRequestId),
    /// The request is no longer what the change needs it to be.
    #[error(
        "key request {request} is {state}, and nothing can be done with it any more: ask for a key anew"
    )]
    KeyRequestClosed {
        /// Which.
        request: KeyRequestId,
        /// What became of it.
        state: &'static str,
    },
    /// Nobody but owners decides on what they asked for themselves.
    #[error("key request {0} is your own: ask another administrator, or an owner, to decide on it")]
    OwnKeyRequest(KeyRequestId),
    /// A key is claimed, and a request taken back, by whoever asked alone.
    #[error(
        "key request {0} is somebody else's: only who asked can claim the key or withdraw the request"
    )]
    NotTheRequester(KeyRequestId),
    /// The member asks for too many keys.
    #[error(
        "you have {most} key requests that are open or less than a day old, and cannot have more: wait, or withdraw what is not needed"
    )]
    TooManyKeyRequests {
        /// How many they may have.
        most: u32,
    },
    /// No plan of this name.
    #[error("there is no plan `{0}`: `keyward plans list` shows which there are")]
    NoSuchPlan(PlanName),
    /// No price for this model.
    #[error("there is no price for `{0}`: `keyward prices list` shows which there are")]
    NoSuchPrice(ModelPattern),
    /// Organizations are on the plan.
    #[error("{organizations} organization(s) are on plan `{plan}`: put them on another plan first")]
    PlanInUse {
        /// Which.
        plan: PlanName,
        /// How many.
        organizations: u64,
    },
    /// No webhook of this id.
    #[error("there is no webhook {0}: list those of the organization")]
    NoSuchWebhook(WebhookId),
    /// No delivery of this id.
    #[error("there is no delivery {0}: list those of the webhook; old ones are forgotten")]
    NoSuchDelivery(DeliveryId),
    /// No alert rule of this id.
    #[error("there is no alert rule {0}: list those of the organization")]
    NoSuchAlertRule(AlertRuleId),
    /// No alert of this id.
    #[error("there is no alert {0}: list those of the organization")]
    NoSuchAlert(AlertId),
    /// Each rule is looked at every minute.
    #[error("there are {most} alert rules, and cannot be more: remove one that is not needed")]
    TooManyAlertRules {
        /// How many there may be.
        most: u32,
    },
    /// Nothing is sent to it.
    #[error("webhook {0} is disabled: enable it first")]
    WebhookDisabled(WebhookId),
    /// Each webhook is told of everything.
    #[error("there are {most} webhooks, and cannot be more: remove one that is not needed")]
    TooManyWebhooks {
        /// How many there may be.
        most: u32,
    },
    /// Revoked is final.
    #[error("key {0} is revoked, which is final: make a new key")]
    AlreadyRevoked(KeyId),
    /// What was asked for contradicts itself or a bound.
    #[error("{what}: {remedy}")]
    Invalid {
        /// What is wrong.
        what: String,
        /// What would be right.
        remedy: String,
    },
    /// The store cannot do it now: disk full, input or output failed, locked by another process. Later changes work again
    /// once the cause is gone. A change that failed while it was being made durable was not acknowledged;
    /// after a crash in that very moment it may stand nevertheless, whole.
    #[error("{what}: {remedy}")]
    Unavailable {
        /// What happened.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A stored row cannot be read as what it should be.
    #[error(
        "row {id} of table `{table}` is damaged ({what}): restore the database from its backup, or repair the row"
    )]
    Corrupt {
        /// Which table.
        table: String,
        /// Which row.
        id: String,
        /// What is wrong with it.
        what: String,
    },
    /// The database was written by a newer Keyward.
    #[error(
        "the database at {path} has schema {database}, this Keyward knows {known}: \
         start the newer version that wrote it, or restore a backup from before the upgrade"
    )]
    NewerSchema {
        /// Where.
        path: PathBuf,
        /// The database's schema.
        database: i64,
        /// The newest schema this binary knows.
        known: i64,
    },
    /// The database is gone, and what only a database that was used has beside it is there.
    #[error(
        "{path}: it is {what}, and `{beside}` beside it says that there were keys: restore keyward.db from its backup; \
         or, if this folder never held keys, remove `pepper`, `encryption-key` and `audit-chained` and all is made anew"
    )]
    DatabaseLost {
        /// Where it should be.
        path: PathBuf,
        /// What became of it.
        what: &'static str,
        /// What tells that it was there.
        beside: &'static str,
    },
    /// The audit log was chained once, and is not.
    #[error(
        "the audit log in {path} has no chain, and `audit-chained` beside it says that it had one: somebody took it away, or \
         this is a backup from before it: restore a newer backup; or, if you trust the log as it is, remove \
         `audit-chained` and it is chained anew"
    )]
    AuditChainLost {
        /// The database.
        path: PathBuf,
    },
    /// A file of key material (pepper, encryption key) cannot be used. `place` is the file, with a line where there is one.
    #[error("{place}: {what}: {remedy}")]
    KeyMaterial {
        /// The file, or the file and line.
        place: String,
        /// What is wrong with it.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A sealed value does not open: another key sealed it, it was changed, or it was moved from another row.
    #[error("the sealed value of {of} does not open ({why}): set it again")]
    Sealed {
        /// What it belongs to.
        of: String,
        /// Why.
        why: &'static str,
    },
}

impl StoreError {
    /// Whether the store could not answer, as opposed to having answered no.
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Corrupt { .. })
    }

    pub(crate) fn unavailable(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Unavailable { what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn invalid(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), remedy: remedy.into() }
    }
}
