//! HTTP/1.1 as bytes, read by hand: what a test asserts must not be smoothed over by a library.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Anything with two directions.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Every byte one side of a connection received.
pub type Log = Arc<Mutex<Vec<u8>>>;

/// A first line, headers in the order and spelling they came.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub line: String,
    pub headers: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), value.trim().to_owned())
        });
        Self { line, headers: headers.collect() }
    }

    /// Every value of a header, whatever its case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of a header; two are a failure of the test.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} came {} times: {self:?}", all.len());
        all.first().copied()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// An answer's status.
    pub fn status(&self) -> u16 {
        let status = self.line.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("not a status line: {:?}", self.line))
    }

    fn length(&self) -> Option<usize> {
        self.get("content-length").map(|length| length.parse().unwrap())
    }

    fn is_chunked(&self) -> bool {
        self.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    }
}

/// A whole message.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Message {
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// One side of a connection.
pub struct Wire<S> {
    pub stream: S,
    unread: Vec<u8>,
    log: Option<Log>,
}

impl<S: Duplex> Wire<S> {
    pub fn new(stream: S, log: Option<Log>) -> Self {
        Self { stream, unread: Vec::new(), log }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Reads what there is into the buffer; `false` at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        let mut space = vec![0; 64 * 1024];
        let count = self.stream.read(&mut space).await?;
        if let Some(log) = &self.log {
            log.lock().unwrap().extend_from_slice(&space[..count]);
        }
        self.unread.extend_from_slice(&space[..count]);
        Ok(count > 0)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.unread.split_off(count);
        std::mem::replace(&mut self.unread, rest)
    }

    /// The next head; `None` where the other side ended before one began.
    pub async fn try_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let text = self.take(end + 4);
                return Ok(Some(Head::parse(&String::from_utf8_lossy(&text))));
            }
            if !self.fill().await? {
                if self.unread.is_empty() {
                    return Ok(None);
                }
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub async fn head(&mut self) -> Head {
        self.try_head().await.unwrap().expect("a head, not the end")
    }

    /// Exactly so many bytes.
    pub async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.take(count))
    }

    /// Whatever comes next: at least a byte, or nothing at the end.
    pub async fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.unread.is_empty() {
            self.fill().await?;
        }
        Ok(std::mem::take(&mut self.unread))
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let mut line = self.take(end + 2);
                line.truncate(end);
                return Ok(String::from_utf8(line).unwrap());
            }
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next chunk of a chunked body; empty for the last one, whose trailers are left to be read.
    pub async fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line().await?;
        let size = usize::from_str_radix(line.split(';').next().unwrap(), 16)
            .unwrap_or_else(|_| panic!("not a chunk size: {line:?}"));
        if size == 0 {
            return Ok(Vec::new());
        }
        let data = self.exactly(size).await?;
        assert_eq!(self.line().await?, "", "a chunk ends with CR LF");
        Ok(data)
    }

    pub async fn trailers(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut trailers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(trailers);
            }
            let (name, value) = line.split_once(':').unwrap();
            trailers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// The body behind a request's head.
    pub async fn request_body(&mut self, head: Head) -> io::Result<Message> {
        self.body(head, false, false).await
    }

    /// The body behind an answer's head.
    pub async fn answer_body(&mut self, head: Head, to_head: bool) -> io::Result<Message> {
        let bodiless = to_head || matches!(head.status(), 100..=199 | 204 | 304);
        self.body(head, bodiless, true).await
    }

    async fn body(&mut self, head: Head, bodiless: bool, until_end: bool) -> io::Result<Message> {
        let mut message = Message { head, ..Message::default() };
        if bodiless {
            return Ok(message);
        }
        if message.head.is_chunked() {
            loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    break;
                }
                message.body.extend_from_slice(&chunk);
            }
            message.trailers = self.trailers().await?;
        } else if let Some(length) = message.head.length() {
            message.body = self.exactly(length).await?;
        } else if until_end {
            message.body = self.rest().await?;
        }
        Ok(message)
    }

    /// Everything up to the end; an error where the connection was reset.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? {}
        Ok(std::mem::take(&mut self.unread))
    }
}

impl Wire<Box<dyn Duplex>> {
    /// Two halves: one to read, one to write.
    pub fn split(self) -> (Self, Self) {
        let (reading, writing) = tokio::io::split(self.stream);
        let half = |stream: Box<dyn Duplex>, unread, log| Self { stream, unread, log };
        let reading = tokio::io::join(reading, tokio::io::sink());
        let writing = tokio::io::join(tokio::io::empty(), writing);
        (half(Box::new(reading), self.unread, self.log), half(Box::new(writing), Vec::new(), None))
    }
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// An answer with a body and its length.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// `200 OK` with a body.
pub fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", "", body)
}
