//! `GET /v1/alerts`.

use axum::{Json, extract::State};
use keyward_api::{AlertView, ListAlertsQuery, Page};

use super::super::{
    Management,
    caller::Caller,
    input::{Asked, limit, read},
    problem::{Refusal, Refusals},
};

/// List the alerts of every organization, newest first. Only operators do.
#[utoipa::path(
    get,
    path = "/v1/alerts",
    tag = "alerts",
    params(ListAlertsQuery),
    responses((status = 200, description = "A page of alerts", body = Page<AlertView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_all_alerts(
    State(management): State<Management>,
    caller: Caller,
    Asked(asked): Asked<ListAlertsQuery>,
) -> Result<Json<Page<AlertView>>, Refusal> {
    let after = asked.after.map(|after| read("after", &after)).transpose()?;
    let (context, limit) = (&caller.context, limit(asked.limit)?);
    let control = management.control();
    Ok(Json(control.list_alerts(context, None, asked.raised, after, limit).await?))
}
