//! `GET /v1/alert-rules/{alert_rule}`.

use axum::extract::State;
use keyward_api::AlertRuleView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
    state::InState,
};

/// Show an alert rule.
#[utoipa::path(
    get,
    path = "/v1/alert-rules/{alert_rule}",
    tag = "alerts",
    params(("alert_rule" = String, Path, description = "The alert rule's id")),
    responses((status = 200, description = "The rule", body = AlertRuleView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn show_alert_rule(
    State(management): State<Management>,
    caller: Caller,
    Segments(rule): Segments<String>,
) -> Result<InState<AlertRuleView>, Refusal> {
    let view = management.control().show_alert_rule(&caller.context, id(&rule)?).await?;
    Ok(InState(view.revision, view))
}
