//! One request on one connection: sent, and its answer read, by whoever polls it. Neither side waits for the other: an answer may
//! come before its request has ended.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;

use super::{
    Lease, closed,
    sending::{Framing, SendFault, Sending},
};
use crate::{
    body::{AnswerFault, Piece, Upload, UploadFault},
    buffers::Received,
    reply,
    socket::UpstreamSocket,
    tunnel::Tunnelled,
    watchdog::Watch,
    wire::{
        answer::{self, BadAnswer, Content, HeadReader, Next},
        fields::Fields,
    },
};

/// Bytes of interim answers before the final one.
const MOST_INTERIM: usize = 64 * 1024;

/// What is to be sent.
pub(crate) struct Request {
    /// The head, its empty line included.
    pub(crate) head: Vec<u8>,
    pub(crate) upload: Upload,
    pub(crate) framing: Framing,
    /// Whether it is a HEAD request, whose answer has no content.
    pub(crate) is_head: bool,
    /// Whether sending it twice does no more than once (RFC 9110, 9.2.2).
    pub(crate) is_idempotent: bool,
    /// How long the first byte of the answer may take, from the last piece that was sent.
    pub(crate) first_byte: Duration,
    /// How long the next byte of the answer may take.
    pub(crate) stall: Duration,
}

/// A request and its answer under way.
pub(crate) struct Call {
    /// Given back, or dropped, once it is over.
    lease: Option<Lease>,
    sending: Sending,
    /// Of the answer, what was read and not taken yet.
    received: Received,
    /// So many bytes at the front are the final answer's head.
    head: usize,
    reader: HeadReader,
    /// Bytes of interim answers so far.
    interim: usize,
    /// Present once the answer's head was read.
    content: Option<Content>,
    trailers: Option<Box<HeaderMap>>,
    /// Whether the connection may serve another request.
    keeps: bool,
    is_head: bool,
    is_idempotent: bool,
    watch: Watch,
    /// What the upstream has time for: first its first byte, then the next one.
    limit: Duration,
    stall: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum CallFault {
    /// The idle connection had been closed: the request may be sent again, see [`Call::again_on`].
    Stale,
    /// The upstream was silent for too long.
    Timeout,
    /// It is the client's: its body did not come to its end.
    Upload(UploadFault),
    /// The connection broke before the answer.
    Io(io::Error),
    /// What came is none.
    Bad(BadAnswer),
}

impl Call {
    /// A call for [`Call::begin`].
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            lease: None,
            sending: Sending::default(),
            received: Received::default(),
            head: 0,
            reader: HeadReader::default(),
            interim: 0,
            content: None,
            trailers: None,
            keeps: false,
            is_head: false,
            is_idempotent: false,
            watch,
            limit: Duration::ZERO,
            stall: Duration::ZERO,
        }
    }

    /// Takes on a request, and the connection for it. The last one was finished.
    pub(super) fn begin(&mut self, lease: Lease, request: Request) {
        let Request { head, upload, framing, is_head, is_idempotent, first_byte, stall } = request;
        self.watch.arm(first_byte);
        self.lease = Some(lease);
        self.sending = Sending::new(head, upload, framing);
        (self.is_head, self.is_idempotent) = (is_head, is_idempotent);
        (self.limit, self.stall) = (first_byte, stall);
    }

    /// Sends the request as far as it goes, and reads the head of its answer.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<answer::Head, CallFault>> {
        match self.poll_send(cx) {
            // It may have answered before it closed its side.
            Err(SendFault::Io(error)) if self.sending.is_untouched() => {
                return Poll::Ready(Err(self.broken(error)));
            }
            Err(SendFault::Upload(fault)) => return Poll::Ready(Err(CallFault::Upload(fault))),
            Ok(()) | Err(SendFault::Io(_)) => {}
        }
        loop {
            match self.reader.read(&self.received).map_err(CallFault::Bad)? {
                Some((length, head)) if head.is_interim() => {
                    self.received.take(length);
                    self.reader.begin();
                    self.interim += length;
                    if self.interim > MOST_INTERIM {
                        return Poll::Ready(Err(CallFault::Bad(BadAnswer::Interim)));
                    }
                    continue;
                }
                Some((length, head)) => return Poll::Ready(Ok(self.answers(length, head))),
                None => {}
            }
            match self.poll_read(cx) {
                Poll::Pending if self.watch.overdue(cx) => {
                    return Poll::Ready(Err(CallFault::Timeout));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.broken(closed()))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken(error))),
            }
        }
    }

    fn answers(&mut self, length: usize, head: answer::Head) -> answer::Head {
        self.head = length;
        self.content = Some(head.content(self.is_head));
        self.keeps = head.keeps_connection();
        self.limit = self.stall;
        self.watch.arm(self.stall);
        head
    }

    /// The bytes of the answer's head, and where its fields stand in them. They are gone once its content is asked for.
    pub(crate) fn head(&self) -> (&[u8], &Fields) {
        (self.received.get(..self.head).unwrap_or_default(), self.reader.fields())
    }

    /// No answer comes any more. Sent once more is only what no upstream can have acted on, or may act on twice.
    fn broken(&self, error: io::Error) -> CallFault {
        let silent = self.received.is_empty() && self.interim == 0;
        let reused = self.lease.as_ref().is_some_and(|lease| lease.reused);
        let harmless = self.sending.is_untouched() || self.is_idempotent;
        match reused && silent && harmless && self.sending.is_whole() {
            true => CallFault::Stale,
            false => CallFault::Io(error),
        }
    }

    /// Puts a request whose connection was [`CallFault::Stale`] on another.
    pub(crate) fn again_on(&mut self, lease: Lease) {
        self.lease = Some(lease);
        self.watch.arm(self.limit);
        self.sending.again();
    }

    /// Waits for the next piece of the answer's content, or its trailers. The rest of the request goes on meanwhile.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Piece, AnswerFault>>> {
        if let Err(SendFault::Upload(_)) = self.poll_send(cx) {
            return Poll::Ready(Some(Err(AnswerFault::Upload)));
        }
        self.received.take(std::mem::take(&mut self.head));
        while self.piece().is_empty() {
            let Some(content) = &mut self.content else { return Poll::Ready(None) };
            match content.next(&self.received).map_err(AnswerFault::Bad)? {
                Next::End => {
                    let trailers = self.trailers.take();
                    return Poll::Ready(trailers.map(|trailers| Ok(Piece::Trailers(trailers))));
                }
                Next::Trailer(count) => {
                    let line = self.received.get(..count).unwrap_or_default();
                    let line = Bytes::copy_from_slice(line);
                    reply::add_lines(self.trailers.get_or_insert_default(), &line);
                    self.received.take(count);
                }
                Next::Skip(count) => self.received.take(count),
                Next::Data(count) => {
                    self.watch.arm(self.stall);
                    self.received.found_piece(count);
                }
                Next::More => {
                    let ends = content.ends_with_connection();
                    match self.poll_read(cx) {
                        Poll::Pending if self.watch.overdue(cx) => {
                            return Poll::Ready(Some(Err(AnswerFault::Stalled)));
                        }
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(0)) if ends => {
                            self.keeps = false;
                            self.content = Some(Content::Length(0));
                        }
                        Poll::Ready(Ok(0)) => {
                            return Poll::Ready(Some(Err(AnswerFault::Broken(closed()))));
                        }
                        Poll::Ready(Ok(_)) => {}
                        Poll::Ready(Err(error)) => {
                            return Poll::Ready(Some(Err(AnswerFault::Broken(error))));
                        }
                    }
                }
            }
        }
        Poll::Ready(Some(Ok(Piece::Data(self.piece().len()))))
    }

    /// The piece that was waited for.
    pub(crate) fn piece(&self) -> &[u8] {
        self.received.piece()
    }

    /// So many bytes of the piece are not needed any more.
    pub(crate) fn take(&mut self, count: usize) {
        self.received.take_piece(count);
    }

    /// Sends what can be sent of the rest of the request.
    pub(crate) fn send_on(&mut self, cx: &mut Context<'_>) -> Result<(), ()> {
        match self.poll_send(cx) {
            Err(SendFault::Upload(_)) => Err(()),
            _ => Ok(()),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), SendFault> {
        let Self { sending, lease, watch, limit, .. } = self;
        let Some(lease) = lease else { return Ok(()) };
        match sending.poll(cx, &mut lease.stream, || watch.arm(*limit)) {
            Poll::Ready(Err(fault)) => Err(fault),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(lease) = &mut self.lease else { return Poll::Ready(Ok(0)) };
        self.received.poll_fill(&lease.home.buffers, &mut lease.stream, cx)
    }

    /// Whether all of the answer came, taken or not.
    pub(crate) fn has_come(&self) -> bool {
        self.content.as_ref().is_some_and(Content::has_ended)
    }

    /// Whether no more of the answer is to come.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_come() && self.piece().is_empty() && self.trailers.is_none()
    }

    /// How much of the answer is to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        let piece = u64::try_from(self.piece().len()).unwrap_or(u64::MAX);
        Some(self.content.as_ref()?.left()?.saturating_add(piece))
    }

    /// Gives the connection to the next request, if this one and its answer have ended cleanly; and itself to the next call.
    pub(crate) fn finish(mut self: Box<Self>) {
        let Some(lease) = self.lease.take() else { return };
        self.received.take(self.head + self.piece().len());
        let clean = self.has_come() && self.received.is_empty() && self.sending.is_done();
        let home = lease.home.clone();
        home.buffers.keep_write(std::mem::take(&mut self.sending).into_buffer());
        self.received.give_back(&home.buffers);
        if clean && self.keeps {
            lease.give_back();
        }
        (self.head, self.interim) = (0, 0);
        (self.content, self.trailers, self.keeps) = (None, None, false);
        self.reader.begin();
        self.watch.disarm();
        home.keep_call(self);
    }

    /// Whether all of the request left.
    pub(crate) fn is_sent(&self) -> bool {
        self.sending.is_done()
    }

    /// The connection, once the upstream has agreed to change its protocol.
    pub(crate) fn into_tunnelled(mut self: Box<Self>) -> Option<Tunnelled<UpstreamSocket>> {
        self.received.take(self.head);
        let rest = std::mem::take(&mut self.received).into_rest();
        Some(Tunnelled { stream: self.lease.take()?.stream, first: rest.into() })
    }
}
