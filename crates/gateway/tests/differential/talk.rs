//! One case said to one server: the bytes in their pieces, and everything that comes back up to the end of the connection.

use keyward_testkit::wait::LONG;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::{case::Case, recorder::SERIAL};

/// A final answer; interim ones are passed over.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Which of the upstream's requests it answers; nothing where the server answered by itself.
    pub serial: Option<usize>,
    /// Whether it says that the connection ends.
    pub closes: bool,
    /// The gateway's number of the request.
    pub id: Option<String>,
    pub body: Vec<u8>,
}

#[derive(Default)]
pub struct Talk {
    pub answers: Vec<Answer>,
    /// What stands behind the last answer that can be read.
    pub rest: Vec<u8>,
}

impl Talk {
    pub fn of(bytes: &[u8]) -> Self {
        let mut talk = Self::default();
        let mut rest = bytes;
        while let Some((answer, behind)) = answer(rest) {
            if !(100..200).contains(&answer.status) {
                talk.answers.push(answer);
            }
            rest = behind;
        }
        talk.rest = rest.to_vec();
        talk
    }
}

/// Sends the pieces, each in a write of its own, and reads to the end, which the servers' deadlines bring at the latest.
pub async fn say(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    case: &Case,
    bytes: &[u8],
) -> Vec<u8> {
    let mut received = Vec::new();
    let ended = timeout(LONG, exchange(stream, case, bytes, &mut received)).await.is_ok();
    let (sent, came) = (bytes.escape_ascii(), received.escape_ascii());
    assert!(ended, "the connection does not end on which came {came} to {sent}");
    received
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    case: &Case,
    bytes: &[u8],
    received: &mut Vec<u8>,
) {
    let mut from = 0;
    for to in case.cuts.iter().copied().chain([bytes.len()]) {
        let is_over = match case.waits && to == bytes.len() {
            true => !matches!(stream.read_buf(received).await, Ok(1..)),
            false => false,
        };
        // Who refuses may have closed by now.
        if is_over || stream.write_all(&bytes[from..to]).await.is_err() {
            break;
        }
        from = to;
        // Others have a turn: mostly the server has read the piece before the next one comes.
        tokio::task::yield_now().await;
    }
    // A reset is an end too.
    while let Ok(1..) = stream.read_buf(received).await {}
}

fn answer(bytes: &[u8]) -> Option<(Answer, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let behind = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let mut answer = Answer { status, ..Answer::default() };
    let mut length = 0;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "connection" => answer.closes = value.eq_ignore_ascii_case("close"),
            "x-request-id" => answer.id = Some(value.to_owned()),
            name if name == SERIAL => answer.serial = Some(value.parse().ok()?),
            _ => {}
        }
    }
    // To HEAD there is a length and no body; ours and theirs never begin like a head.
    let is_bodiless = behind.is_empty() || behind.starts_with(b"HTTP/1.");
    let (body, rest) = behind.split_at_checked(if is_bodiless { 0 } else { length })?;
    answer.body = body.to_vec();
    Some((answer, rest))
}
