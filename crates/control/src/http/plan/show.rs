//! `GET /v1/plans/{plan}`.

use axum::extract::State;
use keyward_api::PlanView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
    state::InState,
};

/// Show a plan.
#[utoipa::path(
    get,
    path = "/v1/plans/{plan}",
    tag = "plans",
    params(("plan" = String, Path, description = "The plan's name, in any case")),
    responses((status = 200, description = "The plan", body = PlanView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn show_plan(
    State(management): State<Management>,
    caller: Caller,
    Segments(plan): Segments<String>,
) -> Result<InState<PlanView>, Refusal> {
    let view = management.control().show_plan(&caller.context, &id(&plan)?).await?;
    Ok(InState(view.revision.unwrap_or_default(), view))
}
