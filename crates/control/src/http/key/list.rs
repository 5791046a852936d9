//! `GET /v1/organizations/{organization}/keys`.

use axum::{Json, extract::State};
use keyward_api::{ErrorCode, KeyView, ListKeysQuery, Page};

use super::super::{
    Management,
    caller::Caller,
    input::{Asked, Segments, id, limit, read},
    problem::{Refusal, Refusals},
};
use crate::app::keys::KeyQuery;

const LONGEST_DAYS: u32 = 36_500;

/// List an organization's keys, in the order they were made.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/keys",
    tag = "keys",
    params(("organization" = String, Path, description = "The organization's id"), ListKeysQuery),
    responses((status = 200, description = "A page of keys", body = Page<KeyView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_keys(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Asked(asked): Asked<ListKeysQuery>,
) -> Result<Json<Page<KeyView>>, Refusal> {
    let query = KeyQuery {
        api: asked.api.map(|api| read("api", &api)).transpose()?,
        organization: Some(id(&organization)?),
        state: asked.state,
        owner: asked.owner.map(|owner| read("owner", &owner)).transpose()?,
        environment: asked.environment.map(|one| read("environment", &one)).transpose()?,
        search: asked.search,
        tag: asked.tag,
        unused_days: days("unused_days", asked.unused_days)?,
        ending_days: days("ending_days", asked.ending_days)?,
        after: asked.after.map(|after| read("after", &after)).transpose()?,
    };
    let limit = limit(asked.limit)?;
    Ok(Json(management.control().list_keys(&caller.context, &query, limit).await?))
}

/// So many days, a hundred years of them at most.
fn days(field: &str, asked: Option<u32>) -> Result<Option<u32>, Refusal> {
    match asked {
        Some(days) if days > LONGEST_DAYS => Err(Refusal::new(
            ErrorCode::Invalid,
            format!("`{field}` is {days}: ask for {LONGEST_DAYS} days at most"),
        )),
        days => Ok(days),
    }
}
