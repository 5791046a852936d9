//! What requests of the management API say. A field that is not known is refused: it was misspelt, or would have meant something.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{InvitationView, KeyStateView, OrganizationView, PlaintextView, SessionView, UserView};

/// Becoming the first operator.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUpInput {
    /// The token that the console showed.
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
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitationInput {
    /// The invitation's token.
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
    /// Behind this key: the `next` of the page before.
    #[param(pattern = "^key_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    pub after: Option<String>,
    /// How many, 1 to 1,000; 100 where left out.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// A rotation.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKeyInput {
    /// How long the old secret stays good, at most 366 days.
    #[schema(example = 86_400, maximum = 31_622_400)]
    pub overlap_seconds: u64,
}
