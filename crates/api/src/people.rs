//! People: who may log in, where they belong, who was asked to come.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Their id.
    pub id: String,
    /// What they log in by.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// Whether they run this Keyward.
    pub operator: bool,
    /// When they were first known here.
    pub created_at: String,
}

/// A person's place in an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaceView {
    /// Where.
    pub organization_id: String,
    /// As what: viewer, developer, administrator or owner.
    pub role: String,
    /// Since when.
    pub created_at: String,
}

/// A member of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// Who.
    #[serde(flatten)]
    pub user: UserView,
    /// As what: viewer, developer, administrator or owner.
    pub role: String,
    /// Since when.
    pub member_since: String,
}

/// Who somebody is, and where they belong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// The person.
    pub user: UserView,
    /// Their places, in the order they came there.
    pub places: Vec<PlaceView>,
}

/// A login from one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// What the device called itself.
    pub device: String,
    /// The address it was begun from.
    pub begun_from: String,
    /// When it was begun.
    pub created_at: String,
    /// From when on it is refused.
    pub expires_at: String,
    /// When it was last used, some minutes late.
    pub last_used_at: Option<String>,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Where one may log in with an account that one has elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenIdProviderView {
    /// What its paths name it by.
    #[schema(example = "company")]
    pub name: String,
    /// What people know it by.
    #[schema(example = "Company account")]
    pub title: String,
    /// The path at which a browser begins.
    #[schema(example = "/v1/sessions/openid/company/start")]
    pub start: String,
}

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationView {
    /// Its id.
    pub id: String,
    /// Whom it was sent to.
    pub email: String,
    /// Where to; `null` where it is to run this Keyward.
    pub organization_id: Option<String>,
    /// As what; `null` where it is to run this Keyward.
    pub role: Option<String>,
    /// open, accepted, withdrawn or expired.
    pub state: String,
    /// When it was sent.
    pub created_at: String,
    /// From when on it is refused.
    pub expires_at: String,
}
