//! An upstream's answer.

use super::{
    cuts::Cuts,
    naive::{self, Answer, AnswerFraming, Body, BodyEnd, Field},
    text,
};
use crate::wire::{
    answer::{BadAnswer, Content, HEAD_BYTES, Head, HeadReader, Media, Next, fields},
    fields::Name,
};

/// What came of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// The last is final, unless the stream ended before it.
    heads: Vec<Answer>,
    content: Vec<u8>,
    trailers: Vec<Field>,
    /// So many bytes were taken.
    taken: usize,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All of it came.
    Whole,
    /// It ends with its connection.
    Open,
    /// More is to come.
    Unfinished,
    /// More of a head is to come, and only when it is there can be said whether it is one.
    Head,
    Bad,
}

/// Four bytes say how it comes, the lowest bit of one whether it answers a HEAD request, the rest is the stream.
pub fn answer(input: &[u8]) {
    let Some((cuts, rest)) = Cuts::split(input) else { return };
    let Some((flags, stream)) = rest.split_first() else { return };
    let of_head_request = flags & 1 == 1;
    let (outcome, bad) = Call::new(of_head_request).read(stream, Cuts::NONE);
    let mut other = Call::new(of_head_request);
    other.reads_another_before();
    assert_eq!(other.read(stream, cuts), (outcome.clone(), bad), "by how it is cut");
    let expected = read(stream, of_head_request);
    match (expected.end, outcome.end) {
        // Half a head can be bad already.
        (End::Head, End::Bad) => assert_eq!(outcome.heads, expected.heads),
        (End::Bad, End::Bad) => {
            assert_eq!(
                (outcome.heads, outcome.content, outcome.trailers),
                (expected.heads, expected.content, expected.trailers)
            );
        }
        (End::Unfinished, _) => {
            // Of framing, the naive reader takes nothing before all is there.
            assert_eq!(Outcome { taken: expected.taken, ..outcome }, expected);
        }
        _ => assert_eq!(outcome, expected),
    }
}

/// Takes an answer as the upstream's side does.
struct Call {
    reader: HeadReader,
    of_head_request: bool,
    body: Option<Content>,
    outcome: Outcome,
}

impl Call {
    fn new(of_head_request: bool) -> Self {
        let (content, trailers) = (vec![], vec![]);
        let outcome = Outcome { heads: vec![], content, trailers, taken: 0, end: End::Head };
        Self { reader: HeadReader::default(), of_head_request, body: None, outcome }
    }

    /// A reader that was used, and one whose head broke off, read the next head like new ones.
    fn reads_another_before(&mut self) {
        for other in [&b"HTTP/1.1 204 No\r\nUpgrade: a\r\nContent-Length: 7\r\n\r\n"[..], b"HTTP/"]
        {
            assert!(self.reader.read(other).is_ok());
            self.reader.begin();
        }
    }

    fn read(mut self, stream: &[u8], cuts: Cuts) -> (Outcome, Option<BadAnswer>) {
        for arrived in cuts.arrivals(stream.len()) {
            loop {
                match self.step(&stream[self.outcome.taken..arrived]) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(bad) => {
                        self.outcome.end = End::Bad;
                        return (self.outcome, Some(bad));
                    }
                }
            }
        }
        if let Some(body) = &self.body {
            self.outcome.end = match body.has_ended() {
                true => End::Whole,
                false if body.ends_with_connection() => End::Open,
                false => End::Unfinished,
            };
        }
        (self.outcome, None)
    }

    /// Whether another step is to be taken on what is there.
    fn step(&mut self, held: &[u8]) -> Result<bool, BadAnswer> {
        let Some(body) = &mut self.body else { return self.head(held) };
        let left = body.left();
        let taken = match body.next(held)? {
            Next::Data(taken) => {
                self.outcome.content.extend_from_slice(&held[..taken]);
                if let (Content::Length(_), Some(left)) = (&*body, left) {
                    assert_eq!(body.left(), Some(left - taken as u64));
                }
                taken
            }
            Next::Skip(taken) => {
                assert!(held[..taken].ends_with(b"\r\n"));
                taken
            }
            Next::Trailer(taken) => {
                let mut lines = fields(&held[..taken]);
                let (name, value) = lines.next().expect("a trailer is a field");
                assert!(lines.next().is_none(), "a trailer is one field");
                self.outcome.trailers.push((text(name), text(value)));
                taken
            }
            Next::More => {
                assert!(held.len() < 4096, "{} bytes are held back", held.len());
                assert!(!body.has_ended());
                return Ok(false);
            }
            Next::End => {
                assert!(body.has_ended() && body.left() == Some(0));
                for more in [held, b"", b"1\r\na\r\n0\r\n\r\n"] {
                    assert_eq!(body.next(more), Ok(Next::End), "it had ended");
                }
                return Ok(false);
            }
        };
        assert!((1..=held.len()).contains(&taken), "{taken} of {} bytes", held.len());
        self.outcome.taken += taken;
        Ok(true)
    }

    fn head(&mut self, held: &[u8]) -> Result<bool, BadAnswer> {
        let Some((length, head)) = self.reader.read(held)? else {
            assert!(held.len() < HEAD_BYTES, "{} bytes are held back", held.len());
            return Ok(false);
        };
        let body = head.content(self.of_head_request);
        let said = self.said(&head, &held[..length], &body);
        self.check_fields(&held[..length], &said.fields);
        self.outcome.heads.push(said);
        self.outcome.taken += length;
        match head.is_interim() {
            true => self.reader.begin(),
            false => self.body = Some(body),
        }
        Ok(true)
    }

    /// What is known of a head, as text.
    fn said(&self, head: &Head, bytes: &[u8], body: &Content) -> Answer {
        let Head { status, http11, length, media, coded, .. } = *head;
        assert_eq!(head.streams, media == Media::Events);
        let fields = self.reader.fields().iter();
        let fields = fields.map(|field| (text(field.name(bytes)), text(field.value(bytes))));
        let framing = match body {
            Content::Length(length) => AnswerFraming::Length(*length),
            Content::Chunked(_) => AnswerFraming::Chunked,
            Content::UntilClose => AnswerFraming::UntilClose,
        };
        let keeps = head.keeps_connection();
        Answer { status, http11, length, media, coded, keeps, framing, fields: fields.collect() }
    }

    /// Every field is found by its name, and by what it is.
    fn check_fields(&self, bytes: &[u8], expected: &[Field]) {
        let known = self.reader.fields();
        for name in expected.iter().map(|(name, _)| name) {
            let values = known.values(bytes, name).map(text);
            assert_eq!(values.collect::<Vec<_>>(), naive::values(expected, name));
        }
        for (name, is) in [("connection", Name::Connection), ("date", Name::Date)] {
            let values: Vec<_> = known.of(is).map(|field| text(field.value(bytes))).collect();
            assert_eq!(values, naive::values(expected, name));
            assert_eq!(known.has(is), !values.is_empty());
        }
    }
}

/// The same, the naive way.
fn read(stream: &[u8], of_head_request: bool) -> Outcome {
    let (content, trailers) = (vec![], vec![]);
    let mut outcome = Outcome { heads: vec![], content, trailers, taken: 0, end: End::Head };
    let head = loop {
        let rest = &stream[outcome.taken..];
        let Some(end) = naive::head_end(rest) else { return outcome };
        let Some(head) = naive::answer(&rest[..end], of_head_request) else {
            outcome.end = End::Bad;
            return outcome;
        };
        outcome.taken += end;
        outcome.heads.push(head.clone());
        if head.status >= 200 || head.status == 101 {
            break head;
        }
    };
    let rest = &stream[outcome.taken..];
    let (content, taken, end) = match head.framing {
        AnswerFraming::Length(length) => match usize::try_from(length) {
            Ok(length) if length <= rest.len() => (&rest[..length], length, End::Whole),
            _ => (rest, rest.len(), End::Unfinished),
        },
        AnswerFraming::UntilClose => (rest, rest.len(), End::Open),
        AnswerFraming::Chunked => {
            let Body { content, trailers, end } = naive::chunked(rest, 128);
            (outcome.content, outcome.trailers) = (content, trailers);
            (outcome.taken, outcome.end) = match end {
                BodyEnd::Whole(length) => (outcome.taken + length, End::Whole),
                BodyEnd::Unfinished => (outcome.taken, End::Unfinished),
                BodyEnd::Refused => (outcome.taken, End::Bad),
            };
            return outcome;
        }
    };
    outcome.content = content.to_vec();
    outcome.taken += taken;
    outcome.end = end;
    outcome
}
