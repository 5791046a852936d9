//! Bodies both ways: streamed as they come, counted, bounded, with deadlines.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::Body as _;
use hyper::body::Incoming;
use keyward_core::verdict::{Denial, Reason};

use crate::{
    guard,
    meter::{Meter, Passed},
    record::Ticket,
    upstream::{Call, Framing},
    watchdog::Watch,
    wire::{
        answer::BadAnswer,
        client::{ClientWire, WireFault},
    },
    worker::Held,
};

/// Why a request body did not reach its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UploadFault {
    #[error("the request body is larger than allowed")]
    TooLarge,
    #[error("the client broke off its request body")]
    Broken,
    #[error("the client stopped sending its request body")]
    Stalled,
    #[error("the request body broke a rule of the wire: {0:?}")]
    Wire(WireFault),
}

impl UploadFault {
    /// What the client is told of it.
    pub(crate) fn denial(self) -> Box<Denial> {
        let (reason, detail) = match self {
            Self::TooLarge => {
                (Reason::BodyTooLarge, "The body is larger than this endpoint takes.")
            }
            Self::Broken => (Reason::BadRequest, "The request body broke off before its end."),
            Self::Stalled => (Reason::RequestTimeout, "The request body did not arrive in time."),
            Self::Wire(fault) => return Box::new(guard::wire_denial(fault)),
        };
        Box::new(Denial::new(reason, detail))
    }
}

/// A request body as it comes from the client.
///
/// Its pieces are lent: whoever waited for one reads it where it lies, and says how much of it is not needed any more.
pub(crate) enum ClientBody {
    /// HTTP/1.1's, read from the connection it shares.
    Http1(Rc<RefCell<ClientWire>>),
    /// A stream's of HTTP/2.
    Http2 { incoming: Incoming, piece: Bytes, patience: Option<Patience> },
}

/// How long the next piece may take: in HTTP/2, one slow body among others leaves the connection busy.
pub(crate) struct Patience {
    watch: Watch,
    stall: Duration,
    waiting: bool,
}

impl Patience {
    pub(crate) fn new(watch: Watch, stall: Duration) -> Self {
        Self { watch, stall, waiting: false }
    }

    fn is_over<T>(&mut self, cx: &Context<'_>, poll: &Poll<T>) -> bool {
        if poll.is_pending() && !std::mem::replace(&mut self.waiting, true) {
            self.watch.arm(self.stall);
        }
        self.waiting = poll.is_pending();
        poll.is_pending() && self.watch.overdue(cx)
    }
}

impl ClientBody {
    /// A stream's of HTTP/2.
    pub(crate) fn of_http2(incoming: Incoming, patience: Option<Patience>) -> Self {
        Self::Http2 { incoming, piece: Bytes::new(), patience }
    }

    /// Waits for the next piece, and says how long it is. Trailers are the body's end, because they could carry fields that were never
    /// decided on.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<usize, UploadFault>>> {
        let (incoming, piece, patience) = match self {
            Self::Http1(wire) => {
                let poll = wire.borrow_mut().poll_piece(cx);
                return poll.map_err(|_| match wire.borrow().fault() {
                    Some(fault) => UploadFault::Wire(fault),
                    None => UploadFault::Broken,
                });
            }
            Self::Http2 { incoming, piece, patience } => (incoming, piece, patience),
        };
        while piece.is_empty() {
            let poll = Pin::new(&mut *incoming).poll_frame(cx);
            if patience.as_mut().is_some_and(|patience| patience.is_over(cx, &poll)) {
                return Poll::Ready(Some(Err(UploadFault::Stalled)));
            }
            *piece = match ready!(poll).map(|frame| frame.map(http_body::Frame::into_data)) {
                Some(Ok(Ok(data))) => data,
                Some(Ok(Err(_))) | None => return Poll::Ready(None),
                Some(Err(_)) => return Poll::Ready(Some(Err(UploadFault::Broken))),
            };
        }
        Poll::Ready(Some(Ok(piece.len())))
    }

    /// Reads the piece that was waited for.
    pub(crate) fn with_piece<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Http1(wire) => read(wire.borrow().piece()),
            Self::Http2 { piece, .. } => read(piece),
        }
    }

    /// So many bytes of the piece are not needed any more.
    pub(crate) fn take(&mut self, count: usize) {
        match self {
            Self::Http1(wire) => wire.borrow_mut().take(count),
            Self::Http2 { piece, .. } => piece.advance(count.min(piece.len())),
        }
    }

    /// Whether no more of it is to come.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Http1(wire) => wire.borrow().body_has_ended(),
            Self::Http2 { incoming, piece, .. } => piece.is_empty() && incoming.is_end_stream(),
        }
    }

    /// How much of it is to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Http1(wire) => wire.borrow().body_left(),
            Self::Http2 { incoming, piece, .. } => {
                let left = incoming.size_hint().exact()?;
                Some(left.saturating_add(count(piece)))
            }
        }
    }
}

/// What the halves of an exchange tell each other about the request body.
#[derive(Default)]
pub(crate) struct UploadState {
    pub(crate) bytes: Cell<u64>,
    /// Whether all of the request left for the upstream.
    pub(crate) sent: Cell<bool>,
}

impl UploadState {
    /// More of the body came.
    pub(crate) fn count(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }
}

/// A request body on its way to the upstream.
pub(crate) enum Upload {
    /// It is forwarded as it comes.
    Stream {
        body: ClientBody,
        /// Bytes that may still come.
        left: u64,
        state: Rc<UploadState>,
    },
    /// It was read, and counted, to decide on; so many bytes of it are sent.
    Whole { body: Held, sent: usize },
}

impl Upload {
    /// A body that is forwarded as it comes, up to `most` bytes.
    pub(crate) fn stream(body: ClientBody, most: u64, state: Rc<UploadState>) -> Self {
        Self::Stream { body, left: most, state }
    }

    /// A body that was read, and counted, to decide on.
    pub(crate) fn whole(body: Held) -> Self {
        Self::Whole { body, sent: 0 }
    }

    /// All of it, where it was read.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Whole { body, .. } => {
                Some(body).filter(|body| !body.is_empty()).map(|body| &**body)
            }
            Self::Stream { .. } => None,
        }
    }

    /// Puts another in the place of one that was read.
    pub(crate) fn replace(&mut self, with: &[u8]) {
        if let Self::Whole { body, .. } = self {
            body.replace(with);
        }
    }

    /// How long it is, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.framing() {
            Some(Framing::Length(length)) => Some(length),
            Some(Framing::Chunked) => None,
            None => Some(0),
        }
    }

    /// What is still to come from the client, for who is refused after all.
    pub(crate) fn into_stream(self) -> Option<ClientBody> {
        match self {
            Self::Stream { body, .. } => Some(body),
            Self::Whole { .. } => None,
        }
    }

    /// Waits for the next piece, and says how long it is.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<usize, UploadFault>>> {
        let (body, left) = match self {
            Self::Whole { body, sent } => {
                let left = body.len().saturating_sub(*sent);
                return Poll::Ready(Some(left).filter(|left| *left > 0).map(Ok));
            }
            Self::Stream { body, left, .. } => (body, left),
        };
        match ready!(body.poll_piece(cx)) {
            Some(Ok(length)) if u64::try_from(length).unwrap_or(u64::MAX) > *left => {
                Poll::Ready(Some(Err(UploadFault::TooLarge)))
            }
            piece => Poll::Ready(piece),
        }
    }

    /// Reads the piece that was waited for.
    pub(crate) fn with_piece<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Whole { body, sent } => read(body.get(*sent..).unwrap_or_default()),
            Self::Stream { body, .. } => body.with_piece(read),
        }
    }

    /// So many bytes of the piece are not needed any more.
    pub(crate) fn take(&mut self, count: usize) {
        match self {
            Self::Whole { sent, .. } => *sent += count,
            Self::Stream { body, left, state } => {
                state.count(count);
                *left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
                body.take(count);
            }
        }
    }

    /// How the upstream is told where it ends; nothing where there is no body.
    pub(crate) fn framing(&self) -> Option<Framing> {
        match self {
            Self::Whole { body, .. } if body.is_empty() => None,
            Self::Whole { body, .. } => Some(Framing::Length(count(body))),
            Self::Stream { body, .. } if body.has_ended() => None,
            Self::Stream { body, .. } => {
                Some(body.left().map_or(Framing::Chunked, Framing::Length))
            }
        }
    }
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Why an answer does not come to its end. The client's connection is broken off then: it must never take a part for the whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerFault {
    #[error("the upstream broke off its answer: {0}")]
    Broken(io::Error),
    #[error("the upstream's answer is malformed: {0}")]
    Bad(BadAnswer),
    #[error("the client broke off its request")]
    Upload,
    #[error("the upstream stopped in the middle of its answer")]
    Stalled,
    #[error("a limit of the client's has no room for more, and the answer no place to say so")]
    Limited,
}

/// The content of an answer on its way to the client. The request is recorded when it is dropped.
///
/// Its pieces are lent, as those of a [`ClientBody`].
pub(crate) struct Answer {
    source: Source,
    /// So many bytes of the upstream's piece were metered, and may pass.
    passed: usize,
    /// What the client gets instead of a piece, and how much of that was taken.
    instead: (Vec<u8>, usize),
    ticket: Option<Ticket>,
}

enum Source {
    /// Ours, and how much of it was taken.
    Own(Box<[u8]>, usize),
    /// An upstream's, passed on as it comes.
    Upstream(Box<Call>),
    /// It has ended, or there is none.
    Nothing,
}

/// What comes next of an answer.
pub(crate) enum Piece {
    /// So many bytes of content.
    Data(usize),
    /// What ends it.
    Trailers(Box<HeaderMap>),
}

impl Answer {
    fn of(source: Source, ticket: Option<Ticket>) -> Self {
        Self { source, passed: 0, instead: (Vec::new(), 0), ticket }
    }

    /// An answer of ours.
    pub(crate) fn own(body: Box<[u8]>, ticket: Ticket) -> Self {
        Self::of(Source::Own(body, 0), Some(ticket))
    }

    /// The record is kept elsewhere.
    pub(crate) fn empty() -> Self {
        Self::of(Source::Nothing, None)
    }

    /// An upstream's.
    pub(crate) fn relay(call: Box<Call>, ticket: Ticket) -> Self {
        Self::of(Source::Upstream(call), Some(ticket))
    }

    /// Whether it is one of ours.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.source, Source::Own(..))
    }

    /// Waits for the next piece, and says how long it is; or for the trailers.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Piece, AnswerFault>>> {
        while self.piece().is_empty() {
            let Self { source, passed, instead, ticket } = self;
            let Source::Upstream(call) = source else { return Poll::Ready(None) };
            let Poll::Ready(piece) = call.poll_piece(cx) else {
                if let Some(ticket) = ticket {
                    ticket.lasts();
                }
                return Poll::Pending;
            };
            let meter = ticket.as_mut().and_then(|ticket| ticket.meter.as_mut());
            match piece {
                Some(Ok(Piece::Data(length))) => {
                    match meter.map(|meter| meter.pass(call.piece())) {
                        Some(Passed::Instead(others)) => {
                            call.take(length);
                            *instead = (others, 0);
                        }
                        Some(Passed::AsItIs) | None => *passed = length,
                    }
                }
                None => match meter.and_then(|meter| meter.rest()) {
                    Some(rest) => *instead = (rest, 0),
                    None => return Poll::Ready(None),
                },
                ended => return Poll::Ready(ended),
            }
            if self.piece().is_empty() {
                // All of it was taken out, or waits for its end.
                continue;
            }
            if let Some((whole, ending)) =
                self.ticket.as_mut().map_or(Ok(None), |ticket| ticket.ending())?
            {
                let piece = self.piece().get(..whole).unwrap_or_default();
                self.instead = ([piece, ending.as_bytes()].concat(), 0);
                self.end();
            }
        }
        Poll::Ready(Some(Ok(Piece::Data(self.piece().len()))))
    }

    /// The piece that was waited for.
    pub(crate) fn piece(&self) -> &[u8] {
        let (instead, taken) = &self.instead;
        match (&self.source, instead.get(*taken..).unwrap_or_default()) {
            (Source::Own(body, taken), _) => body.get(*taken..).unwrap_or_default(),
            (Source::Upstream(call), []) => call.piece().get(..self.passed).unwrap_or_default(),
            (_, instead) => instead,
        }
    }

    /// So many bytes of the piece are not needed any more.
    pub(crate) fn take(&mut self, count: usize) {
        let Self { source, passed, instead: (instead, taken), ticket } = self;
        if let Some(ticket) = ticket {
            ticket.sums.bytes_out += u64::try_from(count).unwrap_or_default();
        }
        match source {
            Source::Own(_, taken) => *taken += count,
            Source::Upstream(call) if *taken == instead.len() => {
                call.take(count);
                *passed = passed.saturating_sub(count);
            }
            _ => *taken = instead.len().min(*taken + count),
        }
    }

    /// What the upstream goes on to say is not waited for.
    fn end(&mut self) {
        self.passed = 0;
        let source = std::mem::replace(&mut self.source, Source::Nothing);
        if let (Source::Upstream(call), Some(ticket)) = (source, &mut self.ticket) {
            ticket.stretch = None;
            call.finish();
        }
    }

    /// Lets the rest of the request go on while nobody takes the answer.
    pub(crate) fn send_on(&mut self, cx: &mut Context<'_>) -> Result<(), ()> {
        match &mut self.source {
            Source::Upstream(call) => call.send_on(cx),
            _ => Ok(()),
        }
    }

    /// Whether no more of it is to come.
    pub(crate) fn has_ended(&self) -> bool {
        self.piece().is_empty()
            && match &self.source {
                Source::Upstream(call) => {
                    call.has_ended() && !self.meter().is_some_and(Meter::holds)
                }
                Source::Own(..) | Source::Nothing => true,
            }
    }

    /// How much of it is to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match &self.source {
            // What is taken out, or left off, is not known before.
            Source::Upstream(_) if self.may_end_otherwise() && !self.has_ended() => None,
            Source::Upstream(call) => call.left(),
            Source::Own(..) | Source::Nothing => Some(count(self.piece())),
        }
    }

    /// Whether something may be taken out of it, or it may be ended early.
    fn may_end_otherwise(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.may_end_otherwise())
    }

    fn meter(&self) -> Option<&Meter> {
        self.ticket.as_ref().and_then(|ticket| ticket.meter.as_deref())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Nothing);
        if let (Source::Upstream(call), Some(ticket)) = (source, &mut self.ticket) {
            if let Some(meter) = ticket.meter.as_mut().filter(|_| call.has_come()) {
                meter.ended();
            }
            call.finish();
        }
    }
}
