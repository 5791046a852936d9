//! `POST /v1/keys/{key}/secrets/{secret}/retire`.

use axum::{Json, extract::State};
use keyward_api::{KeyView, RetireSecretQuery};

use super::super::{
    Management,
    caller::Caller,
    input::{Asked, Segments, id},
    problem::{Refusal, Refusals},
};

/// End one secret of a key now. One that somebody used after it was replaced is ended by `force` only. The last good one cannot be ended: disable or revoke the key instead.
#[utoipa::path(
    post,
    path = "/v1/keys/{key}/secrets/{secret}/retire",
    tag = "keys",
    params(
        ("key" = String, Path, description = "The key's id"),
        ("secret" = String, Path, description = "The secret's id"),
        RetireSecretQuery,
    ),
    responses((status = 200, description = "The key", body = KeyView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn retire_secret(
    State(management): State<Management>,
    caller: Caller,
    Segments((key, secret)): Segments<(String, String)>,
    Asked(asked): Asked<RetireSecretQuery>,
) -> Result<Json<KeyView>, Refusal> {
    let (key, secret) = (id(&key)?, id(&secret)?);
    let control = management.control();
    Ok(Json(control.retire_secret(&caller.context, key, secret, asked.force).await?))
}
