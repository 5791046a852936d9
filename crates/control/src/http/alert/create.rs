//! `POST /v1/organizations/{organization}/alert-rules`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{AlertRuleInput, AlertRuleView};

use super::super::{
    Management,
    input::{Segments, id},
    once::Once,
    problem::{Refusal, Refusals},
};

/// Make an alert rule: when people and webhooks are told of an organization's keys, and who.
///
/// It is looked at every minute, or what is asked of keys one by one, every hour. What begins to hold is told (`alert.raised`), and once more
/// when it is over (`alert.resolved`).
#[utoipa::path(
    post,
    path = "/v1/organizations/{organization}/alert-rules",
    tag = "alerts",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes"),
    ),
    request_body = AlertRuleInput,
    responses((status = 201, description = "The rule", body = AlertRuleView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn create_alert_rule(
    State(management): State<Management>,
    Segments(organization): Segments<String>,
    Once { caller, input }: Once<AlertRuleInput>,
) -> Result<(StatusCode, Json<AlertRuleView>), Refusal> {
    let organization = Some(id(&organization)?);
    let control = management.control();
    let made = control.create_alert_rule(&caller.context, organization, input).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
