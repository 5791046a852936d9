//! `GET /v1/prices`.

use axum::{Json, extract::State};
use keyward_api::{Page, PriceView};

use super::super::{
    Management,
    caller::Caller,
    problem::{Refusal, Refusals},
};

/// List what models cost. Of several that fit a model, the longest counts.
#[utoipa::path(
    get,
    path = "/v1/prices",
    tag = "prices",
    responses((status = 200, description = "All of them", body = Page<PriceView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_prices(
    State(management): State<Management>,
    caller: Caller,
) -> Result<Json<Page<PriceView>>, Refusal> {
    Ok(Json(Page::whole(management.control().list_prices(&caller.context).await?)))
}
