//! What an upgraded connection becomes: bytes both ways, from the upstream's 101 on and never before it.

use std::rc::Rc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::{
    body::Answer,
    record::Ticket,
    worker::{Place, Worker},
};

/// Opens the tunnel as soon as the 101 is written; gives its (empty) body. The request's record ends with the tunnel.
pub(crate) fn open(
    worker: &Rc<Worker>,
    client: OnUpgrade,
    upstream: OnUpgrade,
    mut ticket: Ticket,
) -> Answer {
    let place = Place::take(worker);
    tokio::task::spawn_local(async move {
        if let Ok((client, upstream)) = tokio::try_join!(client, upstream) {
            let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
            // Either side may go at any time: that is how tunnels end.
            if let Ok((up, down)) = tokio::io::copy_bidirectional(&mut client, &mut upstream).await
            {
                ticket.sums.bytes_in = up;
                ticket.sums.bytes_out = down;
            }
        }
        drop(ticket);
        drop(place);
    });
    Answer::empty()
}
