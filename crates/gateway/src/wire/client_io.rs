//! The stream under hyper's server: screened, and closed when a client is too slow.
//!
//! Bytes of an HTTP/1.1 connection reach hyper only after the [`Screen`] let them pass. What it refuses
//! never does: hyper is handed a stand-in request instead, so that the refusal is worded, recorded and written on
//! the same way as every other, after the answers to the requests before it.
//!
//! Bytes are read into the stack and copied once; a connection owns a buffer only while a message is incomplete.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::screen::{Phase, Screen, Step, Violation};
use crate::watchdog::{Tick, Watch};

/// Most bytes taken from the socket at once.
const READ_BYTES: usize = 16 * 1024;
/// Stands in for a request that was refused; hyper needs a whole one to answer. Its method is one that the screen never
/// lets pass: so it is told from the requests before it, which may still be in flight and are sound.
const STAND_IN: &[u8] = b"refused / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
const STAND_IN_METHOD: &str = "refused";
/// What is read and thrown away after a refusal, so that the client can read the answer before the connection resets.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// Why a request that hyper sees is not the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireFault {
    /// The screen refused it.
    Violation(Violation),
    /// Its head did not arrive in time.
    HeadTimeout,
    /// Its body stopped coming.
    BodyTimeout,
}

/// What the stream and the exchanges of one connection tell each other.
#[derive(Debug, Default)]
pub(crate) struct WireState {
    fault: Mutex<Option<WireFault>>,
    in_flight: AtomicU32,
    upgrade: AtomicU8,
    cut: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

const UPGRADE_OPEN: u8 = 0;
const UPGRADE_TAKEN: u8 = 1;
const UPGRADE_REFUSED: u8 = 2;

impl WireState {
    /// What ended this client's stream, if something did: the fault of a body that was not read to its end.
    pub(crate) fn fault(&self) -> Option<WireFault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault because of which a request of this method stands in for the client's.
    pub(crate) fn fault_behind(&self, method: &http::Method) -> Option<WireFault> {
        if method.as_str() == STAND_IN_METHOD { self.fault() } else { None }
    }

    fn set_fault(&self, fault: WireFault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// A request begins; until the guard is dropped, the connection is not idle.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self.clone())
    }

    /// Whether nothing is being answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.load(Relaxed) == 0
    }

    /// Says whether what follows an upgrade request is a tunnel or the next request.
    pub(crate) fn decide_upgrade(&self, taken: bool) {
        self.upgrade.store(if taken { UPGRADE_TAKEN } else { UPGRADE_REFUSED }, Relaxed);
        if let Some(waker) = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<WireState>);

impl InFlight {
    /// The connection ends with a reset, so that nobody takes its end for a clean one.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// The socket, with or without TLS.
#[derive(Debug)]
pub(crate) enum ClientStream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) stall: Duration,
}

/// What the read half waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    FirstHead,
    NextHead,
    RestOfHead,
    RestOfBody,
}

pub(crate) struct ClientIo {
    stream: ClientStream,
    state: Arc<WireState>,
    /// `None` where HTTP/2 does its own framing.
    screen: Option<Screen>,
    /// Read and not yet handed on; the first `passed` bytes were let pass.
    held: Vec<u8>,
    passed: usize,
    /// What the screen refused, to be told once everything before it was handed on.
    refusing: Option<(Violation, Phase)>,
    refused: bool,
    patience: Patience,
    waiting: Waiting,
    served: bool,
    read_watch: Watch,
    write_watch: Watch,
    writing: bool,
    /// When something was last written.
    written: Tick,
    lingered: usize,
}

impl ClientIo {
    pub(crate) fn new(
        stream: ClientStream,
        state: Arc<WireState>,
        screen: Option<Screen>,
        patience: Patience,
        watches: (Watch, Watch),
    ) -> Self {
        let (read_watch, write_watch) = watches;
        Self {
            stream,
            state,
            screen,
            held: Vec::new(),
            passed: 0,
            refusing: None,
            refused: false,
            patience,
            waiting: Waiting::Nothing,
            served: false,
            read_watch,
            write_watch,
            writing: false,
            written: Tick::default(),
            lingered: 0,
        }
    }

    fn poll_stream(
        stream: &mut ClientStream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match stream {
            ClientStream::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buffer),
        }
    }

    /// HTTP/2: what comes is handed on as it is.
    fn read_plain(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let room = space.get_mut(..out.remaining().min(READ_BYTES)).unwrap_or_default();
        let mut buffer = ReadBuf::uninit(room);
        std::task::ready!(Self::poll_stream(&mut self.stream, cx, &mut buffer))?;
        out.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }

    /// HTTP/1.1: only what the screen lets pass is handed on.
    fn read_screened(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.apply_upgrade();
        if self.refused && self.held.is_empty() {
            // The stand-in was handed over: nothing more comes from this client, and its answer closes the connection.
            return Poll::Pending;
        }
        let before = out.remaining();
        loop {
            self.hand_on_held(out);
            if out.remaining() < before {
                self.waiting = Waiting::Nothing;
                return Poll::Ready(Ok(()));
            }
            if let Some((violation, phase)) = self.refusing.take() {
                return self.stop(violation, phase, out);
            }
            if self.phase() == Phase::AfterUpgrade {
                *self.state.reader.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(cx.waker().clone());
                self.apply_upgrade();
                if self.phase() == Phase::AfterUpgrade {
                    return Poll::Pending;
                }
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let room = out.remaining().clamp(1, READ_BYTES);
            let mut buffer = ReadBuf::uninit(space.get_mut(..room).unwrap_or_default());
            match Self::poll_stream(&mut self.stream, cx, &mut buffer)? {
                Poll::Pending => return self.wait(cx, out),
                Poll::Ready(()) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(()) => {}
            }
            if self.phase() == Phase::Body {
                self.waiting = Waiting::Nothing;
            }
            if self.held.is_empty() {
                self.hand_on(buffer.filled(), out);
            } else {
                self.held.extend_from_slice(buffer.filled());
            }
        }
    }

    fn phase(&self) -> Phase {
        self.screen.as_ref().map_or(Phase::Tunnel, Screen::phase)
    }

    fn step(&mut self, bytes: &[u8]) -> Step {
        self.screen.as_mut().map_or(Step::Pass(bytes.len()), |screen| screen.step(bytes))
    }

    fn apply_upgrade(&mut self) {
        let Some(screen) = &mut self.screen else { return };
        match self.state.upgrade.swap(UPGRADE_OPEN, Relaxed) {
            UPGRADE_TAKEN => screen.tunnel(),
            UPGRADE_REFUSED => screen.no_tunnel(),
            _ => {}
        }
    }

    /// Hands on bytes just read, as far as they pass; the rest is held. Room for all of them is in `out`.
    fn hand_on(&mut self, bytes: &[u8], out: &mut ReadBufCursor<'_>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let phase = self.phase();
            match self.step(rest) {
                Step::Pass(count) => {
                    self.served = true;
                    let (pass, after) = rest.split_at_checked(count).unwrap_or((rest, b""));
                    out.put_slice(pass);
                    rest = after;
                }
                Step::NeedMore | Step::Hold => break,
                Step::Refuse(violation) => {
                    self.refusing = Some((violation, phase));
                    return;
                }
            }
        }
        self.held.extend_from_slice(rest);
    }

    /// Hands on bytes that were held, as far as they pass and have room.
    fn hand_on_held(&mut self, out: &mut ReadBufCursor<'_>) {
        while !self.held.is_empty() && out.remaining() > 0 {
            if self.passed == 0 {
                let phase = self.phase();
                let held = std::mem::take(&mut self.held);
                let step = self.step(&held);
                self.held = held;
                match step {
                    Step::Pass(count) => {
                        self.served = true;
                        self.passed = count;
                    }
                    Step::NeedMore | Step::Hold => return,
                    Step::Refuse(violation) => {
                        self.held = Vec::new();
                        self.refusing = Some((violation, phase));
                        return;
                    }
                }
            }
            let count = self.passed.min(out.remaining()).min(self.held.len());
            out.put_slice(self.held.get(..count).unwrap_or_default());
            self.held.drain(..count);
            self.passed -= count;
            if self.held.is_empty() {
                // An idle connection keeps no buffer.
                self.held = Vec::new();
            }
        }
    }

    /// Ends what the client sends: hyper sees a stand-in, or inside a body a fault.
    fn stop(
        &mut self,
        violation: Violation,
        phase: Phase,
        out: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.state.set_fault(WireFault::Violation(violation));
        if phase == Phase::Body {
            self.refused = true;
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
        }
        self.stand_in(out)
    }

    fn stand_in(&mut self, out: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.refused = true;
        self.screen = None;
        self.held = STAND_IN.to_vec();
        self.hand_on_held(out);
        Poll::Ready(Ok(()))
    }

    /// Nothing to read yet: how long may that last?
    fn wait(&mut self, cx: &mut Context<'_>, out: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let waiting = match self.phase() {
            Phase::Head => Waiting::RestOfHead,
            Phase::Body => Waiting::RestOfBody,
            Phase::Idle if self.served => Waiting::NextHead,
            Phase::Idle => Waiting::FirstHead,
            Phase::AfterUpgrade | Phase::Tunnel | Phase::Refused => Waiting::Nothing,
        };
        if waiting != self.waiting {
            // A head has one deadline from its first byte, or from the connection's begin: dribbling does not move it.
            let same_head = (self.waiting, waiting) == (Waiting::FirstHead, Waiting::RestOfHead);
            self.waiting = waiting;
            match waiting {
                _ if same_head => {}
                Waiting::Nothing => self.read_watch.disarm(),
                Waiting::FirstHead | Waiting::RestOfHead => self.read_watch.arm(self.patience.head),
                Waiting::NextHead => self.read_watch.arm(self.patience.idle),
                Waiting::RestOfBody => self.read_watch.arm(self.patience.stall),
            }
        }
        if waiting == Waiting::Nothing || !self.read_watch.overdue(cx) {
            return Poll::Pending;
        }
        match waiting {
            Waiting::RestOfHead => {
                self.state.set_fault(WireFault::HeadTimeout);
                self.stand_in(out)
            }
            Waiting::RestOfBody => {
                self.state.set_fault(WireFault::BodyTimeout);
                self.refused = true;
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Waiting::NextHead => self.end_if_idle(cx),
            // Before the first request there is nobody to tell: the stream just ends.
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The wait for the next head began when the last answer ended, and while one is awaited it has not begun: of
    /// either, nobody tells this half, so it looks when its deadline comes.
    fn end_if_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waited = match self.state.is_idle() {
            true => self.read_watch.since(self.written),
            false => Duration::ZERO,
        };
        match self.patience.idle.saturating_sub(waited) {
            Duration::ZERO => Poll::Ready(Ok(())),
            left => {
                self.read_watch.arm(left);
                self.read_watch.overdue(cx);
                Poll::Pending
            }
        }
    }

    fn progress<T>(&mut self, cx: &Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Ready(result) => {
                self.writing = false;
                self.written = self.write_watch.tick();
                Poll::Ready(result)
            }
            Poll::Pending => {
                if !self.writing {
                    self.writing = true;
                    self.write_watch.arm(self.patience.stall);
                }
                if self.write_watch.overdue(cx) {
                    // What it did not take must not wait for it in the kernel either.
                    self.state.cut.store(true, Relaxed);
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        if self.state.cut.load(Relaxed) {
            let tcp = match &self.stream {
                ClientStream::Tcp(tcp) => tcp,
                ClientStream::Tls(tls) => tls.get_ref().0,
            };
            // A socket that is gone already needs no reset.
            let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.screen.is_none() && !self.refused {
            return self.read_plain(cx, &mut out);
        }
        self.read_screened(cx, &mut out)
    }
}

impl Write for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = match &mut self.stream {
            ClientStream::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, bytes),
        };
        self.progress(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = match &mut self.stream {
            ClientStream::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, pieces),
            ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, pieces),
        };
        self.progress(cx, poll)
    }

    /// Head and body in one buffer and one plain send: half a microsecond less than a vectored write.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = match &mut self.stream {
            ClientStream::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        };
        self.progress(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingered == 0 {
            let poll = match &mut this.stream {
                ClientStream::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
                ClientStream::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
            };
            std::task::ready!(this.progress(cx, poll))?;
            let unread = this.screen.is_some() && this.phase() == Phase::Body;
            if !this.refused && !unread {
                return Poll::Ready(Ok(()));
            }
            this.lingered = 1;
            this.read_watch.arm(LINGER);
        }
        this.poll_linger(cx)
    }
}

impl ClientIo {
    /// Closing a socket with unread bytes resets it, and the reset can overtake the refusal: read a little more.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.lingered < LINGER_BYTES {
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut space);
            match Self::poll_stream(&mut self.stream, cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.lingered += buffer.filled().len();
                }
                Poll::Ready(_) => break,
                Poll::Pending if self.read_watch.overdue(cx) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}
