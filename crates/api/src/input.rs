//! What requests of the management API say. A field that is not known is refused: it was misspelt, or would have meant something.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    InvitationView, KeyStateView, OrganizationView, PlaintextView, RotationView, SessionView,
    UserView,
};

/// Becoming the first operator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUpInput {
    /// The token that the console showed.
    pub token: String,
    /// What they will log in by.
    #[schema(example = "ops@example.com")]
    pub email: String,
    /// What people call them.
    #[schema(example = "Ops")]
    pub name: String,
    /// 10 to 256 characters.
    #[schema(example = "correct horse battery", format = "password")]
    pub password: String,
}

/// Signing up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUpInput {
    /// What they will log in by.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// What people call them.
    #[schema(example = "Ada")]
    pub name: String,
    /// 10 to 256 characters.
    #[schema(example = "correct horse battery", format = "password")]
    pub password: String,
    /// What their organization is called.
    #[schema(example = "Ada's")]
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
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPasswordInput {
    /// The one until now.
    #[schema(format = "password")]
    pub old: String,
    /// 10 to 256 characters.
    #[schema(format = "password")]
    pub new: String,
}

/// Logging in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSessionInput {
    /// What they log in by.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// Their password.
    #[schema(example = "correct horse battery", format = "password")]
    pub password: String,
}

/// A login: the one place and time where its token stands in the clear.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct StartedSession {
    /// What to send as `Authorization: Bearer`.
    pub token: PlaintextView,
    /// Who logged in.
    pub user: UserView,
    /// The session.
    pub session: SessionView,
}

/// A new organization.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOrganizationInput {
    /// The id its requests carry; left out, one is made.
    #[schema(example = "org_acme")]
    pub id: Option<String>,
    /// What people call it; left out, its id.
    #[schema(example = "Acme")]
    pub name: Option<String>,
}

/// Another role.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMemberInput {
    /// viewer, developer, administrator or owner.
    #[schema(example = "developer")]
    pub role: String,
}

/// An invitation to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitationInput {
    /// Whom.
    #[schema(example = "bob@example.com")]
    pub email: String,
    /// As what: viewer, developer, administrator or owner.
    #[schema(example = "developer")]
    pub role: String,
}

/// An invitation: the one place and time where its token stands in the clear.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct CreatedInvitation {
    /// What the invited person shows.
    pub token: PlaintextView,
    /// The invitation.
    #[serde(flatten)]
    pub invitation: InvitationView,
}

/// Accepting an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitationInput {
    /// The invitation's token.
    pub token: String,
    /// A newcomer's name.
    #[schema(example = "Bob")]
    pub name: Option<String>,
    /// A newcomer's password, 10 to 256 characters.
    #[schema(example = "correct horse battery", format = "password")]
    pub password: Option<String>,
}

/// A new key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKeyInput {
    /// Which API it opens.
    #[schema(example = "main")]
    pub api: String,
    /// What people will call it.
    #[schema(example = "ci")]
    pub name: String,
    /// What it is used for; left out, the preset's, else production.
    #[schema(example = "development")]
    pub environment: Option<String>,
    /// What it may do. Either these or a preset.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// A named bundle of permissions.
    pub preset: Option<String>,
    /// From when on it is refused, RFC 3339.
    #[schema(example = "2030-01-01T00:00:00Z")]
    pub expires_at: Option<String>,
    /// Networks it may be used from; empty means from everywhere.
    #[serde(default)]
    pub allowed_networks: Vec<String>,
    /// Models it may ask for; left out, every model.
    pub allowed_models: Option<Vec<String>>,
    /// Words to sort it by, at most 20.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Names with a value each, at most 20.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// How old its secrets may become; left out, as the API's profile says.
    pub rotation: Option<RotationView>,
    /// The member who answers for it; left out, oneself, or nobody where an operator makes it.
    pub owner: Option<String>,
}

/// Which keys to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListKeysQuery {
    /// Only keys of this API.
    pub api: Option<String>,
    /// Only keys in this state.
    #[param(inline)]
    pub state: Option<KeyStateView>,
    /// Only keys of this member.
    pub owner: Option<String>,
    /// Only keys of this environment.
    pub environment: Option<String>,
    /// Only keys with these words, or beginnings of words, in name, tags, metadata or environment; or a key's id.
    #[param(example = "billing prod")]
    pub search: Option<String>,
    /// Only keys with exactly this tag, in any case.
    pub tag: Option<String>,
    /// Only keys that nobody used for so many days, and that are older.
    pub unused_days: Option<u32>,
    /// Only keys that end within so many days, or have.
    pub ending_days: Option<u32>,
    /// Behind this key: the `next` of the page before.
    pub after: Option<String>,
    /// How many, 1 to 1,000; 100 where left out.
    pub limit: Option<u32>,
}

/// Another name, other permissions, and the like. What is left out stays; `null` takes away what may be missing.
#[derive(Default, Deserialize, ToSchema)]
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
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub allowed_models: Option<Option<Vec<String>>>,
    /// From when on it is refused, RFC 3339; `null` means never.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "2030-01-01T00:00:00Z")]
    pub expires_at: Option<Option<String>>,
    /// Words to sort it by.
    pub tags: Option<Vec<String>>,
    /// Names with a value each.
    pub metadata: Option<BTreeMap<String, String>>,
    /// How old secrets may become that are made from now on; `null` means as the API's profile says.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<RotationView>)]
    pub rotation: Option<Option<RotationView>>,
    /// The member who answers for it; `null` means nobody.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<Option<String>>,
}

/// That a field is there with `null` is not that it is missing.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The same for many keys.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkKeysInput {
    /// What is done to each.
    pub action: BulkAction,
    /// Which, 1 to 1,000.
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
#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RetireSecretQuery {
    /// Also where somebody used it after it was replaced, and would be cut off.
    #[serde(default)]
    pub force: bool,
}

/// What of an organization shall be different. What is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateOrganizationInput {
    /// What people call it.
    #[schema(example = "Acme Europe")]
    pub name: Option<String>,
    /// Models its keys may ask for; `null` means every model.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub allowed_models: Option<Option<Vec<String>>>,
}

/// A model id for an organization.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignModelIdInput {
    /// Which; left out, one is made.
    #[schema(example = "123456789x12345678")]
    pub id: Option<String>,
}

/// Which entries of the audit log to list, newest first.
#[derive(Default, Deserialize, IntoParams)]
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

/// A rotation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKeyInput {
    /// How long the old secret stays good, at most 366 days.
    #[schema(example = 86_400)]
    pub overlap_seconds: u64,
}
