//! `PUT /v1/prices`.

use axum::extract::State;
use keyward_api::{PriceView, PutPriceInput};

use super::super::{
    Management,
    caller::Caller,
    input::Body,
    problem::{Refusal, Refusals},
    state::{InState, Seen},
};
use crate::limits;

/// Say what a model costs, in the place of what it cost so far. What was counted stays as it was counted.
#[utoipa::path(
    put,
    path = "/v1/prices",
    tag = "prices",
    params(
        ("If-Match" = Option<String>, Header, description = "The state that was seen, as the price's `revision` in quotes: another one is refused"),
    ),
    request_body = PutPriceInput,
    responses((status = 200, description = "The price", body = PriceView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn put_price(
    State(management): State<Management>,
    caller: Caller,
    Seen(seen): Seen,
    Body(input): Body<PutPriceInput>,
) -> Result<InState<PriceView>, Refusal> {
    let price = limits::read_price(input)?;
    let view = management.control().put_price(&caller.context, price, seen).await?;
    Ok(InState(view.revision, view))
}
