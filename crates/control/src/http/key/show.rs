//! `GET /v1/keys/{key}`.

use axum::extract::State;
use keyward_api::KeyDetailsView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
    state::InState,
};

/// Show a key: its secrets with their last uses, and what it was used for.
#[utoipa::path(
    get,
    path = "/v1/keys/{key}",
    tag = "keys",
    params(("key" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key", body = KeyDetailsView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn show_key(
    State(management): State<Management>,
    caller: Caller,
    Segments(key): Segments<String>,
) -> Result<InState<KeyDetailsView>, Refusal> {
    let view = management.control().show_key(&caller.context, id(&key)?).await?;
    Ok(InState(view.key.revision, view))
}
