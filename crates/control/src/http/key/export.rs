//! `GET /v1/organizations/{organization}/keys/export`.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use http_body::Frame;
use keyward_api::{ExportKeysQuery, RowFormat};
use tokio::sync::mpsc;

use super::super::{
    Management,
    caller::Caller,
    input::{Asked, Segments, id, read},
    problem::{Refusal, Refusals},
};
use crate::{ControlError, app::export::Export};

/// Pieces that wait for a reader who is slower than the store.
const WAITING: usize = 2;

/// Export an organization's keys, as CSV or JSON lines. Cells that a spreadsheet would take for a formula begin with an apostrophe.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/keys/export",
    tag = "keys",
    params(("organization" = String, Path, description = "The organization's id"), ExportKeysQuery),
    responses(
        (
            status = 200,
            description = "Every key: as CSV with a header, or as JSON lines",
            content((String = "text/csv"), (keyward_api::KeyView = "application/x-ndjson")),
        ),
        Refusals,
    ),
    security(("session" = [])),
)]
pub(in crate::http) async fn export_keys(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Asked(asked): Asked<ExportKeysQuery>,
) -> Result<Response, Refusal> {
    let export = Export {
        organization: Some(id(&organization)?),
        api: asked.api.map(|api| read("api", &api)).transpose()?,
        format: asked.format.unwrap_or(RowFormat::Csv),
    };
    let (control, context) = (management.control(), caller.context);
    // The first piece says whether the caller may, before an answer has begun.
    let first = control.export_keys(&context, &export, None).await?;
    let kind = HeaderValue::from_static(export.format.media_type());
    let (pieces, coming) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut piece = Ok(first);
        loop {
            let next = piece.as_ref().ok().and_then(|piece| piece.next);
            let failed = piece.is_err();
            let sent = pieces.send(piece.map(|piece| Bytes::from(piece.bytes))).await;
            if sent.is_err() || failed || next.is_none() {
                return;
            }
            piece = control.export_keys(&context, &export, next).await;
        }
    });
    Ok(([(header::CONTENT_TYPE, kind)], Body::new(Pieces(coming))).into_response())
}

/// An answer's body, piece by piece. A failure breaks it off: it is never passed off as whole.
struct Pieces(mpsc::Receiver<Result<Bytes, ControlError>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = ControlError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ControlError>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
