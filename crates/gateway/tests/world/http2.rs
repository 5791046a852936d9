//! HTTP/2 twice: hyper's client for what is well formed, and frames by hand for what no client would send.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{
    client::Client,
    message::{Duplex, Wire},
    soon,
};

/// A request body of any kind.
pub type Body = BoxBody<Bytes, io::Error>;

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// hyper's client, in the clear with prior knowledge.
pub async fn connect(address: SocketAddr) -> SendRequest<Body> {
    let tcp = soon(TcpStream::connect(address)).await.unwrap();
    over(tcp).await
}

/// hyper's client over a stream that is there.
pub async fn over(stream: impl Duplex + 'static) -> SendRequest<Body> {
    let (sender, connection) =
        soon(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.unwrap();
    tokio::spawn(async move {
        // How it ends is what the requests on it tell.
        let _ = connection.await;
    });
    sender
}

/// Frames by hand.
pub struct Frames {
    wire: Wire<Box<dyn Duplex>>,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer of this status.
    Status(u16),
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
}

impl Frames {
    /// A connection over which preface and settings went.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::with_settings(address, &[]).await
    }

    /// The same, with further settings.
    pub async fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let client = Client::connect(address).await;
        let mut frames = Self { wire: client.wire };
        frames.wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut payload = Vec::new();
        // No dynamic table for what the gateway sends: a status is then readable by itself.
        for (id, value) in [(1, 0)].iter().chain(settings) {
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        frames.send(SETTINGS, 0, 0, &payload).await;
        frames
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let frame = encode(kind, flags, stream, payload);
        soon(self.wire.send(frame)).await;
    }

    /// A whole header block, each field as a literal.
    pub async fn headers(&mut self, stream: u32, fields: &[(&str, &str)], flags: u8) {
        self.send(HEADERS, flags | END_HEADERS, stream, &block(fields)).await;
    }

    /// Two halves: one to send, one to read.
    pub fn split(self) -> (Self, Self) {
        let (reading, writing) = self.wire.split();
        (Self { wire: writing }, Self { wire: reading })
    }

    /// The same as [`Frames::send`], to somebody who may have hung up: `false` then.
    pub async fn try_send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let frame = encode(kind, flags, stream, payload);
        soon(self.wire.try_send(&frame)).await.is_ok()
    }

    /// What becomes of whichever stream next.
    pub async fn any(&mut self) -> Outcome {
        match self.next_raw().await {
            None => Outcome::Closed,
            Some(frame) if frame.kind == GOAWAY => Outcome::GoAway(number(&frame.payload[4..8])),
            Some(frame) => Outcome::Reset(frame.stream),
        }
    }

    async fn next_raw(&mut self) -> Option<Frame> {
        soon(async {
            let head = self.wire.exactly(9).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let payload = self.wire.exactly(length as usize).await.ok()?;
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        })
        .await
    }

    /// A header block of any size, continued in as many frames as it takes.
    pub async fn long_headers(&mut self, stream: u32, fields: &[(&str, &str)], flags: u8) {
        let block = block(fields);
        let pieces = block.chunks(16_000).count();
        for (n, piece) in block.chunks(16_000).enumerate() {
            let last = if n + 1 == pieces { END_HEADERS } else { 0 };
            let (kind, flags) = if n == 0 { (HEADERS, flags) } else { (CONTINUATION, 0) };
            self.send(kind, flags | last, stream, piece).await;
        }
    }

    /// The next frame; settings and pings are acknowledged on the way.
    pub async fn next(&mut self) -> Option<Frame> {
        soon(async {
            loop {
                let frame = self.next_raw().await?;
                match (frame.kind, frame.flags & ACK) {
                    (SETTINGS, 0) => self.wire.send(encode(SETTINGS, ACK, 0, &[])).await,
                    (PING, 0) => self.wire.send(encode(PING, ACK, 0, &frame.payload)).await,
                    (SETTINGS | PING | WINDOW_UPDATE, _) => {}
                    _ => return Some(frame),
                }
            }
        })
        .await
    }

    /// What becomes of a stream.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Some(frame) = self.next().await else { return Outcome::Closed };
            match frame.kind {
                HEADERS if frame.stream == stream => {
                    return Outcome::Status(status(&frame.payload));
                }
                RST_STREAM if frame.stream == stream => {
                    return Outcome::Reset(number(&frame.payload[..4]));
                }
                GOAWAY => return Outcome::GoAway(number(&frame.payload[4..8])),
                _ => {}
            }
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

pub fn encode(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// HPACK without its tables: literals that are not indexed (RFC 7541, 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn length(block: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push((length % 128) as u8 | 128);
        length /= 128;
    }
    block.push(length as u8);
}

/// The status, which is the first field of every answer's block: indexed, or a Huffman-coded or plain literal.
fn status(block: &[u8]) -> u16 {
    let mut block = block;
    // A change of the table's size may stand first (RFC 7541, 6.3).
    while block[0] & 0xe0 == 0x20 {
        block = &block[1..];
    }
    match block[0] {
        0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(block[0] - 0x88)],
        0x48 | 0x08 | 0x18 if block[1] & 0x80 == 0 => {
            std::str::from_utf8(&block[2..5]).unwrap().parse().unwrap()
        }
        0x48 | 0x08 | 0x18 => digits(&block[2..2 + usize::from(block[1] & 0x7f)]),
        other => panic!("no status: {other:#x}"),
    }
}

/// Three digits in the Huffman code of RFC 7541, appendix B: five bits for 0 to 2, six for the others.
fn digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let mut at = 0;
    let mut number = 0;
    for _ in 0..3 {
        let take = |count: usize| {
            bits[at..at + count].iter().fold(0_u16, |n, bit| n << 1 | u16::from(*bit))
        };
        let (digit, used) = match take(5) {
            five @ 0..=2 => (five, 5),
            _ => (take(6) - 0b01_1001 + 3, 6),
        };
        at += used;
        number = number * 10 + digit;
    }
    number
}

#[test]
fn statuses_are_read_in_every_coding() {
    assert_eq!(status(&[0x8c]), 400);
    assert_eq!(status(&[0x48, 3, b'4', b'3', b'1']), 431);
    // 4 = 011010, 0 = 00000, 1 = 00001, then ones.
    assert_eq!(status(&[0x48, 0x82, 0b0110_1000, 0b0000_0001]), 401);
}
