//! `GET /v1/organizations/{organization}/members`.

use axum::{Json, extract::State};
use keyward_api::{MemberView, Page};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// List an organization's members, in the order they came.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/members",
    tag = "members",
    params(("organization" = String, Path, description = "The organization's id")),
    responses((status = 200, description = "The members", body = Page<MemberView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_members(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
) -> Result<Json<Page<MemberView>>, Refusal> {
    let organization = id(&organization)?;
    let members = management.control().list_members(&caller.context, &organization).await?;
    Ok(Json(Page::whole(members)))
}
