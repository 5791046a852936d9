//! `PUT /v1/plans/{plan}`.

use axum::extract::State;
use keyward_api::{PlanView, PutPlanInput};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, read},
    problem::{Refusal, Refusals},
    state::{InState, Seen},
};
use crate::limits;

/// Make a plan, or give it other limits. It holds at once for the organizations on it, and no count begins anew.
#[utoipa::path(
    put,
    path = "/v1/plans/{plan}",
    tag = "plans",
    params(
        ("plan" = String, Path, description = "The plan's name"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the state that was seen: another one is refused"),
    ),
    request_body = PutPlanInput,
    responses((status = 200, description = "The plan", body = PlanView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn put_plan(
    State(management): State<Management>,
    caller: Caller,
    Segments(plan): Segments<String>,
    Seen(seen): Seen,
    Body(input): Body<PutPlanInput>,
) -> Result<InState<PlanView>, Refusal> {
    let (name, limits) = (read("plan", &plan)?, limits::read(input.limits)?);
    let view = management.control().put_plan(&caller.context, name, limits, seen).await?;
    Ok(InState(view.revision.unwrap_or_default(), view))
}
