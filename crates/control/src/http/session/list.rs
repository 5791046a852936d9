//! `GET /v1/sessions`: where one is logged in.

use axum::{Json, extract::State};
use keyward_api::{Page, SessionView};

use super::super::{
    Management,
    caller::Person,
    problem::{Refusal, Refusals},
};

/// List one's own sessions, newest first.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    tag = "sessions",
    responses((status = 200, description = "The sessions", body = Page<SessionView>), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn list_sessions(
    State(management): State<Management>,
    caller: Person,
) -> Result<Json<Page<SessionView>>, Refusal> {
    let control = management.control();
    let sessions = control.list_sessions(&caller.context, Some(caller.session)).await?;
    Ok(Json(Page::whole(sessions)))
}
