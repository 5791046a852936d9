//! Connecting to an upstream, and whether an idle connection to it is still good.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use keyward_core::policy::Upstream;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead as _, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{settings::Compiled, socket::UpstreamSocket};

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFault {
    #[error("it did not take the connection in time")]
    Timeout,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it closed the connection before the request was sent")]
    Closed,
    #[error("its name is no TLS server name")]
    Name,
}

/// Connects, and shakes hands where the upstream speaks TLS.
pub(super) async fn connect(
    upstream: &Upstream,
    settings: &Compiled,
) -> Result<UpstreamSocket, ConnectFault> {
    let host = upstream.host.trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((host, upstream.port)).await?;
    tcp.set_nodelay(true)?;
    if !upstream.tls {
        return Ok(UpstreamSocket::Tcp(tcp));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectFault::Name)?;
    let connector = TlsConnector::from(Arc::clone(&settings.upstream_tls));
    Ok(UpstreamSocket::Tls(Box::new(connector.connect(name, tcp).await?)))
}

impl UpstreamSocket {
    /// Whether an idle connection is open and nothing came on it. Costs no system call while nothing did.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match self {
            Self::Tcp(tcp) => tcp
                .try_read(&mut byte)
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock),
            Self::Tls(tls) => {
                let mut cx = Context::from_waker(Waker::noop());
                // Without the task's budget: used up, it would make every connection look quiet.
                let looks = std::future::poll_fn(|cx| {
                    let poll = Pin::new(&mut **tls).poll_read(cx, &mut ReadBuf::new(&mut byte));
                    Poll::Ready(poll.is_pending())
                });
                let looks = std::pin::pin!(tokio::task::unconstrained(looks));
                matches!(std::future::Future::poll(looks, &mut cx), Poll::Ready(true))
            }
        }
    }
}
