//! Buffers of one core, lent to whoever has bytes under way: a connection that lies idle keeps none.
//!
//! What a request needs is lent and given back, so that nothing is allocated for it once a core has served a few.

use std::{
    cell::RefCell,
    io,
    ops::Deref,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{request::RequestHead, socket::Socket};

/// What is read at once.
const READ: usize = 16 * 1024;
/// The same once that was filled.
const READ_MUCH: usize = 64 * 1024;
/// What waits for more in so few bytes does not keep a buffer for it.
const FEW: usize = 2 * 1024;
/// A piece up to this size is copied behind what is there already, so that both leave in one write.
pub(crate) const COPIED: usize = 16 * 1024;
/// So much is gathered before it is written.
pub(crate) const GATHERED: usize = 32 * 1024;
/// Buffers kept for the next borrower, of each kind: a busy core lends a few to each request under way.
const MOST_SPARE: usize = 256;
/// What a buffer to write into begins with: a head and a small body.
const WRITTEN: usize = 1024;
/// A larger buffer is given back to the system.
const SPARE_BYTES: usize = 64 * 1024;
/// Fields of a head that is kept for the next.
const SPARE_FIELDS: usize = 128;

/// The spare ones.
#[derive(Default)]
pub(crate) struct Buffers {
    reads: RefCell<Vec<Vec<u8>>>,
    writes: RefCell<Vec<Vec<u8>>>,
    #[expect(clippy::vec_box, reason = "boxes are lent, and heads are large")]
    heads: RefCell<Vec<Box<RequestHead>>>,
}

impl Buffers {
    /// An empty buffer to read into.
    fn read(&self) -> Vec<u8> {
        self.reads.borrow_mut().pop().unwrap_or_default()
    }

    /// An empty buffer to write into.
    pub(crate) fn write(&self) -> Vec<u8> {
        self.writes.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(WRITTEN))
    }

    /// Keeps a buffer, without what is in it.
    fn keep_read(&self, buffer: Vec<u8>) {
        keep(&self.reads, buffer);
    }

    /// Keeps a buffer, without what is in it.
    pub(crate) fn keep_write(&self, buffer: Vec<u8>) {
        keep(&self.writes, buffer);
    }

    /// A head to be read into.
    pub(crate) fn head(&self) -> Box<RequestHead> {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a head, without what it says.
    pub(crate) fn keep_head(&self, mut head: Box<RequestHead>) {
        let mut spare = self.heads.borrow_mut();
        let (bytes, fields) = head.clear();
        if spare.len() < MOST_SPARE && bytes <= WRITTEN * 4 && fields <= SPARE_FIELDS {
            spare.push(head);
        }
    }
}

fn keep(spare: &RefCell<Vec<Vec<u8>>>, mut buffer: Vec<u8>) {
    let mut spare = spare.borrow_mut();
    if spare.len() < MOST_SPARE && (1..=SPARE_BYTES).contains(&buffer.capacity()) {
        buffer.clear();
        spare.push(buffer);
    }
}

/// What was read from a connection and not taken yet.
#[derive(Default)]
pub(crate) struct Received {
    bytes: Vec<u8>,
    /// So many at the front were taken.
    taken: usize,
    /// So many behind those are content that may be taken: a piece.
    piece: usize,
    /// A read has filled all the room there was: more comes, and is read at once.
    fills: bool,
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }
}

impl Received {
    /// The first so many are not needed any more.
    pub(crate) fn take(&mut self, count: usize) {
        self.taken += count;
        if self.taken >= self.bytes.len() {
            self.clear();
        }
    }

    /// The first so many are a piece of content.
    pub(crate) fn found_piece(&mut self, length: usize) {
        self.piece = length;
    }

    /// The piece, as far as it was not taken.
    pub(crate) fn piece(&self) -> &[u8] {
        self.get(..self.piece).unwrap_or_default()
    }

    /// So many bytes of the piece are not needed any more.
    pub(crate) fn take_piece(&mut self, count: usize) {
        let count = count.min(self.piece);
        self.piece -= count;
        self.take(count);
    }

    /// Nothing of it is needed any more.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        (self.taken, self.piece) = (0, 0);
    }

    /// Reads what there is behind what was read, into a buffer that is lent.
    pub(crate) fn poll_fill<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        buffers: &Buffers,
        socket: &mut Socket<T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        ready!(socket.poll_readable(cx))?;
        let most = if self.fills { READ_MUCH } else { READ };
        if self.bytes.capacity() < READ {
            let few = std::mem::replace(&mut self.bytes, buffers.read());
            self.bytes.extend_from_slice(&few);
        }
        if self.room() < most / 4 {
            self.bytes.drain(..std::mem::take(&mut self.taken));
        }
        if self.room() < most / 4 {
            self.bytes.reserve(most);
        }
        let room = self.room();
        let read = socket.poll_fill(cx, &mut self.bytes);
        self.fills |= matches!(read, Poll::Ready(Ok(read)) if read == room);
        read
    }

    fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// More is waited for: gives back the buffer, but for the bytes that are needed still, where they are few. Who sends slowly does not
    /// keep much more than what it sent.
    pub(crate) fn wait(&mut self, buffers: &Buffers) {
        if self.bytes.capacity() < READ || self.len() > FEW {
            return;
        }
        let (few, piece) = (self.to_vec(), self.piece);
        self.give_back(buffers);
        (self.bytes, self.piece) = (few, piece);
    }

    /// Gives back the buffer, and what is in it.
    pub(crate) fn give_back(&mut self, buffers: &Buffers) {
        (self.taken, self.piece) = (0, 0);
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() >= READ {
            buffers.keep_read(bytes);
        }
    }

    /// All of it, for another who goes on reading.
    pub(crate) fn into_rest(mut self) -> Vec<u8> {
        self.bytes.drain(..self.taken);
        self.bytes
    }
}
