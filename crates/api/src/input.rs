//! What requests of the management API say. A field that is not known is refused: it was misspelt, or would have meant something.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{InvitationView, KeyStateView, OrganizationView, PlaintextView, SessionView, UserView};

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
    /// Behind this key: the `next` of the page before.
    pub after: Option<String>,
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
