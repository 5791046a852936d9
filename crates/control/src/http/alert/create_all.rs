//! `POST /v1/alert-rules`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{AlertRuleInput, AlertRuleView};

use super::super::{
    Management,
    once::Once,
    problem::{Refusal, Refusals},
};

/// Make an alert rule over every organization. Only operators do; it is told to their webhooks.
#[utoipa::path(
    post,
    path = "/v1/alert-rules",
    tag = "alerts",
    params(("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes")),
    request_body = AlertRuleInput,
    responses((status = 201, description = "The rule", body = AlertRuleView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn create_operators_alert_rule(
    State(management): State<Management>,
    Once { caller, input }: Once<AlertRuleInput>,
) -> Result<(StatusCode, Json<AlertRuleView>), Refusal> {
    let organization = None;
    let control = management.control();
    let made = control.create_alert_rule(&caller.context, organization, input).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
