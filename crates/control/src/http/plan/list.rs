//! `GET /v1/plans`.

use axum::{Json, extract::State};
use keyward_api::{Page, PlanView};

use super::super::{
    Management,
    caller::Caller,
    problem::{Refusal, Refusals},
};

/// List all plans: those that were made here, then those that profiles bring.
#[utoipa::path(
    get,
    path = "/v1/plans",
    tag = "plans",
    responses((status = 200, description = "All of them", body = Page<PlanView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_plans(
    State(management): State<Management>,
    caller: Caller,
) -> Result<Json<Page<PlanView>>, Refusal> {
    Ok(Json(Page::whole(management.control().list_plans(&caller.context).await?)))
}
