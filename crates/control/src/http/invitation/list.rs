//! `GET /v1/organizations/{organization}/invitations`.

use axum::{Json, extract::State};
use keyward_api::{InvitationView, Page};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// List an organization's invitations, newest first, without their tokens.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/invitations",
    tag = "invitations",
    params(("organization" = String, Path, description = "The organization's id")),
    responses((status = 200, description = "The invitations", body = Page<InvitationView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_invitations(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
) -> Result<Json<Page<InvitationView>>, Refusal> {
    let organization = Some(id(&organization)?);
    let control = management.control();
    let listed = control.list_invitations(&caller.context, organization.as_ref()).await?;
    Ok(Json(Page::whole(listed)))
}
