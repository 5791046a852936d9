//! Just enough HTTP/2 (RFC 9113) for the generator's end: requests of one form on several streams of
//! a connection, answers of which the status is read. A library would cost the load's core more than
//! most proxies cost theirs, and none could be kept busy.
//!
//! Fields are sent as clients send them: what all requests have in common is put into the table of
//! the connection by the first (RFC 7541), and the key, which differs, never is.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::{Answer, Received};

/// Requests in flight on each connection.
pub(in crate::bench) const STREAMS: usize = 8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for all that a proxy can send in one run on a stream; on a connection it is given back.
const MOST_WINDOW: u32 = (1 << 31) - 1;
const FIRST_WINDOW: u32 = 65_535;
/// As much as is read before room on the connection is given back.
const GIVEN_BACK: u32 = 1 << 20;
/// The least table that the fields in common may need.
const LEAST_TABLE: u32 = 4096;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// What all requests have in common, encoded.
pub(in crate::bench) struct Common {
    /// In the first request of a connection, which puts it into the table.
    first: Vec<u8>,
    /// In those that follow.
    later: Vec<u8>,
    body: &'static [u8],
}

impl Common {
    pub(in crate::bench) fn new(path: &str, host: &str, body: &'static [u8]) -> Self {
        let length = body.len().to_string();
        let method = if body.is_empty() { GET } else { POST };
        let mut fields =
            vec![(PATH, path), (AUTHORITY, host), (USER_AGENT, "keyward-bench"), (ACCEPT, "*/*")];
        if !body.is_empty() {
            fields.extend([(CONTENT_TYPE, "application/json"), (CONTENT_LENGTH, &length)]);
        }
        let (mut first, mut later) = (vec![method, HTTPS], vec![method, HTTPS]);
        for ((name, value), above) in fields.iter().zip((0..fields.len() as u8).rev()) {
            first.push(ADDED | name);
            string(&mut first, value);
            later.push(INDEXED | (FIRST_IN_TABLE + above));
        }
        Self { first, later, body }
    }
}

/// Of the static table (RFC 7541, appendix A).
const AUTHORITY: u8 = 1;
const GET: u8 = INDEXED | 2;
const POST: u8 = INDEXED | 3;
const PATH: u8 = 4;
const HTTPS: u8 = INDEXED | 7;
const ACCEPT: u8 = 19;
const CONTENT_LENGTH: u8 = 28;
const CONTENT_TYPE: u8 = 31;
const USER_AGENT: u8 = 58;
/// The field that was added last.
const FIRST_IN_TABLE: u8 = 62;
/// How a field begins: in a table, or with a name that is there and a value that is added to it.
const INDEXED: u8 = 0x80;
const ADDED: u8 = 0x40;

/// The field that carries a key, encoded; it is never put into a table (RFC 7541, section 7.1.3).
pub(in crate::bench) fn authorization(key: &str) -> Vec<u8> {
    // Name 23 of the static table, in an integer of four bits and one byte more.
    let mut field = vec![0x1F, 23 - 15];
    string(&mut field, &format!("Bearer {key}"));
    field
}

/// Not compressed; all of ours are shorter than 127 bytes.
fn string(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8 & 0x7F);
    out.extend_from_slice(text.as_bytes());
}

struct InFlight {
    stream: u32,
    request: usize,
    intended: Instant,
    status: Option<u16>,
}

/// One connection, without its socket.
pub(super) struct Http2 {
    next_stream: u32,
    in_flight: Vec<InFlight>,
    /// Bytes of body that the proxy still takes.
    room: i64,
    /// Bytes of body that were read and not given back as room yet.
    read: u32,
}

impl Http2 {
    /// Begins a connection.
    pub(super) fn new(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(PREFACE);
        frame(out, 12, SETTINGS, 0, 0);
        for (setting, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, MOST_WINDOW)] {
            out.extend_from_slice(&setting.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
        give_back(out, MOST_WINDOW - FIRST_WINDOW);
        let in_flight = Vec::with_capacity(STREAMS);
        Self { next_stream: 1, in_flight, room: FIRST_WINDOW.into(), read: 0 }
    }

    pub(super) const fn is_free(&self) -> bool {
        self.in_flight.len() < STREAMS
    }

    pub(super) fn send(
        &mut self,
        out: &mut Vec<u8>,
        (request, authorization): (usize, &[u8]),
        common: &Common,
        intended: Instant,
    ) -> Result<()> {
        let stream = self.next_stream;
        self.next_stream += 2;
        self.in_flight.push(InFlight { stream, request, intended, status: None });
        let fields = if stream == 1 { &common.first } else { &common.later };
        let flags = if common.body.is_empty() { END_STREAM | END_HEADERS } else { END_HEADERS };
        frame(out, fields.len() + authorization.len(), HEADERS, flags, stream);
        out.extend_from_slice(fields);
        out.extend_from_slice(authorization);
        if !common.body.is_empty() {
            self.room -= common.body.len() as i64;
            if self.room < 0 {
                bail!("the proxy gives no room for a body");
            }
            frame(out, common.body.len(), DATA, END_STREAM, stream);
            out.extend_from_slice(common.body);
        }
        Ok(())
    }

    /// Reads the complete frames among `bytes`, and says how many bytes these are; what they are to
    /// be answered with is put to `out`.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        received: &mut Received,
    ) -> Result<usize> {
        let mut read = 0;
        while let Some((header, rest)) = bytes.get(read..).and_then(<[u8]>::split_first_chunk::<9>)
        {
            let [a, b, c, kind, flags, stream @ ..] = *header;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(payload) = rest.get(..length) else { break };
            let stream = u32::from_be_bytes(stream) & MOST_WINDOW;
            self.frame((kind, flags, stream), payload, out, received)?;
            read += header.len() + length;
        }
        Ok(read)
    }

    fn frame(
        &mut self,
        (kind, flags, stream): (u8, u8, u32),
        payload: &[u8],
        out: &mut Vec<u8>,
        received: &mut Received,
    ) -> Result<()> {
        match kind {
            DATA => self.count_data(payload.len(), out),
            HEADERS => self.read_status(flags, stream, payload)?,
            SETTINGS if flags & ACK == 0 => {
                self.heed(payload)?;
                frame(out, 0, SETTINGS, ACK, 0);
            }
            PING if flags & ACK == 0 => {
                frame(out, payload.len(), PING, ACK, 0);
                out.extend_from_slice(payload);
            }
            WINDOW_UPDATE if stream == 0 => self.room += i64::from(number(payload)?),
            GOAWAY | RST_STREAM => bail!("the proxy ended a connection or a stream (HTTP/2)"),
            PUSH_PROMISE | CONTINUATION => bail!("a frame that this client cannot read: {kind}"),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            self.end(stream, received)?;
        }
        Ok(())
    }

    fn count_data(&mut self, length: usize, out: &mut Vec<u8>) {
        self.read += length as u32;
        if self.read >= GIVEN_BACK {
            give_back(out, std::mem::take(&mut self.read));
        }
    }

    fn heed(&self, settings: &[u8]) -> Result<()> {
        let (settings, _) = settings.as_chunks::<6>();
        for [a, b, value @ ..] in settings {
            let (setting, value) = (u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value));
            match setting {
                HEADER_TABLE_SIZE if value < LEAST_TABLE => bail!("the proxy's table is too small"),
                MAX_CONCURRENT_STREAMS if (value as usize) < STREAMS => {
                    bail!("the proxy takes {value} streams at once, and {STREAMS} are sent")
                }
                INITIAL_WINDOW_SIZE if i64::from(value) < self.room.min(1024) => {
                    bail!("the proxy gives a stream room for {value} bytes alone")
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_status(&mut self, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
        if flags & END_HEADERS == 0 {
            bail!("a head in several frames, which this client cannot read");
        }
        let one = self.in_flight.iter_mut().find(|one| one.stream == stream);
        let one = one.with_context(|| format!("a head of stream {stream}, which is not open"))?;
        let padding = usize::from(flags & PADDED != 0);
        let priority = if flags & PRIORITY != 0 { 5 } else { 0 };
        let fields = payload.get(padding + priority..).unwrap_or_default();
        // What comes after the first head are trailers.
        one.status.get_or_insert_with(|| status(fields));
        Ok(())
    }

    fn end(&mut self, stream: u32, received: &mut Received) -> Result<()> {
        let place = self.in_flight.iter().position(|one| one.stream == stream);
        let place =
            place.with_context(|| format!("an end of stream {stream}, which is not open"))?;
        let InFlight { request, intended, status, .. } = self.in_flight.swap_remove(place);
        let status = status.context("a body without a head")?;
        received.answers.push(Answer { status, request, intended });
        Ok(())
    }
}

fn frame(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

fn give_back(out: &mut Vec<u8>, room: u32) {
    frame(out, 4, WINDOW_UPDATE, 0, 0);
    out.extend_from_slice(&room.to_be_bytes());
}

fn number(payload: &[u8]) -> Result<u32> {
    let bytes = payload.first_chunk().context("a frame is too short")?;
    Ok(u32::from_be_bytes(*bytes))
}

/// The status that a head begins with. 200 is always told from others; another one that stands in the
/// proxy's own table, which is not kept here, is 0.
fn status(fields: &[u8]) -> u16 {
    const USUAL: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    const FIRST: u8 = 8;
    let updates = fields.iter().take_while(|byte| **byte & 0xE0 == 0x20).count();
    let fields = fields.get(updates..).unwrap_or_default();
    match fields {
        [field, ..] if field & INDEXED != 0 => {
            let place = (field & 0x7F).checked_sub(FIRST).map(usize::from);
            place.and_then(|place| USUAL.get(place)).copied().unwrap_or(0)
        }
        // The name from the static table, the value as it is or compressed.
        [field, 3, digits @ ..] if names_status(*field) => {
            let digits = digits.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
            digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
        }
        [field, length, digits @ ..] if names_status(*field) && length & 0x80 != 0 => {
            let length = usize::from(length & 0x7F);
            digits.get(..length.min(3)).map_or(0, compressed_digits)
        }
        _ => 0,
    }
}

fn names_status(field: u8) -> bool {
    // Added to the table, not added, or never added; names 8 to 14 are `:status`.
    let name = if field & ADDED != 0 { field & 0x3F } else { field & 0x0F };
    (8..=14).contains(&name)
}

/// Three digits by RFC 7541, appendix B: 0 to 2 have five bits, 3 to 9 have six.
fn compressed_digits(bytes: &[u8]) -> u16 {
    // A byte more than there is, so that the last digit can be looked at as if it had six.
    let bits = bytes.iter().chain(&[0]).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let mut left = 8 * (bytes.len() + 1);
    let mut number = 0;
    for _ in 0..3 {
        let (Some(five), Some(six)) = (left.checked_sub(5), left.checked_sub(6)) else { return 0 };
        let (short, long) = (bits >> five & 0x1F, bits >> six & 0x3F);
        let digit = if short < 3 { short } else { long.saturating_sub(0x19) + 3 };
        left = if short < 3 { five } else { six };
        number = number * 10 + digit.min(9) as u16;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common() -> Common {
        Common::new("/v1/generate", "api.bench.test", b"{}")
    }

    fn send(http2: &mut Http2, request: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let key = (request, authorization("k").as_slice().to_vec());
        http2.send(&mut out, (key.0, &key.1), &common(), Instant::now()).unwrap();
        out
    }

    fn head(stream: u32, flags: u8, fields: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(&mut out, fields.len(), HEADERS, flags | END_HEADERS, stream);
        [out, fields.to_vec()].concat()
    }

    #[test]
    fn the_second_request_names_what_the_first_put_into_the_table() {
        let mut http2 = Http2::new(&mut Vec::new());
        let (first, second) = (send(&mut http2, 0), send(&mut http2, 1));
        assert!(first.windows(12).any(|bytes| bytes == b"/v1/generate"));
        // :method, :scheme, then six fields from the oldest to the newest, then the key.
        let expected = [0x83, 0x87, 0xC3, 0xC2, 0xC1, 0xC0, 0xBF, 0xBE, 0x1F, 8, 8];
        assert_eq!(second[9..20], expected);
        assert_eq!(&second[20..28], b"Bearer k");
    }

    #[test]
    fn answers_are_told_apart_however_they_are_cut() {
        let answers = [
            head(3, END_STREAM, &[0x88]),
            head(1, 0, &[0x48, 3, b'4', b'2', b'9']),
            [vec![0, 0, 2, DATA, END_STREAM, 0, 0, 0, 1], b"no".to_vec()].concat(),
        ]
        .concat();
        for piece in 1..answers.len() {
            let mut http2 = Http2::new(&mut Vec::new());
            send(&mut http2, 5);
            send(&mut http2, 6);
            let (mut waiting, mut received) = (Vec::new(), Received::default());
            for bytes in answers.chunks(piece) {
                waiting.extend_from_slice(bytes);
                let read = http2.receive(&waiting, &mut Vec::new(), &mut received).unwrap();
                waiting.drain(..read);
            }
            let told: Vec<_> = received.answers.iter().map(|a| (a.request, a.status)).collect();
            assert_eq!(told, [(6, 200), (5, 429)]);
            assert!(waiting.is_empty() && http2.in_flight.is_empty());
        }
    }

    #[test]
    fn settings_and_pings_are_acknowledged() {
        let mut http2 = Http2::new(&mut Vec::new());
        let (mut frames, mut out) = (Vec::new(), Vec::new());
        frame(&mut frames, 0, SETTINGS, 0, 0);
        frame(&mut frames, 8, PING, 0, 0);
        frames.extend_from_slice(b"12345678");
        http2.receive(&frames, &mut out, &mut Received::default()).unwrap();
        let acknowledged =
            [&[0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 8, 6, 1, 0, 0, 0, 0], &b"12345678"[..]];
        assert_eq!(out, acknowledged.concat());
    }

    #[test]
    fn a_connection_that_the_proxy_ends_is_an_error() {
        for kind in [GOAWAY, RST_STREAM] {
            let mut frames = Vec::new();
            frame(&mut frames, 0, kind, 0, 0);
            let mut http2 = Http2::new(&mut Vec::new());
            assert!(http2.receive(&frames, &mut Vec::new(), &mut Received::default()).is_err());
        }
    }

    #[test]
    fn a_status_is_read_in_each_form() {
        for (fields, expected) in [
            (&[0x88][..], 200),
            (&[0x8D], 404),
            (&[0x20, 0x88], 200),
            (&[0x08, 3, b'5', b'0', b'3'], 503),
            // 401 as the RFC's own code has it: 011010 00000 00001.
            (&[0x48, 0x82, 0b0110_1000, 0b0000_0001], 401),
            // 502: 011011 00000 00010.
            (&[0x48, 0x82, 0b0110_1100, 0b0000_0010], 502),
            (&[0xBE], 0),
            (&[], 0),
        ] {
            assert_eq!(status(fields), expected, "{fields:x?}");
        }
    }
}
