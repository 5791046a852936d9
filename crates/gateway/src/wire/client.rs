//! A client's HTTP/1.1 connection as bytes: heads and bodies as the [`Screen`] lets them pass, answers as they are taken.
//!
//! Whoever serves the connection and whoever reads a request's body share it, a poll at a time. Every wait has a deadline, and
//! what broke is told once: after a fault, nothing more is read as HTTP.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::io::AsyncWrite as _;

use super::screen::{Phase, Screen, Step, Violation};
use crate::{
    buffers::{Buffers, Received},
    request::RequestHead,
    socket::{ClientSocket, Socket},
    tunnel::Tunnelled,
    watchdog::Watch,
};

/// What may wait of later requests while one is answered.
const PIPELINED: usize = 64 * 1024;
/// What is read and thrown away after a refusal, so that the client can read the answer before the connection resets.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// Why a client is not understood any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireFault {
    /// The screen refused what it sent.
    Violation(Violation),
    /// A head did not arrive in time.
    HeadTimeout,
    /// A body stopped coming.
    BodyTimeout,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) stall: Duration,
    /// For one request more, once the gateway drains.
    pub(crate) last_call: Duration,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    FirstHead,
    LastCall,
    NextHead,
    RestOfHead,
    RestOfBody,
}

/// What came where a head was awaited.
pub(crate) enum Arrival {
    /// A whole head.
    Head(Box<RequestHead>),
    /// Something that is answered, and the last that is.
    Fault(WireFault),
    /// The end.
    Nothing,
}

/// A body broke off: the client went, or see [`ClientWire::fault`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokenBody;

pub(crate) struct ClientWire {
    stream: ClientSocket,
    screen: Screen,
    received: Received,
    buffers: Rc<Buffers>,
    patience: Patience,
    waiting: Waiting,
    served: bool,
    read_watch: Watch,
    write_watch: Watch,
    writing: bool,
    fault: Option<WireFault>,
    gone: bool,
    /// Whether the client waits to be told to send its body (RFC 9110, 10.1.1).
    expects: bool,
    /// To be written, from `at` on.
    out: Vec<u8>,
    at: usize,
    lingered: usize,
}

impl ClientWire {
    pub(crate) fn new(
        stream: ClientSocket,
        screen: Screen,
        buffers: Rc<Buffers>,
        patience: Patience,
        (read_watch, write_watch): (Watch, Watch),
    ) -> Self {
        Self {
            stream,
            screen,
            received: Received::default(),
            buffers,
            patience,
            waiting: Waiting::Nothing,
            served: false,
            read_watch,
            write_watch,
            writing: false,
            fault: None,
            gone: false,
            expects: false,
            out: Vec::new(),
            at: 0,
            lingered: 0,
        }
    }

    /// The next head. While `draining`, it is the last one, and must come soon.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        draining: impl Fn() -> bool,
    ) -> Poll<Arrival> {
        loop {
            match self.screen.step(&self.received) {
                Step::Head(length) => {
                    self.served = true;
                    self.expects = false;
                    self.waiting = Waiting::Nothing;
                    let mut head = self.buffers.head();
                    let bytes = self.received.get(..length).unwrap_or_default();
                    head.read_http1(bytes, &mut self.screen);
                    self.received.take(length);
                    return Poll::Ready(Arrival::Head(head));
                }
                Step::Refuse(violation) => {
                    return Poll::Ready(self.break_off(WireFault::Violation(violation)));
                }
                // Behind an answered request stands a head and nothing else.
                Step::Data(_) | Step::Framing(_) | Step::Hold => {
                    return Poll::Ready(Arrival::Nothing);
                }
                Step::NeedMore => {}
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Arrival::Nothing),
                Poll::Pending => {
                    let begun = self.screen.phase() == Phase::Head;
                    let waiting = match (begun, self.served) {
                        (true, _) => Waiting::RestOfHead,
                        // A request may be on its way: to close under it would lose it.
                        (false, _) if draining() => Waiting::LastCall,
                        (false, true) => Waiting::NextHead,
                        (false, false) => Waiting::FirstHead,
                    };
                    return match self.is_overdue(waiting, cx) {
                        false => Poll::Pending,
                        true if begun => Poll::Ready(self.break_off(WireFault::HeadTimeout)),
                        // Before a request there is nobody to tell.
                        true => Poll::Ready(Arrival::Nothing),
                    };
                }
            }
        }
    }

    fn break_off(&mut self, fault: WireFault) -> Arrival {
        self.fault = Some(fault);
        Arrival::Fault(fault)
    }

    /// Says that the client of the head that came last waits for a 100 before it sends its body.
    pub(crate) fn expects_continue(&mut self) {
        self.expects = self.screen.phase() == Phase::Body;
    }

    /// Waits for the next piece of the body behind the head that came last, and says how long it is: see [`ClientWire::piece`].
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<usize, BrokenBody>>> {
        if self.fault.is_some() || self.gone {
            return Poll::Ready(Some(Err(BrokenBody)));
        }
        while self.piece().is_empty() && self.screen.phase() == Phase::Body {
            match self.screen.step(&self.received) {
                Step::Data(length) => {
                    self.waiting = Waiting::Nothing;
                    self.expects = false;
                    self.received.found_piece(length);
                }
                Step::Framing(length) => self.received.take(length),
                Step::Refuse(violation) => {
                    self.fault = Some(WireFault::Violation(violation));
                    return Poll::Ready(Some(Err(BrokenBody)));
                }
                Step::NeedMore | Step::Head(_) | Step::Hold => ready!(self.poll_more_body(cx))?,
            }
        }
        Poll::Ready(Some(self.piece().len()).filter(|length| *length > 0).map(Ok))
    }

    /// The piece of the body that was waited for.
    pub(crate) fn piece(&self) -> &[u8] {
        self.received.piece()
    }

    /// So many bytes of the piece are not needed any more.
    pub(crate) fn take(&mut self, count: usize) {
        self.received.take_piece(count);
    }

    fn poll_more_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BrokenBody>> {
        if std::mem::take(&mut self.expects) {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        // What cannot be written yet is tried again when the body is asked for again, or with the answer.
        if !self.out.is_empty() {
            let _ = self.poll_flush(cx)?;
        }
        match self.poll_read(cx) {
            Poll::Ready(Ok(1..)) => {
                self.waiting = Waiting::Nothing;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(_) => {
                self.gone = true;
                Poll::Ready(Err(BrokenBody))
            }
            Poll::Pending if self.is_overdue(Waiting::RestOfBody, cx) => {
                self.fault = Some(WireFault::BodyTimeout);
                Poll::Ready(Err(BrokenBody))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether no more of the body is to come.
    pub(crate) fn body_has_ended(&self) -> bool {
        self.piece().is_empty()
            && self.screen.phase() != Phase::Body
            && self.fault.is_none()
            && !self.gone
    }

    /// How much of the body is to come, where that is known.
    pub(crate) fn body_left(&self) -> Option<u64> {
        let piece = u64::try_from(self.piece().len()).unwrap_or(u64::MAX);
        self.screen.body_left().map(|left| left.saturating_add(piece))
    }

    /// Whether the client went while it was to wait for its answer. What it sends meanwhile is kept for later.
    pub(crate) fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.gone && self.screen.phase() != Phase::Body && self.received.len() < PIPELINED {
            match self.poll_read(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => self.gone = true,
            }
        }
        self.gone
    }

    /// What ended this client's stream, if something did.
    pub(crate) fn fault(&self) -> Option<WireFault> {
        self.fault
    }

    /// Whether the next head can follow.
    pub(crate) fn may_go_on(&mut self) -> bool {
        self.screen.no_tunnel();
        self.piece().is_empty()
            && self.fault.is_none()
            && !self.gone
            && self.screen.phase() == Phase::Idle
    }

    /// The socket, and what came on it already, for another protocol.
    pub(crate) fn into_tunnelled(self) -> Tunnelled<ClientSocket> {
        Tunnelled { stream: self.stream, first: self.received.into_rest().into() }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { received, buffers, stream, .. } = self;
        let read = received.poll_fill(buffers, stream, cx);
        if read.is_pending() {
            received.wait(buffers);
        }
        read
    }

    /// Whether this was waited for too long; if not, the task is woken when it is.
    fn is_overdue(&mut self, waiting: Waiting, cx: &Context<'_>) -> bool {
        if waiting != self.waiting {
            // A head has one deadline from its first byte, or from the connection's begin: dribbling does not move it.
            let same_head = (self.waiting, waiting) == (Waiting::FirstHead, Waiting::RestOfHead);
            self.waiting = waiting;
            match waiting {
                _ if same_head => {}
                Waiting::Nothing => self.read_watch.disarm(),
                Waiting::FirstHead | Waiting::RestOfHead => self.read_watch.arm(self.patience.head),
                Waiting::LastCall => self.read_watch.arm(self.patience.last_call),
                Waiting::NextHead => self.read_watch.arm(self.patience.idle),
                Waiting::RestOfBody => self.read_watch.arm(self.patience.stall),
            }
        }
        waiting != Waiting::Nothing && self.read_watch.overdue(cx)
    }

    /// The final answer begins: nobody is told to go on any more.
    pub(crate) fn answers(&mut self) {
        self.expects = false;
    }

    /// What is to be written next.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = self.buffers.write();
        }
        &mut self.out
    }

    /// Writes all there is to be written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BrokenBody>> {
        while let Some(rest) = self.out.get(self.at..).filter(|rest| !rest.is_empty()) {
            let poll = self.stream.poll_send(cx, rest);
            self.at += ready!(self.written(cx, poll))?;
        }
        self.at = 0;
        if self.out.capacity() > 0 {
            self.buffers.keep_write(std::mem::take(&mut self.out));
        }
        match self.stream {
            Socket::Tcp(_) => Poll::Ready(Ok(())),
            Socket::Tls(_) => {
                let poll = Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| 1);
                self.written(cx, poll).map_ok(|_| ())
            }
        }
    }

    /// Writes what there is to be written, and behind it what it can of the piece; says how much of the piece that was.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        piece: &[u8],
    ) -> Poll<Result<usize, BrokenBody>> {
        let out = self.out.get(self.at..).unwrap_or_default();
        let before = out.len();
        let poll = self.stream.poll_send_both(cx, out, piece);
        let written = ready!(self.written(cx, poll))?;
        let of_out = written.min(before);
        self.at += of_out;
        if self.at == self.out.len() {
            self.out.clear();
            self.at = 0;
        }
        Poll::Ready(Ok(written - of_out))
    }

    /// Sees to it that the client takes something in time.
    fn written(
        &mut self,
        cx: &Context<'_>,
        poll: Poll<io::Result<usize>>,
    ) -> Poll<Result<usize, BrokenBody>> {
        match poll {
            Poll::Ready(Ok(1..)) => self.writing = false,
            Poll::Ready(_) => {
                self.gone = true;
                return Poll::Ready(Err(BrokenBody));
            }
            Poll::Pending => {
                if !std::mem::replace(&mut self.writing, true) {
                    self.write_watch.arm(self.patience.stall);
                }
                if self.write_watch.overdue(cx) {
                    // What it did not take must not wait for it in the kernel either.
                    self.reset();
                    self.gone = true;
                    return Poll::Ready(Err(BrokenBody));
                }
            }
        }
        poll.map(|written| written.map_err(|_| BrokenBody))
    }

    /// Makes the connection end with a reset, so that nobody takes its end for a clean one.
    pub(crate) fn reset(&self) {
        self.stream.reset();
    }

    /// Ends the connection so that the client can read what it was sent.
    ///
    /// Closing a socket with unread bytes resets it, and the reset can overtake the answer: so a little more is read.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.lingered == 0 {
            if ready!(self.poll_flush(cx)).is_err() {
                return Poll::Ready(());
            }
            let poll = Pin::new(&mut self.stream).poll_shutdown(cx).map_ok(|()| 1);
            let unread = self.fault.is_some() || self.screen.phase() == Phase::Body;
            if ready!(self.written(cx, poll)).is_err() || !unread {
                return Poll::Ready(());
            }
            self.lingered = 1;
            self.read_watch.arm(LINGER);
        }
        while self.lingered < LINGER_BYTES {
            self.received.clear();
            match self.poll_read(cx) {
                Poll::Ready(Ok(read @ 1..)) => self.lingered += read,
                Poll::Ready(_) => break,
                Poll::Pending if self.read_watch.overdue(cx) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

impl ClientSocket {
    /// Makes the connection end with a reset.
    pub(crate) fn reset(&self) {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        };
        // A socket that is gone already needs no reset.
        let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    }
}
