//! `GET /v1/alert-rules`.

use axum::{Json, extract::State};
use keyward_api::{AlertRuleView, Page};

use super::super::{
    Management,
    caller::Caller,
    problem::{Refusal, Refusals},
};

/// List the alert rules over every organization. Only operators do.
#[utoipa::path(
    get,
    path = "/v1/alert-rules",
    tag = "alerts",
    responses((status = 200, description = "All of them", body = Page<AlertRuleView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_operators_alert_rules(
    State(management): State<Management>,
    caller: Caller,
) -> Result<Json<Page<AlertRuleView>>, Refusal> {
    let all = management.control().list_alert_rules(&caller.context, None).await?;
    Ok(Json(Page::whole(all)))
}
