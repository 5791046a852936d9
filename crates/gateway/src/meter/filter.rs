//! Takes the event out of a stream that came because we asked for it.
//!
//! Events pass whole: one that is not whole yet waits for its end, which no client minds, for it can make nothing of a part either.

use keyward_core::metering::{Metering, Reader};

use super::Passed;

/// An event that is larger is no event of usage.
const LARGEST_EVENT: usize = 1024 * 1024;

/// A filter in the middle of a stream.
#[derive(Default)]
pub(crate) struct Filter {
    /// What came of an event that has not ended.
    held: Vec<u8>,
    /// The last event ended with CR at a piece's end, and whether it was passed: a LF behind it belongs to it.
    after_cr: Option<bool>,
    /// The event was too large to wait for; nothing is taken out any more.
    gave_up: bool,
}

impl Filter {
    /// What the client is to get of what came so far, and where the last event ends in it.
    pub(crate) fn pass(
        &mut self,
        reader: &mut Reader,
        metering: &Metering,
        piece: &[u8],
    ) -> (Passed, Option<usize>) {
        if self.gave_up {
            let whole = reader.read(metering, piece);
            return (Passed::AsItIs, whole);
        }
        let mut out = Vec::with_capacity(self.held.len() + piece.len());
        let mut rest = piece;
        while !rest.is_empty() {
            if let Some(passed) = self.after_cr.take()
                && let Some((b'\n', more)) = rest.split_first()
            {
                reader.read_event(metering, b"\n");
                out.extend(passed.then_some(b'\n'));
                rest = more;
                continue;
            }
            let (read, end) = reader.read_event(metering, rest);
            let (event, more) = rest.split_at_checked(read).unwrap_or((rest, &[]));
            self.held.extend_from_slice(event);
            rest = more;
            let Some(end) = end else { continue };
            self.after_cr = self.held.ends_with(b"\r").then_some(!end.is_extra);
            if !end.is_extra {
                out.extend_from_slice(&self.held);
            }
            self.held.clear();
        }
        let whole = out.len();
        if self.held.len() > LARGEST_EVENT {
            self.gave_up = true;
            out.append(&mut self.held);
        }
        (Passed::Instead(out), Some(whole))
    }

    /// Whether something waits.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What waits in vain: the answer is over.
    pub(crate) fn rest(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.held)).filter(|held| !held.is_empty())
    }
}
