//! What holds of every operation, written into the description once and for all: the shapes of ids in paths, and which refusals
//! can happen.
//!
//! Endpoints name [`Refusals`](super::problem::Refusals), the whole set; here goes away what an operation cannot answer by its nature. Rejected was a set
//! of its own at each endpoint: such lists are copied, and then say what the endpoint beside them does.

use utoipa::openapi::{
    OpenApi, PathItem, RefOr, Schema,
    path::{Operation, Parameter, ParameterIn},
};

/// Of ids that are an organization's own choice.
const TEXT: &str = "^[A-Za-z0-9_.-]{1,64}$";

/// Of the names of plans.
const PLAN: &str = "^[A-Za-z0-9_.-]([A-Za-z0-9 _.-]{0,38}[A-Za-z0-9_.-])?$";

/// What a parameter of a path looks like, by its name. Names that are not here are any text.
fn shape(parameter: &str) -> Option<String> {
    let prefix = match parameter {
        "organization" => return Some(TEXT.to_owned()),
        "plan" => return Some(PLAN.to_owned()),
        "key" => "key",
        "secret" => "sec",
        "user" => "usr",
        "invitation" => "inv",
        "webhook" => "whk",
        "delivery" => "dlv",
        "alert_rule" => "alr",
        _ => return None,
    };
    Some(format!("^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"))
}

/// Completes what the endpoints say of themselves.
pub(super) fn complete(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for (method, operation) in operations(item) {
            shape_path(operation);
            leave_out_what_cannot_be(method, operation);
        }
    }
}

/// The operations of a path, by their methods.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("GET", get), ("PUT", put), ("POST", post), ("DELETE", delete), ("PATCH", patch)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn shape_path(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let (ParameterIn::Path, Some(RefOr::T(Schema::Object(schema)))) =
            (&parameter.parameter_in, &mut parameter.schema)
        else {
            continue;
        };
        if schema.pattern.is_none() {
            schema.pattern = shape(&parameter.name);
        }
    }
}

fn leave_out_what_cannot_be(method: &str, operation: &mut Operation) {
    // In a path, or in a query that asks for what belongs to one of these.
    let names = |one: &RefOr<Parameter>| match one {
        RefOr::T(one) => {
            matches!(one.parameter_in, ParameterIn::Path)
                || matches!(one.name.as_str(), "organization" | "key")
        }
        RefOr::Ref(_) => false,
    };
    let mut names_something = operation.parameters.iter().flatten().any(names);
    // What a change names may stand in its body.
    names_something |= method != "GET";
    let responses = &mut operation.responses.responses;
    if !names_something {
        responses.remove("404");
    }
    if method == "GET" {
        responses.remove("409");
    }
    if operation.request_body.is_none() {
        responses.remove("413");
        responses.remove("415");
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use keyward_core::{
        id::{InvitationId, KeyId, OrganizationId, SecretId, UserId},
        limit::PlanName,
    };
    use proptest::prelude::*;

    use super::*;

    /// That an id can be read, and that it has the described shape, are the same.
    fn fits(parameter: &str, text: &str) -> bool {
        match parameter {
            "organization" => OrganizationId::from_str(text).is_ok(),
            "plan" => PlanName::from_str(text).is_ok(),
            "key" => KeyId::from_str(text).is_ok(),
            "secret" => SecretId::from_str(text).is_ok(),
            "user" => UserId::from_str(text).is_ok(),
            "invitation" => InvitationId::from_str(text).is_ok(),
            other => panic!("{other} has no shape"),
        }
    }

    proptest! {
        #[test]
        fn what_has_the_described_shape_can_be_read(
            texts in ["organization", "plan", "key", "secret", "user", "invitation"].map(|name| {
                let shape = shape(name).unwrap();
                proptest::string::string_regex(shape.trim_matches(['^', '$'])).unwrap().prop_map(move |text| (name, text))
            })
        ) {
            for (name, text) in texts {
                prop_assert!(fits(name, &text), "{name} {text}");
            }
        }
    }
}
