//! `POST /v1/organizations`: a tenant, made by an operator.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{CreateOrganizationInput, OrganizationView};

use super::super::{
    Management,
    input::read,
    once::Once,
    problem::{Refusal, Refusals},
};

/// Make an organization. Only operators do; its people come by invitation.
#[utoipa::path(
    post,
    path = "/v1/organizations",
    tag = "organizations",
    params(("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes")),
    request_body = CreateOrganizationInput,
    responses((status = 201, description = "The organization", body = OrganizationView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn create_organization(
    State(management): State<Management>,
    Once { caller, input }: Once<CreateOrganizationInput>,
) -> Result<(StatusCode, Json<OrganizationView>), Refusal> {
    let id = input.id.as_deref().map(|id| read("id", id)).transpose()?;
    let control = management.control();
    let made = control.create_organization(&caller.context, id, input.name).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
