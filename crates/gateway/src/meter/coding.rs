//! Reads answers that come compressed. The client gets them as they are; they are decoded beside that, for the meter alone.
//!
//! What is decoded is bounded by what came, so that a few bytes do not become work for minutes. The codings are written in the order
//! in which they were applied (RFC 9110, 8.4), so the last one is taken off first.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use keyward_core::metering::{Estimate, Form, Reader, Used};

use super::{Lent, count};

/// Codings that are taken off one another, at most.
const MOST_CODINGS: usize = 3;
/// No text of an API is more than so many times as long as it is compressed.
const MOST_RATIO: u64 = 256;
/// Beside that, an answer of this length is read in any case.
const ALWAYS_READ: u64 = 1024 * 1024;
/// The longest window of zstd that is taken, as its RFC 8878 advises: 8 MiB.
const ZSTD_WINDOW: u32 = 23;
const BROTLI_BUFFER: usize = 4096;

/// An answer that is decoded and read.
pub(crate) struct Coded {
    read: Rc<RefCell<Decoded>>,
    decoder: Box<dyn Write>,
    /// Bytes that came.
    bytes: u64,
}

/// What comes out of the decoders.
struct Decoded {
    reader: Reader,
    metering: Lent,
    /// Bytes that may still come out.
    left: u64,
}

struct Into(Rc<RefCell<Decoded>>);

impl Write for Into {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let Decoded { reader, metering, left } = &mut *self.0.borrow_mut();
        let Some(rest) = left.checked_sub(count(piece)) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        *left = rest;
        reader.read(metering, piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Coded {
    /// For an answer whose `content-encoding` says this; `None` where a coding is not known.
    pub(crate) fn new<'a>(
        form: Form,
        named: impl Iterator<Item = &'a [u8]>,
        metering: &Lent,
    ) -> Option<Self> {
        let reader = Reader::new(form);
        let decoded = Decoded { reader, metering: metering.clone(), left: ALWAYS_READ };
        let read = Rc::new(RefCell::new(decoded));
        let mut decoder: Box<dyn Write> = Box::new(Into(read.clone()));
        let codings = named.flat_map(|value| value.split(|byte| *byte == b','));
        let codings = codings.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty());
        for (at, coding) in codings.enumerate() {
            if at == MOST_CODINGS {
                return None;
            }
            decoder = match &*coding.to_ascii_lowercase() {
                b"identity" => decoder,
                b"gzip" | b"x-gzip" => Box::new(MultiGzDecoder::new(decoder)),
                b"deflate" => Box::new(Deflate::Begins(Some(decoder))),
                b"br" => Box::new(DecompressorWriter::new(decoder, BROTLI_BUFFER)),
                b"zstd" => {
                    let mut zstd = zstd::stream::raw::Decoder::new().ok()?;
                    let window = zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW);
                    zstd.set_parameter(window).ok()?;
                    Box::new(zstd::stream::zio::Writer::new(decoder, zstd))
                }
                _ => return None,
            };
        }
        Some(Self { read, decoder, bytes: 0 })
    }

    /// Reads a piece. Where it is not what it should be, the answer cannot be read any more: gives the bytes that came.
    pub(crate) fn read(&mut self, piece: &[u8]) -> Result<(), u64> {
        self.bytes = self.bytes.saturating_add(count(piece));
        {
            let left = &mut self.read.borrow_mut().left;
            *left = left.saturating_add(count(piece).saturating_mul(MOST_RATIO));
        }
        let written = self.decoder.write_all(piece).and_then(|()| self.decoder.flush());
        written.map_err(|_| self.bytes)
    }

    /// How many tokens were written so far.
    pub(super) fn written(&self) -> u64 {
        self.read.borrow().reader.written()
    }

    /// What was used; `None` where that cannot be read.
    pub(crate) fn end(&mut self, estimate: &Estimate, is_whole: bool) -> Option<Used> {
        self.decoder.flush().ok()?;
        let Decoded { reader, metering, .. } = &mut *self.read.borrow_mut();
        reader.end(metering, is_whole);
        Some(reader.used(estimate))
    }
}

/// `deflate` is the zlib format (RFC 9110, 8.4.1.2), but there are servers that leave its frame out.
enum Deflate {
    Begins(Option<Box<dyn Write>>),
    Framed(ZlibDecoder<Box<dyn Write>>),
    Bare(DeflateDecoder<Box<dyn Write>>),
}

impl Write for Deflate {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if let Self::Begins(into) = self {
            let (Some(first), Some(into)) = (piece.first(), into.take()) else { return Ok(0) };
            *self = match first & 0x8f == 0x08 {
                true => Self::Framed(ZlibDecoder::new(into)),
                false => Self::Bare(DeflateDecoder::new(into)),
            };
        }
        match self {
            Self::Begins(_) => Ok(0),
            Self::Framed(decoder) => decoder.write(piece),
            Self::Bare(decoder) => decoder.write(piece),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Begins(_) => Ok(()),
            Self::Framed(decoder) => decoder.flush(),
            Self::Bare(decoder) => decoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flate2::{Compression, write::GzEncoder};
    use keyward_core::metering::Metering;
    use proptest::prelude::*;

    use super::*;

    fn coded(codings: &str) -> Option<Coded> {
        let named = std::iter::once(codings.as_bytes());
        Coded::new(Form::Json, named, &Rc::new(Arc::<Metering>::default()))
    }

    #[test]
    fn codings_are_known_by_name_and_few_at_once() {
        for known in ["gzip", "X-Gzip", "deflate", "br", "zstd", "identity", "", "gzip, br,zstd"] {
            assert!(coded(known).is_some(), "{known}");
        }
        for unknown in ["compress", "gzip, unknown", "gzip, gzip, gzip, gzip", "gzipped"] {
            assert!(coded(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn what_grows_out_of_all_proportion_is_given_up() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b' '; 16 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        let length = bomb.len() as u64;
        assert_eq!(coded("gzip").unwrap().read(&bomb), Err(length));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_fail_otherwise_than_by_giving_up(
            coding in prop::sample::select(vec!["gzip", "deflate", "br", "zstd", "br, zstd", "deflate, gzip"]),
            // What begins like it should goes deeper.
            begin in prop::sample::select(vec![
                &b""[..], b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b"\x78\x9c", b"\x28\xb5\x2f\xfd\x04\0", b"\x1b", b"\x0b",
            ]),
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4),
        ) {
            let mut coded = coded(coding).unwrap();
            let mut whole = coded.read(begin).is_ok();
            for piece in &pieces {
                whole = whole && coded.read(piece).is_ok();
            }
            if whole {
                let _ = coded.end(&Estimate::default(), true);
            }
        }
    }
}
