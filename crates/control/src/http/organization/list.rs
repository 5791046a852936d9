//! `GET /v1/organizations`: those one belongs to.

use axum::{Json, extract::State};
use keyward_api::{OrganizationView, Page};

use super::super::{
    Management,
    caller::Caller,
    problem::{Refusal, Refusals},
};

/// List the organizations one belongs to; operators see all.
#[utoipa::path(
    get,
    path = "/v1/organizations",
    tag = "organizations",
    responses((status = 200, description = "The organizations", body = Page<OrganizationView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_organizations(
    State(management): State<Management>,
    caller: Caller,
) -> Result<Json<Page<OrganizationView>>, Refusal> {
    let organizations = management.control().list_organizations(&caller.context).await?;
    Ok(Json(Page::whole(organizations)))
}
