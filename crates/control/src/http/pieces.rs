//! Answers that are longer than a page: sent piece by piece, as they are read from the store.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use http_body::Frame;
use tokio::sync::mpsc;

use crate::{ControlError, app::export::Piece};

/// Pieces that wait for a reader who is slower than the store.
const WAITING: usize = 2;

/// The answer that begins with `first`, which was asked for before so that it says whether the caller may, and goes on with what
/// `more` gives behind each piece.
pub(super) fn streamed<Cursor, More>(
    kind: &'static str,
    first: Piece<Cursor>,
    more: impl Fn(Cursor) -> More + Send + 'static,
) -> Response
where
    Cursor: Send + 'static,
    More: Future<Output = Result<Piece<Cursor>, ControlError>> + Send,
{
    let (pieces, coming) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut piece = Ok(first);
        loop {
            let (sent, next) = match piece {
                Ok(Piece { bytes, next }) => (pieces.send(Ok(Bytes::from(bytes))).await, next),
                Err(error) => (pieces.send(Err(error)).await, None),
            };
            let (Ok(()), Some(next)) = (sent, next) else { return };
            piece = more(next).await;
        }
    });
    let kind = HeaderValue::from_static(kind);
    ([(header::CONTENT_TYPE, kind)], Body::new(Pieces(coming))).into_response()
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
