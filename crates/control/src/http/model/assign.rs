//! `POST /v1/organizations/{organization}/model-ids`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{AssignModelIdInput, ModelIdView};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id, read},
    problem::{Refusal, Refusals},
};

/// Give an organization a model id. It belongs to one organization at a time.
#[utoipa::path(
    post,
    path = "/v1/organizations/{organization}/model-ids",
    tag = "model ids",
    params(("organization" = String, Path, description = "The organization's id")),
    request_body = AssignModelIdInput,
    responses((status = 201, description = "The model id", body = ModelIdView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn assign_model_id(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(input): Body<AssignModelIdInput>,
) -> Result<(StatusCode, Json<ModelIdView>), Refusal> {
    let organization = id(&organization)?;
    let model = input.id.map(|model| read("id", &model)).transpose()?;
    let view = management.control().assign_model_id(&caller.context, &organization, model).await?;
    Ok((StatusCode::CREATED, Json(view)))
}
