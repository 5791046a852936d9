//! `DELETE /v1/organizations/{organization}/members/{user}`: removing a member, or leaving.

use axum::{extract::State, http::StatusCode};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Remove a member, or leave. Keys they own are refused at once.
#[utoipa::path(
    delete,
    path = "/v1/organizations/{organization}/members/{user}",
    tag = "members",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        ("user" = String, Path, description = "The member's id"),
    ),
    responses((status = 204, description = "They are no member any more"), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn remove_member(
    State(management): State<Management>,
    caller: Caller,
    Segments((organization, user)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let (organization, user) = (id(&organization)?, id(&user)?);
    management.control().remove_member(&caller.context, &organization, user).await?;
    Ok(StatusCode::NO_CONTENT)
}
