//! `POST /v1/organizations/{organization}/suspend`.

use axum::{Json, extract::State};
use keyward_api::OrganizationView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Suspend an organization: none of its keys works until it is resumed.
#[utoipa::path(
    post,
    path = "/v1/organizations/{organization}/suspend",
    tag = "organizations",
    params(("organization" = String, Path, description = "The organization's id")),
    responses((status = 200, description = "The organization", body = OrganizationView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn suspend_organization(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
) -> Result<Json<OrganizationView>, Refusal> {
    let organization = id(&organization)?;
    Ok(Json(management.control().suspend_organization(&caller.context, &organization).await?))
}
