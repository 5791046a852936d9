//! Who did what to what, and when.

use serde::{Deserialize, Serialize};

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorView {
    /// `operator` or `system`.
    pub kind: String,
    /// By which name.
    pub name: String,
    /// From where: `command_line`, `management_api` or `gateway`.
    pub interface: String,
}

/// What was acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectView {
    /// `key`, `organization` or `upstream_credential`.
    pub kind: String,
    /// Its id or name.
    pub id: String,
}

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// What was there before, as far as it changed.
    pub before: Option<serde_json::Value>,
    /// What was there after, as far as it changed.
    pub after: Option<serde_json::Value>,
    /// How it ended.
    pub outcome: String,
    /// The revision it made.
    pub revision: Option<u64>,
}
