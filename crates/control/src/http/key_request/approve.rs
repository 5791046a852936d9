//! `POST /v1/key-requests/{key_request}/approve`.

use axum::{Json, extract::State};
use keyward_api::{ApproveKeyRequestInput, KeyRequestView};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id, read},
    problem::{Refusal, Refusals},
};
use crate::{app::key_requests::Grant, limits};

/// Approve a key request: for all that was asked, or less.
///
/// The key is made when whoever asked claims it, within seven days; nobody else ever sees it. Nobody approves what they asked for
/// themselves, but for owners.
#[utoipa::path(
    post,
    path = "/v1/key-requests/{key_request}/approve",
    tag = "key requests",
    params(("key_request" = String, Path, description = "The key request's id")),
    request_body = ApproveKeyRequestInput,
    responses((status = 200, description = "The request", body = KeyRequestView), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn approve_key_request(
    State(management): State<Management>,
    caller: Caller,
    Segments(key_request): Segments<String>,
    Body(input): Body<ApproveKeyRequestInput>,
) -> Result<Json<KeyRequestView>, Refusal> {
    let networks = input
        .allowed_networks
        .map(|all| all.iter().map(|one| read("allowed_networks", one)).collect::<Result<_, _>>());
    let grant = Grant {
        permissions: input.permissions,
        lifetime_seconds: input.lifetime_seconds,
        allowed_networks: networks.transpose()?,
        allowed_models: input.allowed_models,
        limits: input.limits.map(limits::read).transpose()?,
        note: input.note,
    };
    let key_request = id(&key_request)?;
    Ok(Json(management.control().approve_key_request(&caller.context, key_request, grant).await?))
}
