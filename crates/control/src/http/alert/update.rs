//! `PATCH /v1/alert-rules/{alert_rule}`.

use axum::extract::State;
use keyward_api::{AlertRuleView, UpdateAlertRuleInput};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id},
    problem::{Refusal, Refusals},
    state::{InState, Seen},
};

/// Change an alert rule. What is left out stays.
#[utoipa::path(
    patch,
    path = "/v1/alert-rules/{alert_rule}",
    tag = "alerts",
    params(
        ("alert_rule" = String, Path, description = "The alert rule's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the state that was seen: another one is refused"),
    ),
    request_body = UpdateAlertRuleInput,
    responses((status = 200, description = "The rule", body = AlertRuleView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn update_alert_rule(
    State(management): State<Management>,
    caller: Caller,
    Segments(rule): Segments<String>,
    Seen(seen): Seen,
    Body(input): Body<UpdateAlertRuleInput>,
) -> Result<InState<AlertRuleView>, Refusal> {
    let (control, rule) = (management.control(), id(&rule)?);
    let view = control.update_alert_rule(&caller.context, rule, input, seen).await?;
    Ok(InState(view.revision, view))
}
