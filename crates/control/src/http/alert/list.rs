//! `GET /v1/organizations/{organization}/alert-rules`.

use axum::{Json, extract::State};
use keyward_api::{AlertRuleView, Page};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// List an organization's alert rules, in the order they were made.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/alert-rules",
    tag = "alerts",
    params(("organization" = String, Path, description = "The organization's id")),
    responses((status = 200, description = "All of them", body = Page<AlertRuleView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_alert_rules(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
) -> Result<Json<Page<AlertRuleView>>, Refusal> {
    let all =
        management.control().list_alert_rules(&caller.context, Some(&id(&organization)?)).await?;
    Ok(Json(Page::whole(all)))
}
