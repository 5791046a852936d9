//! Bindings: request fields that must belong to the key, and where a route finds them.

use serde::Deserialize;

use crate::{json::Pointer, route::ParamName};

/// What a field must belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BindingKind {
    /// The key's organization, by its id.
    Organization,
    /// A model id that is assigned to the key's organization.
    ModelId,
    /// A model that key and organization are allowed.
    Model,
}

/// Where a field stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingPlace {
    /// In the JSON body.
    Body(Pointer),
    /// In the query.
    Query(Box<str>),
    /// In the path, at a parameter of the route's pattern.
    Path(ParamName),
}

/// A request field that is decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What it must belong to.
    pub kind: BindingKind,
    /// Where it stands.
    pub place: BindingPlace,
    /// Whether a request without it is refused.
    pub required: bool,
}

impl Binding {
    /// The field as messages name it: `model_id`.
    pub fn field(&self) -> &str {
        match &self.place {
            BindingPlace::Body(pointer) => pointer.member(),
            BindingPlace::Query(parameter) => parameter,
            BindingPlace::Path(parameter) => parameter.as_str(),
        }
    }

    /// Whether the body must be read to decide on it.
    pub const fn in_body(&self) -> bool {
        matches!(self.place, BindingPlace::Body(_))
    }
}
