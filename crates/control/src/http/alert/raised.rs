//! `GET /v1/organizations/{organization}/alerts`.

use axum::{Json, extract::State};
use keyward_api::{AlertView, ListAlertsQuery, Page};

use super::super::{
    Management,
    caller::Caller,
    input::{Asked, Segments, id, limit, read},
    problem::{Refusal, Refusals},
};

/// List an organization's alerts, newest first: what is raised now, and what was.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/alerts",
    tag = "alerts",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        ListAlertsQuery,
    ),
    responses((status = 200, description = "A page of alerts", body = Page<AlertView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_alerts(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Asked(asked): Asked<ListAlertsQuery>,
) -> Result<Json<Page<AlertView>>, Refusal> {
    let after = asked.after.map(|after| read("after", &after)).transpose()?;
    let (context, limit) = (&caller.context, limit(asked.limit)?);
    let control = management.control();
    Ok(Json(
        control.list_alerts(context, Some(&id(&organization)?), asked.raised, after, limit).await?,
    ))
}
