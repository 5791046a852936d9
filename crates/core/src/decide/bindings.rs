//! Bindings: do the request's fields belong to the key?
//!
//! Organization, model id and model are read from body, query and path as the upstream will read them, and held against the
//! key and its organization. Where two readers could see two values the request is refused, not interpreted.

use super::{Body, Refused, Request, suspended_organization};
use crate::{
    binding::{Binding, BindingKind, BindingPlace},
    credential::Headers,
    directory::KeyEntry,
    json::{self, Field},
    organization::Organization,
    query,
    route::{Method, Route},
    snapshot::Snapshot,
    verdict::{Denial, Reason},
};

/// Checks all of a route's; gives the model that the request names.
pub(super) fn check<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    route: &Route,
    entry: &KeyEntry,
    body: Body<'_>,
) -> Result<Option<Box<str>>, Refused> {
    check_model_is_named(snapshot, request, route, entry)?;
    if route.bindings.is_empty() {
        return Ok(None);
    }
    let mut model = None;
    let organization = snapshot.directory().organization(entry.organization);
    let organization = organization.ok_or_else(|| Box::new(suspended_organization()))?;
    let mut from_body = read_body(route, body)?.into_iter();
    for binding in &route.bindings {
        let field = match &binding.place {
            BindingPlace::Body(_) => from_body.next().unwrap_or(Field::Absent),
            BindingPlace::Query(parameter) => {
                query::read_parameter(request.query.unwrap_or_default(), parameter)
                    .map_err(|fault| invalid_body(fault.to_string()))?
            }
            BindingPlace::Path(name) => route
                .pattern
                .param(request.path, name)
                // Encoded characters would have to be decoded as the upstream does; names of models have none.
                .filter(|value| !value.contains('%'))
                .map_or(Field::NotText, |value| Field::Text(value.into())),
        };
        let value = check_binding(binding, field, entry, &organization)?;
        if binding.kind == BindingKind::Model {
            model = value.or(model);
        }
    }
    Ok(model)
}

/// A key that is confined to models must not get around its list where nothing says which model is meant: on a route that
/// changes or makes something and binds no model (a multipart upload, a batch, a wide fallback), it is refused; so is a change of
/// protocol, behind which nobody sees what is called.
fn check_model_is_named<H: Headers + ?Sized>(
    snapshot: &Snapshot,
    request: &Request<'_, H>,
    route: &Route,
    entry: &KeyEntry,
) -> Result<(), Refused> {
    let upgrades = request.headers.values("upgrade").next().is_some();
    let only_reads = request.method.is_some_and(Method::only_reads) && !upgrades;
    if only_reads || route.names_a_model() {
        return Ok(());
    }
    let key_is_confined = entry.restrictions.as_ref().is_some_and(|r| r.models.is_some());
    if !key_is_confined && !snapshot.directory().organization_is_confined(entry.organization) {
        return Ok(());
    }
    let mut denial = Denial::new(
        Reason::ModelNotAllowed,
        "The key is confined to models, and what is sent here does not say which model it uses.",
    );
    denial.field = Some("model".into());
    denial.value = Some("unnamed".into());
    Err(Box::new(denial))
}

fn read_body(route: &Route, body: Body<'_>) -> Result<Vec<Field>, Refused> {
    if !route.reads_body() {
        return Ok(vec![]);
    }
    let bytes = match body {
        Body::Json(bytes) => bytes,
        Body::NotRead => b"",
        Body::Unreadable(why) => return Err(invalid_body(why)),
    };
    let pointers: Vec<_> = route
        .bindings
        .iter()
        .filter_map(|binding| match &binding.place {
            BindingPlace::Body(pointer) => Some(pointer),
            _ => None,
        })
        .collect();
    json::read_fields(bytes, &pointers).map_err(|fault| invalid_body(fault.to_string()))
}

fn invalid_body(detail: impl Into<std::borrow::Cow<'static, str>>) -> Refused {
    Box::new(Denial::new(Reason::InvalidBody, detail))
}

fn check_binding(
    binding: &Binding,
    field: Field,
    entry: &KeyEntry,
    organization: &Organization,
) -> Result<Option<Box<str>>, Refused> {
    let name = binding.field();
    let about = |reason, detail: String, value: Option<Box<str>>| {
        let mut denial = Denial::new(reason, detail);
        denial.field = Some(name.into());
        denial.value = value;
        Box::new(denial)
    };
    let value = match field {
        Field::Text(value) => value,
        Field::NotText => {
            return Err(about(Reason::MissingField, format!("`{name}` must be a string."), None));
        }
        Field::Absent if binding.required => {
            return Err(about(
                Reason::MissingField,
                format!("`{name}` is missing; send it."),
                None,
            ));
        }
        // What the upstream would choose for itself may be a model the key is not allowed.
        Field::Absent if binding.kind == BindingKind::Model && is_confined(entry, organization) => {
            return Err(about(
                Reason::MissingField,
                format!("`{name}` is missing; this key may use certain models only, name one."),
                None,
            ));
        }
        Field::Absent => return Ok(None),
    };
    match binding.kind {
        BindingKind::Organization if *value != *organization.id.as_str() => Err(about(
            Reason::ForeignOrganization,
            format!("`{name}` is not the organization of this key."),
            Some(value),
        )),
        BindingKind::ModelId if !organization.model_ids.iter().any(|id| *id.as_str() == *value) => {
            Err(about(
                Reason::ForeignModelId,
                format!("`{name}` does not belong to this key's organization."),
                Some(value),
            ))
        }
        BindingKind::Model if !model_allowed(&value, entry, organization) => Err(about(
            Reason::ModelNotAllowed,
            format!("The key may not use the model `{value}`."),
            Some(value),
        )),
        _ => Ok(Some(value)),
    }
}

/// Whether key or organization may use certain models only.
fn is_confined(entry: &KeyEntry, organization: &Organization) -> bool {
    entry.restrictions.as_ref().is_some_and(|r| r.models.is_some())
        || organization.allowed_models.is_some()
}

/// Key and organization must both allow it; a list that is not there allows all.
fn model_allowed(model: &str, entry: &KeyEntry, organization: &Organization) -> bool {
    let by_key = entry.restrictions.as_ref().and_then(|r| r.models.as_ref());
    by_key.is_none_or(|models| models.iter().any(|allowed| **allowed == *model))
        && organization
            .allowed_models
            .as_ref()
            .is_none_or(|models| models.iter().any(|allowed| allowed == model))
}
