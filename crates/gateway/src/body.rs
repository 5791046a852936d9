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

use crate::{
    record::Ticket,
    upstream::Lease,
    watchdog::{Deadline, Watch},
};

/// Why a request body did not reach its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UploadFault {
    #[error("the request body is larger than allowed")]
    TooLarge,
    #[error("the client broke off its request body")]
    Broken,
}

/// What the halves of an exchange tell each other about the request body.
#[derive(Default)]
pub(crate) struct UploadState {
    pub(crate) bytes: Cell<u64>,
    pub(crate) fault: Cell<Option<UploadFault>>,
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
    answer: Option<(Deadline, Duration)>,
}

enum Source {
    Stream(Incoming),
    Whole(Option<Bytes>),
}

impl Upload {
    /// A body that is forwarded as it comes, up to `most` bytes.
    pub(crate) fn stream(incoming: Incoming, most: u64, state: Rc<UploadState>) -> Self {
        Self { source: Source::Stream(incoming), left: most, state, answer: None }
    }

    /// A body that was read, and counted, to decide on.
    pub(crate) fn whole(bytes: Bytes, state: Rc<UploadState>) -> Self {
        let whole = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self { source: Source::Whole(whole), left: u64::MAX, state, answer: None }
    }

    /// What is told of the body to the rest of the exchange.
    pub(crate) fn state(&self) -> Rc<UploadState> {
        self.state.clone()
    }

    /// Every piece that is sent moves the upstream's deadline for its first byte.
    pub(crate) fn moves(&mut self, deadline: Deadline, limit: Duration) {
        if !self.is_end_stream() {
            self.answer = Some((deadline, limit));
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
        let frame = match &mut this.source {
            Source::Whole(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Source::Stream(incoming) => ready!(Pin::new(incoming).poll_frame(cx)),
        };
        if let Some((deadline, limit)) = &this.answer {
            deadline.arm(*limit);
        }
        let fault = match frame {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else {
                    // Request trailers could carry fields that were never decided on: they end here.
                    return Poll::Ready(None);
                };
                let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
                this.state.count(data.len());
                match this.left.checked_sub(size) {
                    Some(left) => {
                        this.left = left;
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    None => UploadFault::TooLarge,
                }
            }
            Some(Err(_)) => UploadFault::Broken,
        };
        this.state.fault.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Stream(incoming) => incoming.is_end_stream(),
            Source::Whole(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Stream(incoming) => incoming.size_hint(),
            Source::Whole(bytes) => SizeHint::with_exact(
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
            ticket: Some(ticket),
        }
    }

    /// The head alone: the record is kept elsewhere.
    pub(crate) fn empty() -> Self {
        Self { source: AnswerSource::Own(None), ticket: None }
    }

    /// An upstream's.
    pub(crate) fn relay(relay: Relay, ticket: Ticket) -> Self {
        relay.arm();
        Self { source: AnswerSource::Upstream(Box::new(relay)), ticket: Some(ticket) }
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
        let frame = match Pin::new(&mut relay.incoming).poll_frame(cx) {
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
