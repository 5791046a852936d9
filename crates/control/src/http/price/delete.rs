//! `DELETE /v1/prices?model=…`.

use axum::{extract::State, http::StatusCode};
use keyward_api::DeletePriceQuery;

use super::super::{
    Management,
    caller::Caller,
    input::Asked,
    problem::{Refusal, Refusals},
    state::Seen,
};

/// Forget what a model costs.
#[utoipa::path(
    delete,
    path = "/v1/prices",
    tag = "prices",
    params(
        DeletePriceQuery,
        ("If-Match" = Option<String>, Header, description = "The state that was seen, as the price's `revision` in quotes: another one is refused"),
    ),
    responses((status = 204, description = "It is gone"), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn delete_price(
    State(management): State<Management>,
    caller: Caller,
    Asked(asked): Asked<DeletePriceQuery>,
    Seen(seen): Seen,
) -> Result<StatusCode, Refusal> {
    management.control().delete_price(&caller.context, &asked.model, seen).await?;
    Ok(StatusCode::NO_CONTENT)
}
