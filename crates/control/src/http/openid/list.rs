//! `GET /v1/sessions/openid`: for a login page.

use axum::{Json, extract::State};
use keyward_api::{OpenIdProviderView, Page};

use super::super::{
    Management,
    caller::Visitor,
    problem::{Refusal, Refusals},
};

/// List where one may log in with an account elsewhere.
#[utoipa::path(
    get,
    path = "/v1/sessions/openid",
    tag = "sessions",
    responses((status = 200, description = "The providers", body = Page<OpenIdProviderView>), Refusals),
)]
pub(in crate::http) async fn list_openid_providers(
    State(management): State<Management>,
    _: Visitor,
) -> Result<Json<Page<OpenIdProviderView>>, Refusal> {
    let providers = management.gate().providers.all().map(|provider| OpenIdProviderView {
        name: provider.name.clone(),
        title: provider.title.clone(),
        start: format!("/v1/sessions/openid/{}/start", provider.name),
    });
    Ok(Json(Page::whole(providers.collect())))
}
