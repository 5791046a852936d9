//! One request on one connection: sent, and its answer read, by whoever polls it. Neither side waits for the other: an answer may
//! come before its request has ended.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

use super::{
    Lease, closed,
    sending::{Framing, SendFault, Sending},
};
use crate::{
    body::{AnswerFault, Upload, UploadFault},
    buffers::{self, READ},
    reply,
    socket::UpstreamSocket,
    tunnel::Tunnelled,
    watchdog::Watch,
    wire::answer::{self, BadAnswer, Content, HeadReader, Next},
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
    lease: Lease,
    sending: Sending,
    /// Of the answer, what was read and not taken yet.
    buffer: BytesMut,
    read: usize,
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

/// The head of an answer, and its header lines.
pub(crate) struct AnswerHead {
    pub(crate) head: answer::Head,
    pub(crate) lines: Bytes,
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
    pub(crate) fn new(lease: Lease, request: Request, watch: Watch) -> Box<Self> {
        let Request { head, upload, framing, is_head, is_idempotent, first_byte, stall } = request;
        watch.arm(first_byte);
        let buffer = lease.home.buffers.read();
        Box::new(Self {
            lease,
            sending: Sending::new(head, upload, framing),
            buffer,
            read: READ,
            reader: HeadReader::default(),
            interim: 0,
            content: None,
            trailers: None,
            keeps: false,
            is_head,
            is_idempotent,
            watch,
            limit: first_byte,
            stall,
        })
    }

    /// Sends the request as far as it goes, and reads the head of its answer.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, CallFault>> {
        match self.poll_send(cx) {
            // It may have answered before it closed its side.
            Err(SendFault::Io(error)) if self.sending.is_untouched() => {
                return Poll::Ready(Err(self.broken(error)));
            }
            Err(SendFault::Upload(fault)) => return Poll::Ready(Err(CallFault::Upload(fault))),
            Ok(()) | Err(SendFault::Io(_)) => {}
        }
        loop {
            match self.reader.read(&self.buffer).map_err(CallFault::Bad)? {
                Some((length, head)) if head.is_interim() => {
                    self.buffer.advance(length);
                    self.reader = HeadReader::default();
                    self.interim += length;
                    if self.interim > MOST_INTERIM {
                        return Poll::Ready(Err(CallFault::Bad(BadAnswer::Interim)));
                    }
                    continue;
                }
                Some((length, head)) => return Poll::Ready(Ok(self.begin(length, head))),
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

    fn begin(&mut self, length: usize, head: answer::Head) -> AnswerHead {
        let lines = self.buffer.split_to(length).freeze().slice(head.fields.clone());
        self.content = Some(head.content(self.is_head));
        self.keeps = head.keeps_connection();
        self.limit = self.stall;
        self.watch.arm(self.stall);
        AnswerHead { head, lines }
    }

    /// No answer comes any more. Sent once more is only what no upstream can have acted on, or may act on twice.
    fn broken(&self, error: io::Error) -> CallFault {
        let silent = self.buffer.is_empty() && self.interim == 0;
        let harmless = self.sending.is_untouched() || self.is_idempotent;
        match self.lease.reused && silent && harmless && self.sending.is_whole() {
            true => CallFault::Stale,
            false => CallFault::Io(error),
        }
    }

    /// Puts a request whose connection was [`CallFault::Stale`] on another.
    pub(crate) fn again_on(&mut self, lease: Lease) {
        self.lease = lease;
        self.watch.arm(self.limit);
        self.sending.again();
    }

    /// The next piece of the answer's content, or its trailers. The rest of the request goes on meanwhile.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
        if let Err(SendFault::Upload(_)) = self.poll_send(cx) {
            return Poll::Ready(Some(Err(AnswerFault::Upload)));
        }
        let Some(content) = &mut self.content else { return Poll::Ready(None) };
        loop {
            match content.next(&self.buffer).map_err(AnswerFault::Bad)? {
                Next::End => {
                    let trailers =
                        self.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)));
                    return Poll::Ready(trailers);
                }
                Next::Trailer(count) => {
                    let line = self.buffer.split_to(count).freeze();
                    reply::add_lines(self.trailers.get_or_insert_default(), &line);
                }
                Next::Skip(count) => self.buffer.advance(count),
                Next::Data(count) => {
                    self.watch.arm(self.stall);
                    let data = self.buffer.split_to(count).freeze();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Next::More => {
                    let read = buffers::fill(self.lease.io(), &mut self.buffer, &mut self.read, cx);
                    match read {
                        Poll::Pending if self.watch.overdue(cx) => {
                            return Poll::Ready(Some(Err(AnswerFault::Stalled)));
                        }
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(0)) if content.ends_with_connection() => {
                            self.keeps = false;
                            *content = Content::Length(0);
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
        match sending.poll(cx, lease.io(), || watch.arm(*limit)) {
            Poll::Ready(Err(fault)) => Err(fault),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        buffers::fill(self.lease.io(), &mut self.buffer, &mut self.read, cx)
    }

    /// Whether no more of the answer is to come.
    pub(crate) fn has_ended(&self) -> bool {
        self.content.as_ref().is_some_and(Content::has_ended) && self.trailers.is_none()
    }

    /// How much of the answer is to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.content.as_ref().and_then(Content::left)
    }

    /// Gives the connection to the next request, if this one and its answer have ended cleanly; gives back the deadline.
    pub(crate) fn finish(self: Box<Self>) -> Watch {
        let clean = self.has_ended() && self.buffer.is_empty() && self.sending.is_done();
        let Self { lease, sending, buffer, keeps, watch, .. } = *self;
        lease.home.buffers.keep_write(sending.into_buffer());
        lease.home.buffers.keep_read(buffer);
        if clean && keeps {
            lease.give_back();
        }
        watch
    }

    /// Whether all of the request left.
    pub(crate) fn is_sent(&self) -> bool {
        self.sending.is_done()
    }

    /// The connection, once the upstream has agreed to change its protocol.
    pub(crate) fn into_tunnelled(self: Box<Self>) -> Tunnelled<UpstreamSocket> {
        let Self { lease, buffer, .. } = *self;
        Tunnelled { stream: lease.stream, first: buffer.freeze() }
    }
}
