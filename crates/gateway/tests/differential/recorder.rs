//! An upstream that keeps what reaches it, read strictly, and numbers its answers: so each answer a client gets names the one
//! request that the upstream took for it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};

use crate::strict::{self, Reading, Request};

/// The header that numbers an answer.
pub const SERIAL: &str = "x-serial";

/// What reached an upstream so far.
#[derive(Default)]
pub struct Seen {
    /// Whole requests, in the order in which they were answered.
    pub whole: Vec<Request>,
    /// What came on a connection that ended before a request was whole, or was none.
    pub cut: Vec<Vec<u8>>,
}

#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Seen>>);

impl Recorder {
    /// On a free port.
    pub async fn on_port() -> (Self, SocketAddr) {
        let recorder = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = recorder.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(own.clone().serve(stream));
            }
        });
        (recorder, address)
    }

    /// At a socket in a folder, which no other program can take.
    pub fn at(path: &Path) -> Self {
        let recorder = Self::default();
        let listener = UnixListener::bind(path).unwrap();
        let own = recorder.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(own.clone().serve(stream));
            }
        });
        recorder
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut bytes = Vec::new();
        loop {
            match strict::read(&bytes) {
                Reading::Whole(request, used) => {
                    bytes.drain(..used);
                    let serial = self.with(|seen| {
                        seen.whole.push(*request);
                        seen.whole.len() - 1
                    });
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\n{SERIAL}: {serial}\r\ncontent-length: 0\r\n\r\n"
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
                Reading::Partial => match stream.read_buf(&mut bytes).await {
                    Ok(1..) => {}
                    _ => break,
                },
                Reading::Broken(_) => {
                    let refused = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                    let _ = stream.write_all(refused).await;
                    break;
                }
            }
        }
        if !bytes.is_empty() {
            self.with(|seen| seen.cut.push(bytes));
        }
    }
}
