//! Bodies both ways: streamed as they come, counted, bounded, with deadlines.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use keyward_core::verdict::{Denial, Reason};

use crate::{
    record::Ticket,
    upstream::{Call, Framing},
    watchdog::{Deadline, Watch},
    wire::answer::BadAnswer,
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
        };
        Box::new(Denial::new(reason, detail))
    }
}

/// A request body as it comes from the client.
pub(crate) struct ClientBody {
    incoming: Incoming,
    /// How long the next piece may take, where the stream under the parser does not see to it: in HTTP/2, one slow
    /// body among others leaves the connection busy.
    patience: Option<Patience>,
}

struct Patience {
    watch: Watch,
    stall: Duration,
    waiting: bool,
}

impl ClientBody {
    /// A body; `patience` for one of HTTP/2.
    pub(crate) fn new(incoming: Incoming, patience: Option<(Watch, Duration)>) -> Self {
        let patience = patience.map(|(watch, stall)| Patience { watch, stall, waiting: false });
        Self { incoming, patience }
    }

    /// The next piece; trailers are its end, because they could carry fields that were never decided on.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, UploadFault>>> {
        let poll = Pin::new(&mut self.incoming).poll_frame(cx);
        if let Some(patience) = &mut self.patience {
            if poll.is_pending() && !std::mem::replace(&mut patience.waiting, true) {
                patience.watch.arm(patience.stall);
            }
            if poll.is_pending() && patience.watch.overdue(cx) {
                return Poll::Ready(Some(Err(UploadFault::Stalled)));
            }
            patience.waiting = poll.is_pending();
        }
        match ready!(poll) {
            Some(Ok(frame)) => Poll::Ready(frame.into_data().ok().map(Ok)),
            Some(Err(_)) => Poll::Ready(Some(Err(UploadFault::Broken))),
            None => Poll::Ready(None),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// What the halves of an exchange tell each other about the request body.
#[derive(Default)]
pub(crate) struct UploadState {
    pub(crate) bytes: Cell<u64>,
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
            Self::Stream { body, .. } if body.is_end_stream() => None,
            Self::Stream { body, .. } => {
                Some(body.size_hint().exact().map_or(Framing::Chunked, Framing::Length))
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
}

/// An answer on its way to the client.
pub(crate) struct Answer {
    source: AnswerSource,
    /// The deadline by which the client must take the next piece, where the stream under the parser does not see to it.
    taken: Option<(Deadline, Duration)>,
    /// Whether something was given since the client's side last had nothing to do but flush.
    fresh: bool,
    fault: Option<AnswerFault>,
    ticket: Option<Ticket>,
}

enum AnswerSource {
    Own(Option<Bytes>),
    Upstream {
        /// Given back when the answer has ended.
        call: Option<Box<Call>>,
        /// Whether the client takes the end of its connection for the end of the answer (HTTP/1.0).
        until_close: bool,
    },
}

impl Answer {
    /// An answer of ours.
    pub(crate) fn own(body: Bytes, ticket: Ticket) -> Self {
        Self::new(AnswerSource::Own(Some(body).filter(|b| !b.is_empty())), Some(ticket))
    }

    /// The head alone: the record is kept elsewhere.
    pub(crate) fn empty() -> Self {
        Self::new(AnswerSource::Own(None), None)
    }

    /// An upstream's, passed on as it comes; `until_close` where the client takes the end of its connection for the end.
    pub(crate) fn relay(call: Box<Call>, until_close: bool, ticket: Ticket) -> Self {
        Self::new(AnswerSource::Upstream { call: Some(call), until_close }, Some(ticket))
    }

    fn new(source: AnswerSource, ticket: Option<Ticket>) -> Self {
        Self { source, taken: None, fresh: false, fault: None, ticket }
    }

    /// Ends the exchange when the client takes nothing for `limit`.
    pub(crate) fn taken_within(&mut self, deadline: Deadline, limit: Duration) {
        deadline.arm(limit);
        self.taken = Some((deadline, limit));
    }

    /// What follows a fault closes the connection. A client that would take this for the end of the answer gets a reset.
    fn broken(&self, fault: AnswerFault) -> AnswerFault {
        if let (AnswerSource::Upstream { until_close: true, .. }, Some(ticket)) =
            (&self.source, &self.ticket)
        {
            ticket.in_flight.cut();
        }
        fault
    }

    fn count(&mut self, bytes: usize) {
        if let Some(ticket) = &mut self.ticket {
            ticket.sums.bytes_out += u64::try_from(bytes).unwrap_or_default();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = AnswerFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
        let this = &mut *self;
        let call = match &mut this.source {
            AnswerSource::Own(body) => {
                let body = body.take();
                this.count(body.as_ref().map_or(0, Bytes::len));
                return Poll::Ready(body.map(|bytes| Ok(Frame::data(bytes))));
            }
            AnswerSource::Upstream { call: Some(call), .. } => call,
            AnswerSource::Upstream { call: None, .. } => return Poll::Ready(None),
        };
        if let Some(fault) = this.fault.take() {
            return Poll::Ready(Some(Err(this.broken(fault))));
        }
        let poll = call.poll_frame(cx);
        if let Some((deadline, limit)) = &this.taken {
            // Being asked, the client has room: now the upstream is waited for, or the client again.
            if poll.is_pending() { deadline.disarm() } else { deadline.arm(*limit) }
        }
        match poll {
            Poll::Pending => this.fresh = false,
            Poll::Ready(Some(Ok(ref frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.fresh = true;
                this.count(bytes);
            }
            Poll::Ready(Some(Err(fault))) if this.fresh => {
                // The client gets what came before the fault: what was not flushed yet would go with the connection.
                this.fault = Some(fault);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Some(Err(fault))) => {
                return Poll::Ready(Some(Err(this.broken(fault))));
            }
            Poll::Ready(None) => {}
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            AnswerSource::Own(body) => body.is_none(),
            AnswerSource::Upstream { call, .. } => {
                call.as_ref().is_none_or(|call| call.has_ended())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            AnswerSource::Own(body) => SizeHint::with_exact(
                body.as_ref().map_or(0, |b| u64::try_from(b.len()).unwrap_or(0)),
            ),
            AnswerSource::Upstream { call, .. } => call
                .as_ref()
                .map_or(Some(0), |call| call.left())
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let AnswerSource::Upstream { call, .. } = &mut self.source else { return };
        if let (Some(call), Some(ticket)) = (call.take(), &self.ticket) {
            ticket.worker().keep_watch(call.finish());
        }
    }
}
