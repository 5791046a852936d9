//! What requests of the management API say. A field that is not known is refused: it was misspelt, or would have meant something.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    InvitationView, KeyStateView, OrganizationView, PlaintextView, RotationView, SessionView,
    UserView, limit::LimitView,
};

/// Becoming the first operator.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUpInput {
    /// The token that the console showed.
    #[schema(example = "kwset_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk")]
    pub token: String,
    /// What they will log in by.
    #[schema(example = "ops@example.com", format = "idn-email", max_length = 254)]
    pub email: String,
    /// What people call them.
    #[schema(example = "Ops", min_length = 1, max_length = 100)]
    pub name: String,
    /// 10 to 256 characters.
    #[schema(
        example = "correct horse battery",
        format = "password",
        min_length = 10,
        max_length = 256
    )]
    pub password: String,
}

/// Signing up.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUpInput {
    /// What they will log in by.
    #[schema(example = "ada@example.com", format = "idn-email", max_length = 254)]
    pub email: String,
    /// What people call them.
    #[schema(example = "Ada", min_length = 1, max_length = 100)]
    pub name: String,
    /// 10 to 256 characters.
    #[schema(
        example = "correct horse battery",
        format = "password",
        min_length = 10,
        max_length = 256
    )]
    pub password: String,
    /// What their organization is called.
    #[schema(example = "Ada's", min_length = 1, max_length = 100)]
    pub organization: String,
}

/// Who signed up, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedUp {
    /// The person.
    pub user: UserView,
    /// The organization they own.
    pub organization: OrganizationView,
}

/// Another password.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPasswordInput {
    /// The one until now.
    #[schema(format = "password")]
    pub old: String,
    /// 10 to 256 characters.
    #[schema(format = "password", min_length = 10, max_length = 256)]
    pub new: String,
}

/// Logging in.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSessionInput {
    /// What they log in by.
    #[schema(example = "ada@example.com", format = "idn-email", max_length = 254)]
    pub email: String,
    /// Their password.
    #[schema(example = "correct horse battery", format = "password")]
    pub password: String,
    /// Whether a browser keeps the token, in a cookie that no script reads, instead of being told it.
    #[serde(default)]
    #[schema(example = false)]
    pub cookie: bool,
}

/// A login: the one place and time where its token stands in the clear.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct StartedSession {
    /// What to send as `Authorization: Bearer`; left out where a cookie holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<PlaintextView>,
    /// Who logged in.
    pub user: UserView,
    /// The session.
    pub session: SessionView,
}

/// A login with an account elsewhere.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StartOpenIdQuery {
    /// Where the browser goes when it is logged in: a path here; `/` where left out.
    #[param(example = "/keys")]
    pub return_to: Option<String>,
}

/// A new organization.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOrganizationInput {
    /// The id its requests carry; left out, one is made.
    #[schema(example = "org_acme", pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    pub id: Option<String>,
    /// What people call it; left out, its id.
    #[schema(example = "Acme", min_length = 1, max_length = 100)]
    pub name: Option<String>,
}

/// Another role.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMemberInput {
    /// viewer, developer, administrator or owner.
    #[schema(example = "developer", pattern = "^(viewer|developer|administrator|owner)$")]
    pub role: String,
}

/// An invitation to be sent.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitationInput {
    /// Whom.
    #[schema(example = "bob@example.com", format = "idn-email", max_length = 254)]
    pub email: String,
    /// As what: viewer, developer, administrator or owner.
    #[schema(example = "developer", pattern = "^(viewer|developer|administrator|owner)$")]
    pub role: String,
}

/// An invitation that was made.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct CreatedInvitation {
    /// What the invited person shows, in the clear: here alone, and only where this Keyward sends no mail. Where it does, this is
    /// `null`, and the token stands in the mail: who shows it has read what was sent to the address.
    pub token: Option<PlaintextView>,
    /// The invitation.
    #[serde(flatten)]
    pub invitation: InvitationView,
}

/// Accepting an invitation.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitationInput {
    /// The invitation's token.
    #[schema(example = "kwinv_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk")]
    pub token: String,
    /// A newcomer's name.
    #[schema(example = "Bob", min_length = 1, max_length = 100)]
    pub name: Option<String>,
    /// A newcomer's password, 10 to 256 characters.
    #[schema(
        example = "correct horse battery",
        format = "password",
        min_length = 10,
        max_length = 256
    )]
    pub password: Option<String>,
}

/// A new key.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKeyInput {
    /// Which API it opens.
    #[schema(example = "main", pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    pub api: String,
    /// What people will call it.
    #[schema(example = "ci", min_length = 1, max_length = 100)]
    pub name: String,
    /// What it is used for; left out, the preset's, else production.
    #[schema(example = "development", pattern = "^[a-z0-9-]{1,32}$")]
    pub environment: Option<String>,
    /// What it may do. Either these or a preset.
    #[serde(default)]
    #[schema(example = json!(["read"]))]
    pub permissions: Vec<String>,
    /// A named bundle of permissions.
    pub preset: Option<String>,
    /// From when on it is refused, RFC 3339.
    #[schema(example = "2030-01-01T00:00:00Z", format = "date-time")]
    pub expires_at: Option<String>,
    /// Networks it may be used from; empty means from everywhere.
    #[serde(default)]
    #[schema(example = json!(["10.0.0.0/8"]))]
    pub allowed_networks: Vec<String>,
    /// Models it may ask for; left out, every model.
    #[schema(example = json!(["small"]))]
    pub allowed_models: Option<Vec<String>>,
    /// Words to sort it by, at most 20, of at most 50 characters.
    #[serde(default)]
    #[schema(example = json!(["billing"]))]
    pub tags: Vec<String>,
    /// Names with a value each, at most 20; a name has at most 50 characters, a value 500.
    #[serde(default)]
    #[schema(example = json!({ "team": "billing" }))]
    pub metadata: BTreeMap<String, String>,
    /// How old its secrets may become; left out, as the API's profile says.
    pub rotation: Option<RotationView>,
    /// How much it may use, besides what its organization may; at most 20 limits.
    #[serde(default)]
    pub limits: Vec<LimitView>,
    /// The member who answers for it; left out, oneself, or nobody where an operator makes it.
    #[schema(pattern = "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub owner: Option<String>,
}

/// Which keys to list.
#[derive(Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListKeysQuery {
    /// Only keys of this API.
    #[param(pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    pub api: Option<String>,
    /// Only keys in this state.
    #[param(inline)]
    pub state: Option<KeyStateView>,
    /// Only keys of this member.
    #[param(pattern = "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub owner: Option<String>,
    /// Only keys of this environment.
    pub environment: Option<String>,
    /// Only keys with these words, or beginnings of words, in name, tags, metadata or environment; or a key's id.
    #[param(example = "billing prod")]
    pub search: Option<String>,
    /// Only keys with exactly this tag, in any case.
    pub tag: Option<String>,
    /// Only keys that nobody used for so many days, and that are older.
    #[param(maximum = 36_500)]
    pub unused_days: Option<u32>,
    /// Only keys that end within so many days, or have.
    #[param(maximum = 36_500)]
    pub ending_days: Option<u32>,
    /// Behind this key: the `next` of the page before.
    #[param(pattern = "^key_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub after: Option<String>,
    /// How many, 1 to 1,000; 100 where left out.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// Another name, other permissions, and the like. What is left out stays; `null` takes away what may be missing.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateKeyInput {
    /// What people will call it.
    #[schema(example = "ci, Frankfurt")]
    pub name: Option<String>,
    /// What it is used for.
    pub environment: Option<String>,
    /// What it may do.
    pub permissions: Option<Vec<String>>,
    /// Networks it may be used from; empty means from everywhere.
    pub allowed_networks: Option<Vec<String>>,
    /// Models it may ask for; `null` means every model.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub allowed_models: Option<Option<Vec<String>>>,
    /// From when on it is refused, RFC 3339; `null` means never.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "2030-01-01T00:00:00Z")]
    pub expires_at: Option<Option<String>>,
    /// How much it may use, besides what its organization may: in the place of all limits it had.
    pub limits: Option<Vec<LimitView>>,
    /// Words to sort it by.
    pub tags: Option<Vec<String>>,
    /// Names with a value each.
    pub metadata: Option<BTreeMap<String, String>>,
    /// How old secrets may become that are made from now on; `null` means as the API's profile says.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RotationView>)]
    pub rotation: Option<Option<RotationView>>,
    /// The member who answers for it; `null` means nobody, which takes who runs this Keyward.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<Option<String>>,
}

/// That a field is there with `null` is not that it is missing.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The same for many keys.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkKeysInput {
    /// What is done to each.
    pub action: BulkAction,
    /// Which, 1 to 1,000.
    #[schema(example = json!(["key_00000000000000000000000000"]))]
    pub keys: Vec<String>,
}

/// What is done to many keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// They rest until they are enabled.
    Disable,
    /// They may be used again.
    Enable,
    /// They end for good.
    Revoke,
}

/// How a secret is retired.
#[derive(Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RetireSecretQuery {
    /// Also where somebody used it after it was replaced, and would be cut off.
    #[serde(default)]
    pub force: bool,
}

/// What of an organization shall be different. What is left out stays.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateOrganizationInput {
    /// What people call it.
    #[schema(example = "Acme Europe")]
    pub name: Option<String>,
    /// Models its keys may ask for; `null` means every model. To widen it takes who runs this Keyward.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub allowed_models: Option<Option<Vec<String>>>,
    /// The plan it is on; `null` means the default plan of each API's profile. It takes who runs this Keyward.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "Premium")]
    pub plan: Option<Option<String>>,
    /// Its own limits, in the place of all it had. It takes who runs this Keyward.
    pub limits: Option<Vec<LimitView>>,
}

/// A model id for an organization.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignModelIdInput {
    /// Which; left out, one is made.
    #[schema(example = "123456789x12345678")]
    pub id: Option<String>,
}

/// How the audit log is checked.
#[derive(Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VerifyAuditQuery {
    /// What an earlier check gave as the log's head: also check that the log holds it, as no older copy does.
    #[param(pattern = "^[0-9]+:[0-9a-f]{64}$")]
    pub noted: Option<String>,
}

/// Which entries of the audit log to list, newest first.
#[derive(Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAuditQuery {
    /// Only what was done to this: a key's, member's or organization's id.
    pub subject: Option<String>,
    /// Only what this person did.
    pub user: Option<String>,
    /// Only this action; `key.` for all that begin so.
    #[param(example = "key.")]
    pub action: Option<String>,
    /// Only from then on, RFC 3339.
    pub from: Option<String>,
    /// Only until before then, RFC 3339.
    pub until: Option<String>,
    /// Older than this entry: the `next` of the page before.
    pub after: Option<u64>,
    /// How many, 1 to 1,000; 100 where left out.
    pub limit: Option<u32>,
}

/// Which entries of the audit log to export.
#[derive(Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportAuditQuery {
    /// Only what was done to this: a key's, member's or organization's id.
    pub subject: Option<String>,
    /// Only what this person did.
    pub user: Option<String>,
    /// Only this action; `key.` for all that begin so.
    #[param(example = "key.")]
    pub action: Option<String>,
    /// Only from then on, RFC 3339.
    pub from: Option<String>,
    /// Only until before then, RFC 3339.
    pub until: Option<String>,
}

impl From<ExportAuditQuery> for ListAuditQuery {
    fn from(asked: ExportAuditQuery) -> Self {
        let ExportAuditQuery { subject, user, action, from, until } = asked;
        Self { subject, user, action, from, until, after: None, limit: None }
    }
}

/// A rotation.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKeyInput {
    /// How long the old secret stays good, at most 366 days.
    #[schema(example = 86_400, maximum = 31_622_400)]
    pub overlap_seconds: u64,
}
