//! The embedded engine: SQLite in the data folder, nothing to install or run beside it.
//!
//! One thread writes, in groups that are made durable together (`writer`); a few read beside it (`readers`); other
//! processes on the same folder are woken by datagrams (`hints`). Several processes may have the folder open at
//! once: SQLite's locks order their changes, and the revision is a row in the same transaction.

mod alert_store;
mod alerts;
mod apply;
mod audit;
mod authority;
mod connection;
pub(crate) mod copy;
mod counters;
mod faults;
mod hints;
mod identities;
mod imported;
mod key_list;
mod load;
pub(crate) mod lock;
mod migrations;
mod nodes;
mod once;
mod opening;
mod outbox;
mod people;
mod plans;
mod readers;
mod reads;
mod record;
mod requests;
mod rows;
mod updates;
mod usage;
mod webhook_store;
mod webhooks;
mod writer;

use std::{fs::File, path::Path, sync::Arc};

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
use nix::fcntl::Flock;

use self::{
    hints::Hints,
    readers::Readers,
    record::Recorded,
    usage::adding::{Adding, Pace},
    writer::{Tell, Writer},
};
pub use self::{migrations::Chaining, opening::Opening};
use crate::{
    chain::{AuditHead, AuditProof, ChainKey},
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
    store::Store,
    usage::{UsageFilter, UsageGrain, UsageTotal},
};

/// How many feed entries are removed in one transaction: some milliseconds in which no change gets in.
const TRIM_AT_ONCE: u32 = 10_000;

/// The store in one SQLite database.
pub struct SqliteStore {
    // In the order in which they are to stop: the last to close the database is the writer, which tidies its log.
    readers: Readers,
    /// For what adds up many rows.
    adders: Readers,
    writer: Writer,
    adding: Adding,
    hints: Arc<Hints>,
    chain: ChainKey,
    /// Nobody puts another database in its place.
    _in_use: Flock<File>,
}

impl SqliteStore {
    /// Begins to open the database, which must exist (an empty file will do). [`Opening::complete`] gives the store.
    ///
    /// [`crate::DataFolder::open`] is how to come by one in a data folder.
    pub fn open(database: &Path) -> Result<Opening, StoreError> {
        Opening::of(database)
    }
}

impl SqliteStore {
    async fn add_waiting_usage(&self, pace: Pace) -> Result<(), StoreError> {
        self.adding.all(&self.adders, &self.writer, pace).await
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(
        &self,
        actor: &Actor,
        at: Timestamp,
        change: Change,
    ) -> Result<Revision, StoreError> {
        let (actor, chain) = (actor.clone(), self.chain.clone());
        let work = move |connection: &_| apply::commit(connection, &chain, &actor, at, change);
        self.writer.run(Tell::Others, work).await
    }

    async fn rehearse(
        &self,
        actor: &Actor,
        at: Timestamp,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let (actor, chain) = (actor.clone(), self.chain.clone());
        let work = move |connection: &_| apply::rehearse(connection, &chain, &actor, at, changes);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn commit_once(
        &self,
        actor: &Actor,
        at: Timestamp,
        change: Change,
        once: Once,
    ) -> Result<Revision, StoreError> {
        let (actor, chain) = (actor.clone(), self.chain.clone());
        let work = move |connection: &_| {
            once::is_first(connection, at, &once.request)?;
            let revision = apply::commit(connection, &chain, &actor, at, change)?;
            once::keep(connection, at, once, revision)?;
            Ok(revision)
        };
        self.writer.run(Tell::Others, work).await
    }

    async fn answer(
        &self,
        request: &RequestKey,
        at: Timestamp,
    ) -> Result<Option<Answered>, StoreError> {
        let request = request.clone();
        self.readers.ask(move |connection| once::answer(connection, &request, at)).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.readers.ask(reads::revision).await
    }

    async fn organization(&self, id: &OrganizationId) -> Result<Option<Organization>, StoreError> {
        let id = id.clone();
        self.readers.ask(move |connection| reads::organization(connection, &id)).await
    }

    async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        self.readers.ask(reads::organizations).await
    }

    async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.readers.ask(move |connection| reads::key(connection, id)).await
    }

    async fn keys(
        &self,
        filter: &KeyFilter,
        page: Page<KeyId>,
    ) -> Result<Vec<KeyRecord>, StoreError> {
        let filter = filter.clone();
        self.readers.ask(move |connection| key_list::keys(connection, &filter, &page)).await
    }

    async fn shown_key(&self, digests: &[Digest]) -> Result<Option<ShownKey>, StoreError> {
        let digests = digests.to_vec();
        self.readers.ask(move |connection| reads::shown_key(connection, &digests)).await
    }

    async fn find_key_by_name(
        &self,
        organization: &OrganizationId,
        api: &ApiName,
        name: &str,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let (organization, api, name) = (organization.clone(), api.clone(), name.to_owned());
        let question =
            move |connection: &_| reads::find_key_by_name(connection, &organization, &api, &name);
        self.readers.ask(question).await
    }

    async fn secret_uses(&self, key: KeyId) -> Result<Vec<SecretUse>, StoreError> {
        self.readers.ask(move |connection| reads::secret_uses(connection, key)).await
    }

    async fn organization_revision(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<Revision>, StoreError> {
        let id = id.clone();
        self.readers.ask(move |connection| reads::organization_revision(connection, &id)).await
    }

    async fn plans(&self) -> Result<Vec<PlanRecord>, StoreError> {
        self.readers.ask(plans::plans).await
    }

    async fn prices(&self) -> Result<Vec<PriceRecord>, StoreError> {
        self.readers.ask(plans::prices).await
    }

    async fn upstream_credentials(&self) -> Result<Vec<UpstreamCredential>, StoreError> {
        self.readers.ask(reads::upstream_credentials).await
    }

    async fn audit(
        &self,
        filter: &AuditFilter,
        page: Page<AuditId>,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let filter = filter.clone();
        self.readers.ask(move |connection| reads::audit(connection, &filter, &page)).await
    }

    async fn verify_audit(&self, noted: Option<AuditHead>) -> Result<AuditProof, StoreError> {
        let chain = self.chain.clone();
        self.readers.apart(move |connection| audit::verify(connection, &chain, noted)).await
    }

    async fn usage(&self, filter: &UsageFilter) -> Result<Vec<UsageTotal>, StoreError> {
        match self.add_waiting_usage(Pace::AtOnce).await {
            Err(error) if error.is_outage() => {
                tracing::warn!(%error, "usage that waits cannot be added now: what is asked of usage is told without it");
            }
            added => added?,
        }
        let filter = filter.clone();
        self.adders.ask(move |connection| usage::totals(connection, &filter)).await
    }

    async fn add_up_usage(&self) -> Result<(), StoreError> {
        self.add_waiting_usage(Pace::Leisurely).await
    }

    async fn clear_usage(
        &self,
        grain: UsageGrain,
        before: u64,
        from: &str,
    ) -> Result<(u64, Option<String>), StoreError> {
        if from.is_empty() {
            // What waits may be as old.
            self.add_waiting_usage(Pace::Leisurely).await?;
        }
        let from = from.to_owned();
        let work = move |connection: &_| usage::clear_piece(connection, grain, before, &from);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn changes_since(&self, known: Revision, limit: u32) -> Result<Feed, StoreError> {
        self.readers.ask(move |connection| reads::changes_since(connection, known, limit)).await
    }

    async fn trim_changes(&self, keep_last: u64) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let trimmed = self
                .writer
                .run(Tell::Nobody, move |connection| {
                    record::trim_changes(connection, keep_last, TRIM_AT_ONCE)
                })
                .await?;
            gone += trimmed;
            if trimmed < u64::from(TRIM_AT_ONCE) {
                return Ok(gone);
            }
        }
    }

    async fn load(&self, sink: &mut (dyn FnMut(Loaded) + Send)) -> Result<Revision, StoreError> {
        self.readers.walk(sink, load::everything).await
    }

    async fn user(&self, id: UserId) -> Result<Option<UserRecord>, StoreError> {
        self.readers.ask(move |connection| people::user_by_id(connection, id)).await
    }

    async fn user_by_email(&self, email: &Email) -> Result<Option<UserRecord>, StoreError> {
        let email = email.clone();
        self.readers.ask(move |connection| people::user_by_email(connection, &email)).await
    }

    async fn user_by_identity(
        &self,
        identity: &Identity,
    ) -> Result<Option<UserRecord>, StoreError> {
        let identity = identity.clone();
        self.readers.ask(move |connection| identities::user(connection, &identity)).await
    }

    async fn invitations_for(&self, email: &Email) -> Result<Vec<Invitation>, StoreError> {
        let email = email.clone();
        self.readers.ask(move |connection| people::invitations_for(connection, &email)).await
    }

    async fn has_operator(&self) -> Result<bool, StoreError> {
        self.readers.ask(people::has_operator).await
    }

    async fn operators(&self) -> Result<Vec<User>, StoreError> {
        self.readers.ask(people::operators).await
    }

    async fn session(
        &self,
        token: &TokenDigest,
    ) -> Result<Option<(Session, UserRecord)>, StoreError> {
        let token = *token;
        self.readers.ask(move |connection| people::session_by_token(connection, &token)).await
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        self.readers.ask(move |connection| people::sessions(connection, user)).await
    }

    async fn touch_sessions(&self, used: Vec<(SessionId, Timestamp)>) -> Result<(), StoreError> {
        let work = move |connection: &_| people::touch_sessions(connection, &used);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn members(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<(User, Membership)>, StoreError> {
        let organization = organization.clone();
        self.readers.ask(move |connection| people::members(connection, &organization)).await
    }

    async fn invitations(
        &self,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<Invitation>, StoreError> {
        let organization = organization.cloned();
        let question = move |connection: &_| people::invitations(connection, organization.as_ref());
        self.readers.ask(question).await
    }

    async fn invitation(&self, id: InvitationId) -> Result<Option<Invitation>, StoreError> {
        self.readers.ask(move |connection| people::invitation_by_id(connection, id)).await
    }

    async fn invitation_by_token(
        &self,
        token: &TokenDigest,
    ) -> Result<Option<Invitation>, StoreError> {
        let token = *token;
        self.readers.ask(move |connection| people::invitation_by_token(connection, &token)).await
    }

    async fn key_request(&self, id: KeyRequestId) -> Result<Option<KeyRequest>, StoreError> {
        self.readers.ask(move |connection| requests::request_by_id(connection, id)).await
    }

    async fn key_requests(
        &self,
        filter: &KeyRequestFilter,
        page: Page<KeyRequestId>,
    ) -> Result<Vec<KeyRequest>, StoreError> {
        let filter = filter.clone();
        self.readers.ask(move |connection| requests::requests(connection, &filter, &page)).await
    }

    async fn record(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        let recorded = Recorded::of(batch)?;
        let work = move |connection: &_| record::record(connection, &recorded);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn save_counters(&self, counters: Vec<Saved>) -> Result<(), StoreError> {
        let work = move |connection: &_| counters::save(connection, &counters);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn counters(&self, page: Page<CounterId>) -> Result<Vec<Saved>, StoreError> {
        self.readers.ask(move |connection| counters::page(connection, page)).await
    }

    async fn forget_counters(&self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        let work = move |connection: &_| counters::forget(connection, before, most);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn see_node(&self, node: &Node) -> Result<(), StoreError> {
        let node = node.clone();
        let work = move |connection: &_| nodes::see(connection, &node);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn forget_node(&self, node: NodeId) -> Result<(), StoreError> {
        let work = move |connection: &_| nodes::forget(connection, node);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn note_applied(
        &self,
        node: NodeId,
        revision: Revision,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let work = move |connection: &_| nodes::note_applied(connection, node, revision, at);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn nodes(&self, revision: Revision) -> Result<Vec<Node>, StoreError> {
        self.readers.ask(move |connection| nodes::nodes(connection, revision)).await
    }

    async fn note_reminder(
        &self,
        key: KeyId,
        kind: &'static str,
        about: Timestamp,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let work = move |connection: &_| nodes::note_reminder(connection, key, kind, about, at);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn wait_for_change(&self, known: Revision) {
        // Listening begins before the question is asked, so that a change in between is not missed.
        let mut hints = self.hints.listen();
        if self.revision().await.is_ok_and(|newest| newest != known) {
            return;
        }
        // An error says that the store is being closed: there is nothing more to wait for.
        let _ = hints.changed().await;
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.writer.run(Tell::Nobody, record::count_check).await
    }
}
