//! Bodies both ways: streamed as they come, counted, bounded, with deadlines.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use keyward_core::verdict::{Denial, Reason};

use crate::{
    record::Ticket,
    upstream::Lease,
    watchdog::{Deadline, Watch},
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
    pub(crate) fault: Cell<Option<UploadFault>>,
    /// What the upstream has time for, counted from the last piece: first its first byte, then the next one.
    pub(crate) limit: Cell<Duration>,
}

impl UploadState {
    /// More of the body came.
    pub(crate) fn count(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }
}

/// A request body on its way to the upstream.
pub(crate) struct Upload {
    source: Source,
    /// Bytes that may still come.
    left: u64,
    state: Rc<UploadState>,
    /// The wait for the upstream's answer begins when the last piece is sent.
    answer: Option<Deadline>,
}

enum Source {
    Stream(ClientBody),
    /// With the room it takes, until it is sent.
    Whole(Option<Bytes>, #[expect(dead_code, reason = "gives back its room when dropped")] Held),
}

impl Upload {
    /// A body that is forwarded as it comes, up to `most` bytes.
    pub(crate) fn stream(body: ClientBody, most: u64, state: Rc<UploadState>) -> Self {
        Self { source: Source::Stream(body), left: most, state, answer: None }
    }

    /// A body that was read, and counted, to decide on.
    pub(crate) fn whole(bytes: Bytes, held: Held, state: Rc<UploadState>) -> Self {
        let whole = Some(bytes).filter(|bytes| !bytes.is_empty());
        let source = Source::Whole(whole, held);
        Self { source, left: u64::MAX, state, answer: None }
    }

    /// What is told of the body to the rest of the exchange.
    pub(crate) fn state(&self) -> Rc<UploadState> {
        self.state.clone()
    }

    /// Every piece that is sent moves the upstream's deadline by [`UploadState::limit`].
    pub(crate) fn moves(&mut self, deadline: Deadline) {
        if !self.is_end_stream() {
            self.answer = Some(deadline);
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        let this = &mut *self;
        let piece = match &mut this.source {
            Source::Whole(bytes, _) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Source::Stream(body) => ready!(body.poll_piece(cx)),
        };
        if let Some(deadline) = &this.answer {
            deadline.arm(this.state.limit.get());
        }
        let fault = match piece {
            None => return Poll::Ready(None),
            Some(Ok(data)) => {
                let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
                this.state.count(data.len());
                match this.left.checked_sub(size) {
                    Some(left) => {
                        this.left = left;
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    None => UploadFault::TooLarge,
                }
            }
            Some(Err(fault)) => fault,
        };
        this.state.fault.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Stream(body) => body.is_end_stream(),
            Source::Whole(bytes, _) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Stream(body) => body.size_hint(),
            Source::Whole(bytes, _) => SizeHint::with_exact(
                bytes.as_ref().map_or(0, |b| u64::try_from(b.len()).unwrap_or(0)),
            ),
        }
    }
}

/// Why an answer does not come to its end. The client's connection is broken off then: it must never take a part for the whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerFault {
    #[error("the upstream broke off its answer: {0}")]
    Broken(hyper::Error),
    #[error("the upstream stopped in the middle of its answer")]
    Stalled,
}

/// An answer on its way to the client.
pub(crate) struct Answer {
    source: AnswerSource,
    /// The deadline by which the client must take the next piece, where the stream under the parser does not see to it.
    taken: Option<(Deadline, Duration)>,
    ticket: Option<Ticket>,
}

enum AnswerSource {
    Own(Option<Bytes>),
    Upstream(Box<Relay>),
}

/// The upstream's answer, passed on as it comes.
pub(crate) struct Relay {
    pub(crate) incoming: Incoming,
    /// The connection it comes on; given back when the answer ends cleanly.
    pub(crate) lease: Option<Lease>,
    /// Whether the client takes the end of its connection for the end of the answer (HTTP/1.0).
    pub(crate) until_close: bool,
    /// Present until the answer has ended.
    pub(crate) watch: Option<Watch>,
    pub(crate) stall: Duration,
    pub(crate) ended: bool,
}

impl Relay {
    fn arm(&self) {
        if let Some(watch) = &self.watch {
            watch.arm(self.stall);
        }
    }
}

impl Answer {
    /// An answer of ours.
    pub(crate) fn own(body: Bytes, ticket: Ticket) -> Self {
        Self {
            source: AnswerSource::Own(Some(body).filter(|b| !b.is_empty())),
            taken: None,
            ticket: Some(ticket),
        }
    }

    /// The head alone: the record is kept elsewhere.
    pub(crate) fn empty() -> Self {
        Self { source: AnswerSource::Own(None), taken: None, ticket: None }
    }

    /// An upstream's.
    pub(crate) fn relay(relay: Relay, ticket: Ticket) -> Self {
        relay.arm();
        Self { source: AnswerSource::Upstream(Box::new(relay)), taken: None, ticket: Some(ticket) }
    }

    /// Ends the exchange when the client takes nothing for `limit`.
    pub(crate) fn taken_within(&mut self, deadline: Deadline, limit: Duration) {
        deadline.arm(limit);
        self.taken = Some((deadline, limit));
    }

    /// What follows a fault closes the connection. A client that would take this for the end of the answer gets a reset.
    fn broken(&self, fault: AnswerFault) -> AnswerFault {
        if let (AnswerSource::Upstream(relay), Some(ticket)) = (&self.source, &self.ticket)
            && relay.until_close
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
        let relay = match &mut this.source {
            AnswerSource::Own(body) => {
                let body = body.take();
                this.count(body.as_ref().map_or(0, Bytes::remaining));
                return Poll::Ready(body.map(|bytes| Ok(Frame::data(bytes))));
            }
            AnswerSource::Upstream(relay) => relay,
        };
        let poll = Pin::new(&mut relay.incoming).poll_frame(cx);
        if let Some((deadline, limit)) = &this.taken {
            // Being asked, the client has room: now the upstream is waited for, or the client again.
            if poll.is_pending() { deadline.disarm() } else { deadline.arm(*limit) }
        }
        let frame = match poll {
            Poll::Pending if relay.watch.as_ref().is_some_and(|watch| watch.overdue(cx)) => {
                return Poll::Ready(Some(Err(this.broken(AnswerFault::Stalled))));
            }
            Poll::Pending => return Poll::Pending,
            Poll::Ready(frame) => frame,
        };
        match frame {
            None => {
                relay.ended = true;
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                relay.arm();
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.count(bytes);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(this.broken(AnswerFault::Broken(error))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            AnswerSource::Own(body) => body.is_none(),
            AnswerSource::Upstream(relay) => relay.ended || relay.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            AnswerSource::Own(body) => SizeHint::with_exact(
                body.as_ref().map_or(0, |b| u64::try_from(b.len()).unwrap_or(0)),
            ),
            AnswerSource::Upstream(relay) => relay.incoming.size_hint(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let AnswerSource::Upstream(relay) = &mut self.source else { return };
        // Only a connection whose answer was read to its end may serve another request.
        if relay.ended || relay.incoming.is_end_stream() {
            if let Some(lease) = relay.lease.take() {
                lease.give_back();
            }
            if let (Some(ticket), Some(watch)) = (&self.ticket, relay.watch.take()) {
                // An upload that outlives its answer still moves the deadline.
                if Rc::strong_count(&ticket.upload) == 1 {
                    ticket.worker().keep_watch(watch);
                }
            }
        }
    }
}
