//! The truth: what Keyward remembers, and the one way to change it.
//!
//! One change is one transaction: the rows, an audit entry, a change-feed entry and the next revision stand together or
//! not at all, and an acknowledged change survives `kill -9` and power loss. The data plane follows the feed by revision
//! and never asks here for a request.
//!
//! Where to look: [`Store`] is the promise, `tests/conformance` holds every engine to it; [`change`] is what can be
//! done, [`query`] what can be asked; [`sqlite`] is the embedded engine; [`folder`] is the data folder with the pepper and
//! the encryption key, which never stand in a database; [`seal`] keeps what must be read back; [`chain`] makes
//! tampering with the audit log show.
//!
//! Rejected: sqlx (twice the packages and build time, and its SQLite cannot stand beside rusqlite's); a write on the way of a
//! request (last uses and usage arrive coalesced, see [`Store::record`]); events without state (a reader that
//! missed one could never catch up; here it reloads).

pub mod alerts;
pub mod chain;
pub mod change;
pub mod error;
pub mod folder;
pub mod once;
pub mod people;
pub mod plans;
pub mod query;
pub mod requests;
mod rules;
pub mod seal;
pub mod sqlite;
mod store;
mod turns;
mod usage;
pub mod webhooks;
mod words;

pub use alerts::{
    Alert, AlertFilter, AlertRuleChange, AlertRuleRecord, AlertRuleUpdate, AlertStore,
    ForgetAlerts, KeyNetwork,
};
pub use chain::{AuditBreak, AuditHash, AuditHead, AuditProof, ChainKeys, NotAHead};
pub use change::{
    Actor, ActorKind, Change, ChangeEntry, Feed, Interface, KeyUpdate, OrganizationUpdate,
    Revision, Subject,
};
pub use error::StoreError;
pub use folder::{
    DataFolder,
    backup::{BackedUp, Replaced, Restored},
};
pub use once::{Answered, Answering, Once, RequestKey};
pub use people::{
    Identity, Invitation, InvitationState, InvitedAs, PasswordHash, PeopleChange, Session,
    TokenDigest, UserRecord,
};
pub use plans::{PlanChange, PlanChoice, PlanRecord, PriceRecord};
pub use query::{
    AuditEntry, AuditFilter, AuditId, Ending, KeyFilter, KeyRecord, Loaded, Node, Page, SecretUse,
    ShownKey, UpstreamCredential,
};
pub use requests::{
    KeyGrant, KeyRequest, KeyRequestChange, KeyRequestDecision, KeyRequestFilter, KeyRequestState,
    KeyTerms,
};
pub use seal::{SealContext, SealedBytes, Sealer};
pub use sqlite::{Chaining, Opening, SqliteStore, copy::Beyond};
pub use store::{MaterialCheck, MaterialKind, Store};
pub use turns::in_turns;
pub use usage::{UsageBy, UsageFilter, UsageGrain, UsageGroup, UsageTotal};
pub use webhooks::{
    AfterAttempt, Attempt, Delivery, DeliveryFilter, DeliveryState, Due, DueDelivery, DueFilter,
    Failing, Forget, Webhook, WebhookChange, WebhookRecord, WebhookSecret, WebhookStore,
    WebhookUpdate,
};
pub use words::Word;
