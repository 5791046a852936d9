//! Who did what to what, and when.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActorView {
    /// `operator`, `system`, `member`, `visitor` or `key`.
    pub kind: String,
    /// Which person, where it was one who is known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Which management key, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// By which name: a person's address, a key's name, the account of the machine, the part of Keyward.
    pub name: String,
    /// From which address, where it came over a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// By what: `command_line`, `management_api` or `gateway`.
    pub interface: String,
}

/// What was acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubjectView {
    /// `key`, `organization`, `upstream_credential`, `user`, `member` or `setup`.
    pub kind: String,
    /// Its id or name.
    pub id: String,
}

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntryView {
    /// Its place in the log.
    pub id: u64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: ActorView,
    /// What, like `key.revoke`.
    pub action: String,
    /// To what.
    pub subject: SubjectView,
    /// Whose business it is; `null` where only who runs this Keyward sees it.
    #[serde(default)]
    pub organization_id: Option<String>,
    /// What was there before, as far as it changed.
    pub before: Option<serde_json::Value>,
    /// What was there after, as far as it changed.
    pub after: Option<serde_json::Value>,
    /// How it ended.
    pub outcome: String,
    /// The revision it made.
    pub revision: Option<u64>,
}

/// What a check of the audit log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AuditProofView {
    /// Every entry is as it was written, and none is missing.
    Whole {
        /// How many entries.
        entries: u64,
        /// The newest one's place in the log.
        newest: Option<u64>,
        /// The number of entries, a colon, and the hash over all of them: to be noted elsewhere.
        head: String,
    },
    /// The first place where the log is not what was written. What stands before it is whole.
    Broken {
        /// What is wrong: `changed`, `missing`, `cut`, `added`, `head_missing`, `head_changed`, `head_outdated`,
        /// `head_of_another`, `shorter_than_noted` or `not_as_noted`.
        what: String,
        /// The first entry that is wrong or gone, where it is known. Somebody else may have given it any number.
        entry: Option<i64>,
        /// The same for people.
        message: String,
    },
}
