//! Bodies both ways: streamed as they come, counted, bounded, with deadlines.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use keyward_core::verdict::{Denial, Reason};

use crate::{
    guard,
    meter::Meter,
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
pub(crate) enum ClientBody {
    /// HTTP/1.1's, read from the connection it shares.
    Http1(Rc<RefCell<ClientWire>>),
    /// A stream's of HTTP/2.
    Http2 { incoming: Incoming, patience: Option<Patience> },
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
    /// The next piece; trailers are its end, because they could carry fields that were never decided on.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, UploadFault>>> {
        let (incoming, patience) = match self {
            Self::Http1(wire) => {
                let poll = wire.borrow_mut().poll_body(cx);
                return poll.map_err(|_| match wire.borrow().fault() {
                    Some(fault) => UploadFault::Wire(fault),
                    None => UploadFault::Broken,
                });
            }
            Self::Http2 { incoming, patience } => (incoming, patience),
        };
        let poll = Pin::new(incoming).poll_frame(cx);
        if patience.as_mut().is_some_and(|patience| patience.is_over(cx, &poll)) {
            return Poll::Ready(Some(Err(UploadFault::Stalled)));
        }
        match ready!(poll) {
            Some(Ok(frame)) => Poll::Ready(frame.into_data().ok().map(Ok)),
            Some(Err(_)) => Poll::Ready(Some(Err(UploadFault::Broken))),
            None => Poll::Ready(None),
        }
    }

    /// Whether no more of it is to come.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Http1(wire) => wire.borrow().body_has_ended(),
            Self::Http2 { incoming, .. } => incoming.is_end_stream(),
        }
    }

    /// How much of it is to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Http1(wire) => wire.borrow().body_left(),
            Self::Http2 { incoming, .. } => incoming.size_hint().exact(),
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
    /// It was read, and counted, to decide on; with the room it takes, until it is sent.
    Whole(Option<Bytes>, #[expect(dead_code, reason = "gives back its room when dropped")] Held),
}

impl Upload {
    /// A body that is forwarded as it comes, up to `most` bytes.
    pub(crate) fn stream(body: ClientBody, most: u64, state: Rc<UploadState>) -> Self {
        Self::Stream { body, left: most, state }
    }

    /// A body that was read, and counted, to decide on.
    pub(crate) fn whole(bytes: Bytes, held: Held) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()), held)
    }

    /// All of it, where it was read.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(bytes, _) => bytes.as_ref(),
            Self::Stream { .. } => None,
        }
    }

    /// Puts another in the place of one that was read.
    pub(crate) fn replace(&mut self, with: Bytes) {
        if let Self::Whole(bytes, _) = self {
            *bytes = Some(with);
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

    /// The next piece.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, UploadFault>>> {
        let (body, left, state) = match self {
            Self::Whole(bytes, _) => return Poll::Ready(bytes.take().map(Ok)),
            Self::Stream { body, left, state } => (body, left, state),
        };
        let piece = ready!(body.poll_piece(cx));
        if let Some(Ok(data)) = &piece {
            state.count(data.len());
            match left.checked_sub(u64::try_from(data.len()).unwrap_or(u64::MAX)) {
                Some(rest) => *left = rest,
                None => return Poll::Ready(Some(Err(UploadFault::TooLarge))),
            }
        }
        Poll::Ready(piece)
    }

    /// How the upstream is told where it ends; nothing where there is no body.
    pub(crate) fn framing(&self) -> Option<Framing> {
        match self {
            Self::Whole(None, _) => None,
            Self::Whole(Some(bytes), _) => {
                Some(Framing::Length(u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
            }
            Self::Stream { body, .. } if body.has_ended() => None,
            Self::Stream { body, .. } => {
                Some(body.left().map_or(Framing::Chunked, Framing::Length))
            }
        }
    }
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
pub(crate) struct Answer {
    source: Source,
    ticket: Option<Ticket>,
}

enum Source {
    /// Ours.
    Own(Option<Bytes>),
    /// An upstream's, passed on as it comes.
    Upstream(Box<Call>),
    /// It has ended, or there is none.
    Nothing,
}

impl Answer {
    /// An answer of ours.
    pub(crate) fn own(body: Bytes, ticket: Ticket) -> Self {
        Self { source: Source::Own(Some(body)), ticket: Some(ticket) }
    }

    /// The record is kept elsewhere.
    pub(crate) fn empty() -> Self {
        Self { source: Source::Nothing, ticket: None }
    }

    /// An upstream's.
    pub(crate) fn relay(call: Box<Call>, ticket: Ticket) -> Self {
        Self { source: Source::Upstream(call), ticket: Some(ticket) }
    }

    /// Whether it is one of ours.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.source, Source::Own(_))
    }

    /// The next piece, or the trailers.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
        let mut frame = match &mut self.source {
            Source::Own(body) => body.take().map(|body| Ok(Frame::data(body))),
            Source::Upstream(call) => match self.ticket.as_mut().and_then(|t| t.meter.as_mut()) {
                Some(meter) => ready!(poll_metered(call, meter, cx)),
                None => ready!(call.poll_frame(cx)),
            },
            Source::Nothing => None,
        };
        if let (Source::Upstream(_), Some(Ok(passes)), Some(ticket)) =
            (&self.source, &mut frame, &mut self.ticket)
            && let Some(piece) = passes.data_mut()
            && let Some((whole, ending)) = ticket.ending()?
        {
            piece.truncate(whole);
            *piece = [&piece[..], ending.as_bytes()].concat().into();
            self.end();
        }
        if let (Some(Ok(frame)), Some(ticket)) = (&frame, &mut self.ticket) {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            ticket.sums.bytes_out += u64::try_from(bytes).unwrap_or_default();
        }
        Poll::Ready(frame)
    }

    /// What the upstream goes on to say is not waited for.
    fn end(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Nothing);
        if let (Source::Upstream(call), Some(ticket)) = (source, &mut self.ticket) {
            ticket.stretch = None;
            ticket.worker().keep_watch(call.finish());
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
        match &self.source {
            Source::Own(body) => body.is_none(),
            Source::Upstream(call) => call.has_ended() && !self.meter().is_some_and(Meter::holds),
            Source::Nothing => true,
        }
    }

    /// How much of it is to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match &self.source {
            Source::Own(body) => {
                Some(body.as_ref().map_or(0, |body| u64::try_from(body.len()).unwrap_or(0)))
            }
            // What is taken out, or left off, is not known before.
            Source::Upstream(_) if self.may_end_otherwise() && !self.has_ended() => None,
            Source::Upstream(call) => call.left(),
            Source::Nothing => Some(0),
        }
    }

    /// Whether something may be taken out of it, or it may be ended early.
    fn may_end_otherwise(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::may_end_otherwise)
    }

    fn meter(&self) -> Option<&Meter> {
        self.ticket.as_ref().and_then(|ticket| ticket.meter.as_deref())
    }
}

/// The next piece of a metered answer.
fn poll_metered(
    call: &mut Call,
    meter: &mut Meter,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
    loop {
        let frame = match ready!(call.poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(fault)) => return Poll::Ready(Some(Err(fault))),
            None => return Poll::Ready(meter.rest().map(|rest| Ok(Frame::data(rest)))),
        };
        match frame.into_data().map(|piece| meter.pass(piece)) {
            // All of it was taken out, or waits for its end.
            Ok(piece) if piece.is_empty() => {}
            Ok(piece) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Nothing);
        if let (Source::Upstream(call), Some(ticket)) = (source, &mut self.ticket) {
            if let Some(meter) = ticket.meter.as_mut().filter(|_| call.has_ended()) {
                meter.ended();
            }
            ticket.worker().keep_watch(call.finish());
        }
    }
}
