//! Buffers of one core, lent to whoever has bytes under way: a connection that lies idle keeps none.

use std::{
    cell::RefCell,
    io,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What is read at once.
pub(crate) const READ: usize = 16 * 1024;
/// The same once that was filled.
const READ_MUCH: usize = 64 * 1024;
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

/// The spare ones.
#[derive(Default)]
pub(crate) struct Buffers {
    reads: RefCell<Vec<BytesMut>>,
    writes: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer to read into.
    pub(crate) fn read(&self) -> BytesMut {
        self.reads.borrow_mut().pop().unwrap_or_default()
    }

    /// An empty buffer to write into.
    pub(crate) fn write(&self) -> Vec<u8> {
        self.writes.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(WRITTEN))
    }

    /// Keeps a buffer, without what is in it.
    pub(crate) fn keep_read(&self, mut buffer: BytesMut) {
        buffer.clear();
        keep(&self.reads, buffer, BytesMut::capacity);
    }

    /// Keeps a buffer, without what is in it.
    pub(crate) fn keep_write(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        keep(&self.writes, buffer, Vec::capacity);
    }
}

fn keep<B>(spare: &RefCell<Vec<B>>, buffer: B, capacity: impl Fn(&B) -> usize) {
    let mut spare = spare.borrow_mut();
    if spare.len() < MOST_SPARE && (1..=SPARE_BYTES).contains(&capacity(&buffer)) {
        spare.push(buffer);
    }
}

/// Reads what there is behind what the buffer holds, up to a bound that grows once it was filled.
pub(crate) fn fill(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    most: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if buffer.capacity() - buffer.len() < *most / 4 {
        buffer.reserve(*most);
    }
    let room = buffer.capacity() - buffer.len();
    let read = ready!(pin!(stream.read_buf(buffer)).poll(cx))?;
    if read == room {
        *most = READ_MUCH;
    }
    Poll::Ready(Ok(read))
}
