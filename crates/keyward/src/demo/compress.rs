//! Answers of the built-in upstream for clients that take them compressed, as many a real one gives them.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, header};

use super::upstream::Reply;

/// Whether the client takes gzip.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    values.filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| coding.split(';').next().unwrap_or_default().trim() == "gzip")
    })
}

/// The answer compressed. Each event of a stream can be read as soon as it comes.
pub(super) fn gzip(answer: Response<Reply>) -> Response<Reply> {
    let (mut head, body) = answer.into_parts();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail; what did would leave an answer that no client can read, in a demo.
    let body = match body {
        Reply::Whole(whole) => {
            let _ = encoder.write_all(&whole.unwrap_or_default());
            Reply::Whole(Some(encoder.finish().unwrap_or_default().into()))
        }
        Reply::Events { waiting, gap } => {
            let mut pieces: Vec<Bytes> = Vec::with_capacity(waiting.len() + 1);
            for event in waiting {
                let _ = encoder.write_all(&event).and_then(|()| encoder.flush());
                pieces.push(std::mem::take(encoder.get_mut()).into());
            }
            pieces.push(encoder.finish().unwrap_or_default().into());
            Reply::Events { waiting: pieces.into(), gap }
        }
    };
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(head, body)
}
