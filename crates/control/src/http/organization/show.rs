//! `GET /v1/organizations/{organization}`: one of them.

use axum::extract::State;
use keyward_api::OrganizationView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
    state::InState,
};

/// Show an organization.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}",
    tag = "organizations",
    params(("organization" = String, Path, description = "The organization's id")),
    responses((status = 200, description = "The organization", body = OrganizationView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn show_organization(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
) -> Result<InState<OrganizationView>, Refusal> {
    let organization = id(&organization)?;
    let view = management.control().show_organization(&caller.context, &organization).await?;
    Ok(InState(view.revision, view))
}
