//! `GET /v1/organizations/{organization}/key-requests`.

use axum::{Json, extract::State};
use keyward_api::{KeyRequestView, ListKeyRequestsQuery, Page};

use super::super::{
    Management,
    caller::Caller,
    input::{Asked, Segments, id, limit, read},
    problem::{Refusal, Refusals},
};
use crate::app::key_requests::KeyRequestQuery;

/// List key requests, newest first: all where the caller decides on them, otherwise their own.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/key-requests",
    tag = "key requests",
    params(("organization" = String, Path, description = "The organization's id"), ListKeyRequestsQuery),
    responses((status = 200, description = "A page of requests", body = Page<KeyRequestView>), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn list_key_requests(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Asked(asked): Asked<ListKeyRequestsQuery>,
) -> Result<Json<Page<KeyRequestView>>, Refusal> {
    let query = KeyRequestQuery {
        organization: Some(id(&organization)?),
        state: asked.state,
        after: asked.after.map(|after| read("after", &after)).transpose()?,
    };
    let limit = limit(asked.limit)?;
    Ok(Json(management.control().list_key_requests(&caller.context, &query, limit).await?))
}
