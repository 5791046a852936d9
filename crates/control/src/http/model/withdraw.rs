//! `DELETE /v1/organizations/{organization}/model-ids/{model}`.

use axum::{extract::State, http::StatusCode};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Take a model id from an organization.
#[utoipa::path(
    delete,
    path = "/v1/organizations/{organization}/model-ids/{model}",
    tag = "model ids",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        ("model" = String, Path, description = "The model id"),
    ),
    responses((status = 204, description = "It is nobody's"), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn withdraw_model_id(
    State(management): State<Management>,
    caller: Caller,
    Segments((organization, model)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let (organization, model) = (id(&organization)?, id(&model)?);
    management.control().withdraw_model_id(&caller.context, &organization, model).await?;
    Ok(StatusCode::NO_CONTENT)
}
