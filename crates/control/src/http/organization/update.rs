//! `PATCH /v1/organizations/{organization}`.

use axum::extract::State;
use keyward_api::{OrganizationView, UpdateOrganizationInput};
use keyward_store::{OrganizationUpdate, PlanChoice};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id, read},
    problem::{Refusal, Refusals},
    state::{InState, Seen},
};
use crate::limits;

/// Change an organization's name, the models its keys may ask for, its plan or its limits. What is left out stays.
#[utoipa::path(
    patch,
    path = "/v1/organizations/{organization}",
    tag = "organizations",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the state that was seen: another one is refused"),
    ),
    request_body = UpdateOrganizationInput,
    responses((status = 200, description = "The organization", body = OrganizationView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn update_organization(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Seen(seen): Seen,
    Body(input): Body<UpdateOrganizationInput>,
) -> Result<InState<OrganizationView>, Refusal> {
    let plan = input.plan.map(|plan| plan.map(|name| read("plan", &name)).transpose());
    let update = OrganizationUpdate {
        name: input.name,
        allowed_models: input.allowed_models,
        plan: plan.transpose()?.map(|name| name.map(PlanChoice::named)),
        limits: input.limits.map(limits::read).transpose()?,
    };
    let (control, organization) = (management.control(), id(&organization)?);
    let view = control.update_organization(&caller.context, &organization, update, seen).await?;
    Ok(InState(view.revision, view))
}
