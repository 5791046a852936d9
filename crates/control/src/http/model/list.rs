//! `GET /v1/organizations/{organization}/model-ids`.

use axum::{Json, extract::State};
use keyward_api::{ModelIdView, Page};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// List an organization's model ids.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/model-ids",
    tag = "model ids",
    params(("organization" = String, Path, description = "The organization's id")),
    responses((status = 200, description = "All of them", body = Page<ModelIdView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_model_ids(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
) -> Result<Json<Page<ModelIdView>>, Refusal> {
    let organization = id(&organization)?;
    let all = management.control().list_model_ids(&caller.context, Some(&organization)).await?;
    Ok(Json(Page::whole(all)))
}
