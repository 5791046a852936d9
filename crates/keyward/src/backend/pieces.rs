//! Exports of a data folder, which come in pieces, each as long as a server would send at once.

use keyward_control::{ControlError, app::export::Piece};

/// Hands on piece after piece, from the first to the last. `next` gives the one behind a place, and says where that ends.
pub(super) async fn hand_on<Cursor>(
    mut next: impl AsyncFnMut(Option<Cursor>) -> Result<Piece<Cursor>, ControlError>,
    mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let piece = next(after).await?;
        take(&piece.bytes)?;
        if piece.next.is_none() {
            return Ok(());
        }
        after = piece.next;
    }
}
