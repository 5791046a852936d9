//! `GET /v1/organizations/{organization}/limits`.

use axum::{Json, extract::State};
use keyward_api::{LimitStateView, Page};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Show how the limits stand that hold for all keys of an organization together: of its plan, and its own.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/limits",
    tag = "organizations",
    params(("organization" = String, Path, description = "The organization's id")),
    responses((status = 200, description = "Every limit, and what is left of it", body = Page<LimitStateView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn show_organization_limits(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
) -> Result<Json<Page<LimitStateView>>, Refusal> {
    let organization = id(&organization)?;
    let limits = management.control().organization_limits(&caller.context, &organization).await?;
    Ok(Json(Page::whole(limits)))
}
