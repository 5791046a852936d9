//! The promise every engine keeps; `tests/conformance` holds them to it.

use async_trait::async_trait;
use keyward_core::{
    id::{ApiName, InvitationId, KeyId, KeyRequestId, NodeId, OrganizationId, SessionId, UserId},
    key::Digest,
    limit::{Saved, applied::CounterId},
    member::{Email, Membership, User},
    organization::Organization,
    time::Timestamp,
    usage::UsageBatch,
};

use crate::{
    alerts::AlertStore,
    chain::{AuditHead, AuditProof},
    change::{Actor, Change, Feed, Revision},
    error::StoreError,
    once::{Answered, Once, RequestKey},
    people::{Identity, Invitation, Session, TokenDigest, UserRecord},
    plans::{PlanRecord, PriceRecord},
    query::{
        AuditEntry, AuditFilter, AuditId, KeyFilter, KeyRecord, Loaded, Node, Page, SecretUse,
        ShownKey, UpstreamCredential,
    },
    requests::{KeyRequest, KeyRequestFilter},
    usage::{UsageFilter, UsageGrain, UsageTotal},
    webhooks::WebhookStore,
};

/// Which key material a [`MaterialCheck`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MaterialKind {
    /// A pepper, under which digests are made.
    Pepper,
    /// An encryption key, from which come the keys that values are sealed and the audit log is chained under.
    EncryptionKey,
}

impl MaterialKind {
    /// The word it is stored by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pepper => "pepper",
            Self::EncryptionKey => "encryption_key",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Pepper, Self::EncryptionKey].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// By what a store recognizes the key material it was first used with: 16 bytes of an HMAC under it. It tells a swapped
/// file from the right one and nothing about what the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaterialCheck {
    /// Which material.
    pub kind: MaterialKind,
    /// Which version of it.
    pub version: u32,
    /// The HMAC of a constant, truncated.
    pub value: [u8; 16],
}

/// The truth. Every answer is of one moment; every change is durable before it is acknowledged.
///
/// A future that is dropped does not take its change back: it may stand or not, whole.
#[async_trait]
pub trait Store: WebhookStore + AlertStore + Send + Sync {
    /// Does one change, all of it or nothing. `at` is the moment the audit log will name.
    ///
    /// Returns the revision in which the change is in effect: a reader that has reached it has seen the change.
    async fn commit(
        &self,
        actor: &Actor,
        at: Timestamp,
        change: Change,
    ) -> Result<Revision, StoreError>;

    /// What would become of these changes, done in this order now. Nothing of it is kept, and nobody hears of it. Others wait
    /// meanwhile, so a thousand at once are enough.
    async fn rehearse(
        &self,
        actor: &Actor,
        at: Timestamp,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError>;

    /// Does a change like [`Store::commit`], once: with it goes a record of the request and its sealed answer. Where there is such
    /// a record already, nothing is done ([`StoreError::DoneBefore`]); [`Store::answer`] has it. Records whose time is over
    /// go as new ones come.
    async fn commit_once(
        &self,
        actor: &Actor,
        at: Timestamp,
        change: Change,
        once: Once,
    ) -> Result<Revision, StoreError>;

    /// What became of a request, as long as that is kept at `at`; its answer, as long as that is.
    async fn answer(
        &self,
        request: &RequestKey,
        at: Timestamp,
    ) -> Result<Option<Answered>, StoreError>;

    /// The revision of the newest change.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// One organization.
    async fn organization(&self, id: &OrganizationId) -> Result<Option<Organization>, StoreError>;

    /// All organizations, in the order they were made.
    async fn organizations(&self) -> Result<Vec<Organization>, StoreError>;

    /// One key with its secrets.
    async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;

    /// Keys in the order they were made.
    async fn keys(
        &self,
        filter: &KeyFilter,
        page: Page<KeyId>,
    ) -> Result<Vec<KeyRecord>, StoreError>;

    /// The key whose secret has one of these digests: of what was shown, one under each pepper.
    async fn shown_key(&self, digests: &[Digest]) -> Result<Option<ShownKey>, StoreError>;

    /// The key that has this name now: revoked keys have given theirs up.
    async fn find_key_by_name(
        &self,
        organization: &OrganizationId,
        api: &ApiName,
        name: &str,
    ) -> Result<Option<KeyRecord>, StoreError>;

    /// How far each secret of the key is in use, in the order they were made.
    async fn secret_uses(&self, key: KeyId) -> Result<Vec<SecretUse>, StoreError>;

    /// The revision of the last change to an organization.
    async fn organization_revision(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<Revision>, StoreError>;

    /// All plans, by name.
    async fn plans(&self) -> Result<Vec<PlanRecord>, StoreError>;

    /// What models cost, by model.
    async fn prices(&self) -> Result<Vec<PriceRecord>, StoreError>;

    /// Every upstream credential, by name.
    async fn upstream_credentials(&self) -> Result<Vec<UpstreamCredential>, StoreError>;

    /// The audit log, newest first.
    async fn audit(
        &self,
        filter: &AuditFilter,
        page: Page<AuditId>,
    ) -> Result<Vec<AuditEntry>, StoreError>;

    /// Whether the audit log is what was written, and holds what was once `noted` of it: every entry is read, in one moment,
    /// while changes go on. A log that is broken is an answer, not an error.
    async fn verify_audit(&self, noted: Option<AuditHead>) -> Result<AuditProof, StoreError>;

    /// Totals over a range of minutes, by whatever the filter tells them apart by, in the order of their groups. A row that is damaged
    /// is left out, and the log says so; so is what waits to be added, where nothing can be written.
    async fn usage(&self, filter: &UsageFilter) -> Result<Vec<UsageTotal>, StoreError>;

    /// Adds up what was recorded of usage and waits for that, without haste. What [`Store::usage`] tells is the same before and after;
    /// it takes less long.
    async fn add_up_usage(&self) -> Result<(), StoreError>;

    /// Forgets a thousand rows at most of the oldest usage of a grain from before the minute `before`, of organizations from `from` on, so
    /// that nobody waits long. Answers how many rows went, and the organization to go on with; `None` behind the last.
    async fn clear_usage(
        &self,
        grain: UsageGrain,
        before: u64,
        from: &str,
    ) -> Result<(u64, Option<String>), StoreError>;

    /// What changed after `known`, at most `limit` (1 to 100,000) entries.
    async fn changes_since(&self, known: Revision, limit: u32) -> Result<Feed, StoreError>;

    /// Forgets all feed entries but the last `keep_last`. Readers further behind will be told of a gap.
    /// Returns how many went.
    async fn trim_changes(&self, keep_last: u64) -> Result<u64, StoreError>;

    /// Gives the full state to `sink`, item by item, and returns its revision: what was given is the state of exactly this
    /// revision, whatever is committed meanwhile. On an error, what was given is worth nothing.
    async fn load(&self, sink: &mut (dyn FnMut(Loaded) + Send)) -> Result<Revision, StoreError>;

    /// Records usage and notes last uses, in one transaction without revision or audit entry. Last uses of secrets that are
    /// not there are ignored. So are the batch's exposures: they are changes, and their caller
    /// commits each as [`Change::MarkKeyExposed`].
    async fn record(&self, batch: &UsageBatch) -> Result<(), StoreError>;

    /// A person by id.
    async fn user(&self, id: UserId) -> Result<Option<UserRecord>, StoreError>;

    /// A person by what they log in by.
    async fn user_by_email(&self, email: &Email) -> Result<Option<UserRecord>, StoreError>;

    /// A person by an account elsewhere.
    async fn user_by_identity(&self, identity: &Identity)
    -> Result<Option<UserRecord>, StoreError>;

    /// Invitations to an address that nobody has accepted or taken back, oldest first. Whether their time is over is the caller's to see.
    async fn invitations_for(&self, email: &Email) -> Result<Vec<Invitation>, StoreError>;

    /// Whether somebody runs this Keyward already.
    async fn has_operator(&self) -> Result<bool, StoreError>;

    /// Who runs this Keyward, in the order they became known.
    async fn operators(&self) -> Result<Vec<User>, StoreError>;

    /// A session by its token, with its person. Whether its time is over is the caller's to see.
    async fn session(
        &self,
        token: &TokenDigest,
    ) -> Result<Option<(Session, UserRecord)>, StoreError>;

    /// A person's sessions, newest first.
    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError>;

    /// Notes when sessions were last used, in one transaction without revision or audit entry.
    async fn touch_sessions(&self, used: Vec<(SessionId, Timestamp)>) -> Result<(), StoreError>;

    /// The members of an organization, in the order they came.
    async fn members(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<(User, Membership)>, StoreError>;

    /// Invitations to an organization, or to run this Keyward, newest first.
    async fn invitations(
        &self,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<Invitation>, StoreError>;

    /// One invitation.
    async fn invitation(&self, id: InvitationId) -> Result<Option<Invitation>, StoreError>;

    /// The invitation that a token is of, whatever became of it.
    async fn invitation_by_token(
        &self,
        token: &TokenDigest,
    ) -> Result<Option<Invitation>, StoreError>;

    /// Keeps what limits have counted, in the place of what was kept of the same, in one transaction without revision or audit entry.
    async fn save_counters(&self, counters: Vec<Saved>) -> Result<(), StoreError>;

    /// What limits had counted, in the order of the counters' numbers.
    async fn counters(&self, page: Page<CounterId>) -> Result<Vec<Saved>, StoreError>;

    /// Forgets counters of which nothing counts since `before`, `most` at most. Returns how many went.
    async fn forget_counters(&self, before: Timestamp, most: u32) -> Result<u64, StoreError>;

    /// A gateway began to follow the feed, or still does. Those not heard of for a day are forgotten.
    async fn see_node(&self, node: &Node) -> Result<(), StoreError>;

    /// A gateway stopped.
    async fn forget_node(&self, node: NodeId) -> Result<(), StoreError>;

    /// A gateway has applied everything up to this revision.
    async fn note_applied(
        &self,
        node: NodeId,
        revision: Revision,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// The gateways, each with when it had applied `revision`.
    async fn nodes(&self, revision: Revision) -> Result<Vec<Node>, StoreError>;

    /// Notes that people were reminded of something about a key. Answers whether they were not before.
    async fn note_reminder(
        &self,
        key: KeyId,
        kind: &'static str,
        about: Timestamp,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// One key request.
    async fn key_request(&self, id: KeyRequestId) -> Result<Option<KeyRequest>, StoreError>;

    /// Key requests, newest first.
    async fn key_requests(
        &self,
        filter: &KeyRequestFilter,
        page: Page<KeyRequestId>,
    ) -> Result<Vec<KeyRequest>, StoreError>;

    /// Returns when there is *probably* a revision other than `known`. A hint: it may come for nothing, and it may get lost,
    /// so callers also ask now and then.
    async fn wait_for_change(&self, known: Revision);

    /// Whether the store can write durably, by doing so.
    async fn check(&self) -> Result<(), StoreError>;
}
