//! A query that an operation does not describe is refused: its parameter was misspelt, or would have narrowed what is answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    extract::{MatchedPath, RawQuery, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use keyward_api::ErrorCode;
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, ParameterIn},
};

use super::problem::Refusal;

/// The parameters of every operation's query, as its description has them.
pub(super) struct Queries(BTreeMap<(String, String), BTreeSet<String>>);

impl Queries {
    pub(super) fn of(document: &OpenApi) -> Self {
        let mut queries = BTreeMap::new();
        for (path, item) in &document.paths.paths {
            for (method, operation) in [
                (Method::GET, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::DELETE, &item.delete),
                (Method::PATCH, &item.patch),
            ] {
                if let Some(operation) = operation {
                    queries.insert((method.as_str().to_owned(), path.clone()), names(operation));
                }
            }
        }
        Self(queries)
    }
}

fn names(operation: &Operation) -> BTreeSet<String> {
    let parameters = operation.parameters.iter().flatten();
    let of_query = parameters.filter_map(|parameter| match parameter {
        RefOr::T(one) if matches!(one.parameter_in, ParameterIn::Query) => Some(one.name.clone()),
        _ => None,
    });
    of_query.collect()
}

/// Lets through what the operation describes. What an endpoint reads of a query it reads strictly itself.
pub(super) async fn only_what_is_described(
    State(queries): State<Arc<Queries>>,
    path: Option<MatchedPath>,
    RawQuery(query): RawQuery,
    request: Request,
    next: Next,
) -> Response {
    let method = match request.method() {
        &Method::HEAD => Method::GET,
        method => method.clone(),
    };
    let asked = query.unwrap_or_default();
    if let Some(path) = path
        && let Some(known) = queries.0.get(&(method.to_string(), path.as_str().to_owned()))
        && let Some(unknown) = unknown(&asked, known)
    {
        let detail = match known.is_empty() {
            true => format!("there is no parameter `{unknown}`: this operation has no query"),
            false => {
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                format!("there is no parameter `{unknown}`: use some of {}", known.join(", "))
            }
        };
        return Refusal::new(ErrorCode::Invalid, detail).into_response();
    }
    next.run(request).await
}

/// The first name in a query that is not known. An encoded name is not known: none of ours needs encoding.
fn unknown<'q>(query: &'q str, known: &BTreeSet<String>) -> Option<&'q str> {
    let names = query.split('&').filter(|part| !part.is_empty());
    let mut names = names.map(|part| part.split_once('=').map_or(part, |(name, _)| name));
    names.find(|name| !known.contains(*name))
}
