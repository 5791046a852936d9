//! `PATCH /v1/organizations/{organization}/members/{user}`: another role.

use axum::{Json, extract::State};
use keyward_api::{ChangeMemberInput, MemberView};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id, read},
    problem::{Refusal, Refusals},
};

/// Give a member another role, up to one's own. Keys they own are as good as the new role at once.
#[utoipa::path(
    patch,
    path = "/v1/organizations/{organization}/members/{user}",
    tag = "members",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        ("user" = String, Path, description = "The member's id"),
    ),
    request_body = ChangeMemberInput,
    responses((status = 200, description = "The member", body = MemberView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn change_member(
    State(management): State<Management>,
    caller: Caller,
    Segments((organization, user)): Segments<(String, String)>,
    Body(input): Body<ChangeMemberInput>,
) -> Result<Json<MemberView>, Refusal> {
    let (organization, user) = (id(&organization)?, id(&user)?);
    let role = read("role", &input.role)?;
    let control = management.control();
    Ok(Json(control.set_role(&caller.context, &organization, user, role).await?))
}
