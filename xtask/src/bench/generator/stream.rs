//! The generator's end of a connection: TCP, in the clear or under TLS. It never waits once it is
//! open.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::bench::tls;

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects, and under TLS shakes hands.
    pub(super) fn open(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let mut tcp = TcpStream::connect(address)
            .with_context(|| format!("a connection to {address} cannot be made"))?;
        tcp.set_nodelay(true)?;
        let Some(config) = tls else {
            tcp.set_nonblocking(true)?;
            return Ok(Self::Plain(tcp));
        };
        let name = ServerName::try_from(tls::NAME)?;
        let mut connection = ClientConnection::new(Arc::clone(config), name)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp).context("no TLS handshake")?;
        }
        let (agreed, wanted) = (connection.alpn_protocol(), config.alpn_protocols.first());
        if agreed != wanted.map(Vec::as_slice) {
            bail!("the proxy speaks another protocol under TLS than was asked for");
        }
        tcp.set_nonblocking(true)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, tcp))))
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref(),
        }
    }

    pub(super) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(room),
            Self::Tls(tls) => tls.read(room),
        }
    }

    /// How much was taken: under TLS maybe nothing, and what was taken may still wait to be sent.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    /// Whether something taken waits to be sent.
    pub(super) fn holds_back(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.conn.wants_write(),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
