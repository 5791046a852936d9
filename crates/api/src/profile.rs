//! Profiles, routes and upstreams, as a listing shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProfileView {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Where it stands: `built in`, or a file.
    pub source: String,
    /// Where a key is expected, the usual place first.
    pub slots: Vec<String>,
    /// What every key begins with.
    pub key_prefix: String,
    /// How many characters a key has.
    pub key_length: usize,
    /// What keys can be allowed.
    pub permissions: Vec<String>,
    /// Named bundles of permissions.
    pub presets: Vec<String>,
}

/// A request field that must belong to the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BindingView {
    /// What it must belong to: `organization`, `model_id` or `model`.
    pub kind: String,
    /// Where it stands: `body`, `query` or `path`.
    pub place: String,
    /// A JSON pointer in the body, or the parameter's name.
    pub at: String,
    /// Whether a request without it is refused.
    pub required: bool,
}

/// A route of an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteView {
    /// The API.
    pub api: String,
    /// Its methods.
    pub methods: Vec<String>,
    /// Its path pattern.
    pub path: String,
    /// The permission it takes; `null` where every valid key may.
    pub permission: Option<String>,
    /// Fields that must belong to the key.
    pub bindings: Vec<BindingView>,
    /// Most bytes of a request body; `null` where the gateway's own bound holds.
    pub body_limit: Option<u64>,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpstreamView {
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
    /// Where its credential comes from: `store`, `env:NAME`, `file:PATH`; `null` where none is sent.
    pub credential_from: Option<String>,
    /// When the credential in the store was set, where there is one.
    pub credential_set_at: Option<String>,
}
