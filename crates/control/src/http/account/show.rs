//! `GET /v1/account`: who one is, and where one belongs.

use axum::{Json, extract::State};
use keyward_api::AccountView;

use super::super::{
    Management,
    caller::Person,
    problem::{Refusal, Refusals},
};

/// Show oneself, and the organizations one belongs to.
#[utoipa::path(
    get,
    path = "/v1/account",
    tag = "account",
    responses((status = 200, description = "Who asks", body = AccountView), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn show_account(
    State(management): State<Management>,
    caller: Person,
) -> Result<Json<AccountView>, Refusal> {
    Ok(Json(management.control().show_account(&caller.context).await?))
}
