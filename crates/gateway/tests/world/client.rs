//! A client that sends exactly the bytes it is given.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{
    message::{Duplex, Head, Message, Wire},
    soon,
    upstream::raw,
};

pub struct Client {
    pub wire: Wire<Box<dyn Duplex>>,
    raw: socket2::Socket,
}

/// How a connection ended, and what came before its end.
#[derive(Debug)]
pub struct End {
    pub bytes: Vec<u8>,
    pub reset: bool,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let tcp = soon(TcpStream::connect(address)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let raw = raw(&tcp);
        Self { wire: Wire::new(Box::new(tcp), None), raw }
    }

    /// By TLS; gives also the protocol that was agreed on.
    pub async fn connect_tls(
        address: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> io::Result<(Self, Option<Vec<u8>>)> {
        let tcp = soon(TcpStream::connect(address)).await?;
        tcp.set_nodelay(true)?;
        let raw = raw(&tcp);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = soon(TlsConnector::from(config).connect(name, tcp)).await?;
        let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        Ok((Self { wire: Wire::new(Box::new(stream), None), raw }, protocol))
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.wire.send(bytes)).await;
    }

    /// The next head, interim ones too.
    pub async fn head(&mut self) -> Head {
        soon(self.wire.head()).await
    }

    /// The next whole answer.
    pub async fn answer(&mut self) -> Message {
        soon(self.try_answer(false)).await.unwrap()
    }

    /// The next whole answer to a HEAD request.
    pub async fn answer_to_head(&mut self) -> Message {
        soon(self.try_answer(true)).await.unwrap()
    }

    pub async fn try_answer(&mut self, to_head: bool) -> io::Result<Message> {
        let head = self.wire.try_head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.wire.answer_body(head, to_head).await
    }

    /// Sends a request and takes its answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.answer().await
    }

    /// Waits until the gateway closes the connection.
    pub async fn end(&mut self) -> End {
        match soon(self.wire.rest()).await {
            Ok(bytes) => End { bytes, reset: false },
            Err(_) => End { bytes: Vec::new(), reset: true },
        }
    }

    /// Waits until the gateway closes the connection without another byte.
    pub async fn closed(&mut self) {
        let End { bytes, .. } = self.end().await;
        assert!(bytes.is_empty(), "after the end came {:?}", String::from_utf8_lossy(&bytes));
    }

    /// Says that no more will be sent, and goes on reading.
    pub fn finish(&self) {
        self.raw.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Breaks off with a reset.
    pub fn reset(self) {
        self.raw.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}
