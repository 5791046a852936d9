//! HTTP/2 towards a client: hyper and h2 frame it; each stream is answered on its own.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    rt::{Executor, Read, ReadBufCursor, Write},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::Connection;
use crate::{
    body::{Answer, AnswerFault, ClientBody, Patience, Piece},
    exchange::exchange,
    settings::Compiled,
    socket::ClientSocket,
    watchdog::{Deadline, Watch},
    worker::Worker,
};

/// Serves a connection to its end.
pub(super) async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    stream: ClientSocket,
    settings: &Compiled,
) {
    let stall = settings.deadlines.stall;
    let io = Io { stream, watch: worker.watchdog.watch(), stall, writing: false };
    let streams = Streams { worker: worker.clone(), connection: connection.clone() };
    let (service_worker, service_connection) = (worker.clone(), connection.clone());
    let service = service_fn(move |request| {
        answer_one(service_worker.clone(), service_connection.clone(), request)
    });
    let limits = &settings.limits;
    let served = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        // The guard refuses half of this, with words.
        .max_header_list_size(u32::try_from(limits.head_bytes * 2).unwrap_or(u32::MAX))
        // Streams opened and reset at once (CVE-2023-44487) and answers nobody reads are bounded.
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(64)
        .max_send_buf_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(stall)
        .keep_alive_timeout(settings.deadlines.head)
        .serve_connection(io, service);
    let mut served = pin!(served);
    let idle = worker.watchdog.watch();
    let mut quiet = false;
    let until_idle = poll_fn(|cx| {
        if connection.is_idle() {
            if !quiet {
                quiet = true;
                idle.arm(settings.deadlines.idle);
            }
            if idle.overdue(cx) {
                return Poll::Ready(());
            }
        } else {
            quiet = false;
            idle.arm(settings.deadlines.idle);
            idle.overdue(cx);
        }
        Poll::Pending
    });
    let driven = drive(&worker, served.as_mut(), |served| served.graceful_shutdown());
    tokio::select! {
        biased;
        () = driven => return,
        () = until_idle => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(settings.deadlines.head, served).await;
}

/// Polls a connection to its end; tells it once when the gateway drains.
async fn drive<C, E>(worker: &Worker, mut served: Pin<&mut C>, stop: impl Fn(Pin<&mut C>))
where
    C: Future<Output = Result<(), E>>,
{
    let noticed = worker.watchdog.watch();
    let mut told = false;
    poll_fn(|cx| {
        noticed.overdue(cx);
        // How a connection ends is the client's affair: every request on it was recorded by itself.
        let mut poll = served.as_mut().poll(cx);
        // Only now: a request that is there already is still answered.
        if poll.is_pending() && worker.is_draining() && !told {
            told = true;
            stop(served.as_mut());
            poll = served.as_mut().poll(cx);
        }
        poll.map(|_| ())
    })
    .await;
}

async fn answer_one(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Streamed>, Infallible> {
    // Before anything is waited for: after that, another stream may be the one that is polled.
    let stream = connection.stream.borrow().clone();
    let stall = worker.settings().deadlines.stall;
    let (parts, incoming) = request.into_parts();
    let mut head = worker.buffers.head();
    head.read_http2(&parts);
    drop(parts);
    let patience =
        (!incoming.is_end_stream()).then(|| Patience::new(worker.watchdog.watch(), stall));
    let body = ClientBody::of_http2(incoming, patience);
    let reply = exchange(worker, connection, head, body, None).await;
    let (response, answer) = reply.into_http2();
    let answer = Rc::new(RefCell::new(answer));
    if let Some(stream) = &stream {
        stream.deadline.arm(stall);
        *stream.answer.borrow_mut() = Rc::downgrade(&answer);
    }
    let taken = stream.map(|stream| (stream.deadline.clone(), stall));
    Ok(response.map(|()| Streamed { answer, taken, fresh: false, fault: None }))
}

/// What is known of a stream while it is polled.
pub(super) struct Stream {
    /// By when its client must take what it is sent.
    deadline: Deadline,
    /// Its answer, once there is one.
    answer: RefCell<Weak<RefCell<Answer>>>,
}

/// An answer's content as h2 asks for it.
struct Streamed {
    answer: Rc<RefCell<Answer>>,
    /// The deadline by which the client must take the next piece.
    taken: Option<(Deadline, Duration)>,
    /// Whether something was given since there was last nothing to do but flush.
    fresh: bool,
    fault: Option<AnswerFault>,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = AnswerFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        let poll = next_frame(&mut self.answer.borrow_mut(), cx);
        if let Some((deadline, limit)) = &self.taken {
            // Being asked, the client has room: now the upstream is waited for, or the client again.
            if poll.is_pending() { deadline.disarm() } else { deadline.arm(*limit) }
        }
        match poll {
            Poll::Ready(Some(Err(fault))) if self.fresh => {
                // The client gets what came before the fault: what was not flushed yet would go with the stream.
                self.fresh = false;
                self.fault = Some(fault);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ref poll => self.fresh = poll.is_ready(),
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.answer.borrow().has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.borrow().left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The next piece, as h2 keeps it until the client takes it.
fn next_frame(
    answer: &mut Answer,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
    answer.poll_piece(cx).map_ok(|piece| match piece {
        Piece::Data(length) => {
            let piece = Bytes::copy_from_slice(answer.piece());
            answer.take(length);
            Frame::data(piece)
        }
        Piece::Trailers(trailers) => Frame::trailers(*trailers),
    })
}

impl Stream {
    /// Sends on what is left of the request: h2 does not ask for more of the answer while the client has no room for it.
    fn goes_on(&self, cx: &mut Context<'_>) -> bool {
        let answer = self.answer.borrow().upgrade();
        answer.is_none_or(|answer| answer.borrow_mut().send_on(cx).is_ok())
    }
}

/// Runs the futures of streams where they are: on this core.
///
/// hyper asks an answer for more only when the client has room for it; a client that never has, and keeps its connection
/// alive, would hold stream and upstream for ever. So each stream runs under a deadline, which its answer moves.
#[derive(Clone)]
struct Streams {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, future: F) {
        let Self { worker, connection } = self.clone();
        tokio::task::spawn_local(async move {
            let watch = worker.spare_watch();
            let stream = Rc::new(Stream { deadline: watch.deadline(), answer: RefCell::default() });
            let mut future = Box::pin(future);
            poll_fn(|cx| {
                *connection.stream.borrow_mut() = Some(stream.clone());
                let poll = future.as_mut().poll(cx);
                *connection.stream.borrow_mut() = None;
                if poll.is_pending() && !stream.goes_on(cx) {
                    return Poll::Ready(());
                }
                match poll {
                    // Dropping the future resets the stream.
                    Poll::Pending if watch.overdue(cx) => Poll::Ready(()),
                    poll => poll,
                }
            })
            .await;
            drop(future);
            worker.keep_watch(watch);
        });
    }
}

/// The socket as hyper wants it, closed when the client takes nothing for too long.
struct Io {
    stream: ClientSocket,
    watch: Watch,
    stall: Duration,
    writing: bool,
}

/// Most bytes taken from the socket at once.
const READ_BYTES: usize = 16 * 1024;

impl Io {
    fn progress<T>(&mut self, cx: &Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.writing = false;
            return poll;
        }
        if !std::mem::replace(&mut self.writing, true) {
            self.watch.arm(self.stall);
        }
        if self.watch.overdue(cx) {
            // What it did not take must not wait for it in the kernel either.
            self.stream.reset();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        poll
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let room = space.get_mut(..out.remaining().min(READ_BYTES)).unwrap_or_default();
        let mut buffer = ReadBuf::uninit(room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        out.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.progress(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.progress(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.progress(cx, poll)
    }
}
