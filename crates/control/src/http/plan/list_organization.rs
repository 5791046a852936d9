//! `GET /v1/organizations/{organization}/plans`.

use axum::{Json, extract::State};
use keyward_api::{Page, PlanView};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// List the plans that hold for an organization, each with the APIs at which it does.
///
/// At each API that is the plan that the organization is on; where it is on none, or on one that the API's profile does not know, the
/// profile's default plan.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/plans",
    tag = "plans",
    params(("organization" = String, Path, description = "The organization's id")),
    responses((status = 200, description = "All of them", body = Page<PlanView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_organization_plans(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
) -> Result<Json<Page<PlanView>>, Refusal> {
    let (control, organization) = (management.control(), id(&organization)?);
    Ok(Json(Page::whole(control.list_organization_plans(&caller.context, &organization).await?)))
}
