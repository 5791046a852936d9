//! How a stream comes: in one read, or cut by what the input itself says.

/// The sizes of reads, over and over.
#[derive(Clone, Copy)]
pub(super) struct Cuts([u8; 4]);

/// This size stands for all there is.
const REST: u8 = u8::MAX;

impl Cuts {
    /// In one read.
    pub(super) const NONE: Cuts = Cuts([REST; 4]);

    /// The first bytes of an input say how the rest is cut.
    pub(super) fn split(input: &[u8]) -> Option<(Cuts, &[u8])> {
        let (sizes, stream) = input.split_first_chunk()?;
        Some((Cuts(*sizes), stream))
    }

    /// How much of a stream has come after each read.
    pub(super) fn arrivals(self, length: usize) -> impl Iterator<Item = usize> {
        let mut arrived = 0_usize;
        self.0.into_iter().cycle().map_while(move |size| {
            let size = if size == REST { length } else { usize::from(size).max(1) };
            let before = arrived;
            arrived = length.min(before.saturating_add(size));
            (before < length).then_some(arrived)
        })
    }
}
