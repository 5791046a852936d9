//! The request's way onto the wire: head and small body in one write, larger bodies piece by piece, as the upstream takes them.

use std::{
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use crate::{
    body::{Upload, UploadFault},
    buffers::{COPIED, GATHERED},
    socket::UpstreamSocket,
};

/// How the upstream is told where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length; so many bytes are still to come.
    Length(u64),
    /// By chunks.
    Chunked,
}

/// Why a request did not reach its end.
#[derive(Debug)]
pub(super) enum SendFault {
    Upload(UploadFault),
    Io(io::Error),
}

/// A request under way.
pub(super) struct Sending {
    /// Goes next, from `at` on.
    out: Vec<u8>,
    at: usize,
    /// So much of the body's piece goes after it, from where it lies.
    piece: usize,
    /// Present until all of it left: it holds room.
    upload: Option<Upload>,
    framing: Framing,
    step: Step,
    /// The upstream takes no more of it.
    broken: bool,
    /// Whether all there is of it so far is in `out`, to be sent again if need be.
    whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// More of the body is to come.
    Open,
    /// All of it came.
    Ended,
    /// All of it left.
    Done,
}

/// One that is over.
impl Default for Sending {
    fn default() -> Self {
        Self {
            out: Vec::new(),
            at: 0,
            piece: 0,
            upload: None,
            framing: Framing::Length(0),
            step: Step::Done,
            broken: false,
            whole: true,
        }
    }
}

impl Sending {
    /// A request with this head, its empty line included.
    pub(super) fn new(head: Vec<u8>, upload: Upload, framing: Framing) -> Self {
        Self { out: head, upload: Some(upload), framing, step: Step::Open, ..Self::default() }
    }

    /// Sends what can be sent now; `moved` is called for every piece of the body. Ready when there is no more to do.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut UpstreamSocket,
        mut moved: impl FnMut(),
    ) -> Poll<Result<(), SendFault>> {
        if self.broken || self.is_done() {
            return Poll::Ready(Ok(()));
        }
        loop {
            self.gather(cx, &mut moved).map_err(SendFault::Upload)?;
            if self.at < self.out.len() || self.piece > 0 {
                let written = ready!(self.write(cx, stream)).map_err(|e| self.broken(e))?;
                self.advance(written);
                continue;
            }
            ready!(Pin::new(&mut *stream).poll_flush(cx)).map_err(|e| self.broken(e))?;
            if self.step == Step::Open {
                return Poll::Pending;
            }
            self.step = Step::Done;
            self.upload = None;
            return Poll::Ready(Ok(()));
        }
    }

    /// Writes what was gathered, and the piece behind it in the same breath.
    fn write(&self, cx: &mut Context<'_>, stream: &mut UpstreamSocket) -> Poll<io::Result<usize>> {
        let out = self.out.get(self.at..).unwrap_or_default();
        let mut send = |piece: &[u8]| {
            let piece = piece.get(..self.piece).unwrap_or_default();
            stream.poll_send_both(cx, out, piece)
        };
        let written = match &self.upload {
            Some(upload) if self.piece > 0 => upload.with_piece(send),
            _ => send(&[]),
        };
        match ready!(written) {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => Poll::Ready(written),
        }
    }

    /// So much was written.
    fn advance(&mut self, written: usize) {
        let of_out = written.min(self.out.len() - self.at);
        let of_piece = written - of_out;
        self.at += of_out;
        if self.at == self.out.len() && (self.step == Step::Open || self.piece > 0) {
            self.out.clear();
            self.at = 0;
            self.whole = false;
        }
        let Some(upload) = self.upload.as_mut().filter(|_| of_piece > 0) else { return };
        upload.take(of_piece);
        self.whole = false;
        self.piece -= of_piece;
        if self.piece == 0 {
            self.end_piece();
        }
    }

    fn broken(&mut self, error: io::Error) -> SendFault {
        self.broken = true;
        SendFault::Io(error)
    }

    /// Takes what there is of the body, and has room.
    fn gather(
        &mut self,
        cx: &mut Context<'_>,
        moved: &mut impl FnMut(),
    ) -> Result<(), UploadFault> {
        while self.step == Step::Open && self.piece == 0 && self.out.len() < GATHERED {
            let Some(upload) = &mut self.upload else { return Ok(()) };
            match upload.poll_piece(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => {
                    match self.framing {
                        // The parser of the client's side saw to it; an upstream is never left waiting for the rest.
                        Framing::Length(1..) => return Err(UploadFault::Broken),
                        Framing::Length(0) => {}
                        Framing::Chunked => self.out.extend_from_slice(b"0\r\n\r\n"),
                    }
                    self.step = Step::Ended;
                }
                Poll::Ready(Some(piece)) => self.put(piece?)?,
            }
            moved();
        }
        Ok(())
    }

    fn put(&mut self, length: usize) -> Result<(), UploadFault> {
        let size = u64::try_from(length).unwrap_or(u64::MAX);
        match &mut self.framing {
            // Nor does it ever get more than it was told.
            Framing::Length(left) => *left = left.checked_sub(size).ok_or(UploadFault::Broken)?,
            Framing::Chunked => {
                // Writing to memory does not fail.
                let _ = write!(self.out, "{size:x}\r\n");
            }
        }
        match &mut self.upload {
            Some(upload) if length <= COPIED => {
                upload.with_piece(|piece| self.out.extend_from_slice(piece));
                upload.take(length);
                self.end_piece();
            }
            _ => self.piece = length,
        }
        Ok(())
    }

    fn end_piece(&mut self) {
        if self.framing == Framing::Chunked {
            self.out.extend_from_slice(b"\r\n");
        }
    }

    /// Whether all of it left.
    pub(super) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// Whether nothing of it was taken by the upstream's side.
    pub(super) fn is_untouched(&self) -> bool {
        self.at == 0 && self.whole
    }

    /// Whether all of it, or all that came of it, is still there to be sent from its begin.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Makes it be sent from its begin once more.
    pub(super) fn again(&mut self) {
        self.at = 0;
        self.broken = false;
        if self.is_done() {
            self.step = Step::Ended;
        }
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.out
    }
}
