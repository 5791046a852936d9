//! HTTP/1.1 as the tests speak it, on both sides: heads, bodies that are read as they come, and a connection that a test
//! drives step by step. No client library: a test must be able to stop between two bytes.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::wait::LONG;

/// First line and headers of a request or an answer.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The request line or status line.
    pub start: String,
    /// Names as they came, in order.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Reads one; `None` when the peer closed before its first byte.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = Self::default();
        loop {
            let mut line = Vec::new();
            if from.read_until(b'\n', &mut line)? == 0 {
                let begun = !head.start.is_empty();
                return if begun { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            match line.split_once(':') {
                _ if head.start.is_empty() => head.start = line.to_owned(),
                _ if line.is_empty() => return Ok(Some(head)),
                Some((name, value)) => {
                    head.headers.push((name.to_owned(), value.trim().to_owned()));
                }
                None => return Err(io::Error::other(format!("not a header: {line}"))),
            }
        }
    }

    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Of a request line.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// Of a request line.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// Of a status line.
    pub fn status(&self) -> u16 {
        let code = self.start.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("not a status line: {}", self.start))
    }

    fn framing(&self, is_answer: bool) -> Framing {
        let is = |name: &str, value: &str| {
            self.header(name).is_some_and(|own| own.eq_ignore_ascii_case(value))
        };
        if is("transfer-encoding", "chunked") {
            return Framing::Chunk { left: 0, first: true };
        }
        if let Some(length) = self.header("content-length") {
            return Framing::Length(length.parse().unwrap_or_else(|_| panic!("length {length}")));
        }
        let bodiless = !is_answer || matches!(self.status(), 100..200 | 204 | 304);
        if bodiless { Framing::Over } else { Framing::UntilClose }
    }
}

/// The first value of a header among `headers`, whatever its case.
pub fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[derive(Clone, Copy)]
enum Framing {
    Length(u64),
    Chunk { left: u64, first: bool },
    UntilClose,
    Over,
}

/// A body, read as it comes. One that breaks off before its declared end is an error, never an end.
pub struct Body<'r, R> {
    from: &'r mut R,
    framing: Framing,
}

impl<'r, R: BufRead> Body<'r, R> {
    /// The body of a request.
    pub fn of_request(head: &Head, from: &'r mut R) -> Self {
        Self { from, framing: head.framing(false) }
    }

    /// The body of an answer.
    pub fn of_answer(head: &Head, from: &'r mut R) -> Self {
        Self { from, framing: head.framing(true) }
    }

    /// Reads to the end and gives the number of bytes.
    pub fn drain(mut self) -> io::Result<u64> {
        let mut block = vec![0; 1 << 18];
        let mut count = 0;
        loop {
            match self.read(&mut block)? {
                0 => return Ok(count),
                read => count += u64::try_from(read).unwrap_or_default(),
            }
        }
    }

    fn chunk_size(&mut self) -> io::Result<u64> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let size = line.trim().split(';').next().unwrap_or_default();
        u64::from_str_radix(size, 16)
            .map_err(|_| io::Error::new(io::ErrorKind::UnexpectedEof, format!("chunk {line:?}")))
    }

    /// What stands behind a chunk's data, and the trailers behind the last one.
    fn line_end(&mut self) -> io::Result<bool> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim().is_empty())
    }
}

impl<R: BufRead> Read for Body<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Framing::Chunk { left: 0, first } = self.framing {
            if !first {
                self.line_end()?;
            }
            let left = self.chunk_size()?;
            self.framing = Framing::Chunk { left, first: false };
            if left == 0 {
                while !self.line_end()? {}
                self.framing = Framing::Over;
            }
        }
        let left = match self.framing {
            Framing::Over => return Ok(0),
            Framing::UntilClose => return self.from.read(into),
            Framing::Length(left) | Framing::Chunk { left, .. } => left,
        };
        if left == 0 {
            self.framing = Framing::Over;
            return Ok(0);
        }
        let most = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.from.read(&mut into[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{left} bytes short"),
            ));
        }
        let left = left - u64::try_from(read).unwrap_or_default();
        self.framing = match self.framing {
            Framing::Chunk { first, .. } => Framing::Chunk { left, first },
            _ => Framing::Length(left),
        };
        Ok(read)
    }
}

/// An answer in whole.
#[derive(Clone, Debug)]
pub struct WholeAnswer {
    /// Status line and headers.
    pub head: Head,
    /// The body.
    pub body: String,
}

impl WholeAnswer {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status()
    }
}

/// A client's connection in the clear. Every read has an end: half a minute without a byte is an error.
pub struct Connection {
    reader: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects, and will name `host` in its requests.
    pub fn open(address: SocketAddr, host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, LONG)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONG))?;
        stream.set_write_timeout(Some(LONG))?;
        Ok(Self { reader: BufReader::with_capacity(1 << 18, stream), host: host.to_owned() })
    }

    /// Where bytes to the server are written.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }

    /// Sends a request's head.
    pub fn send_head(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        self.stream().write_all(head.as_bytes())
    }

    /// Reads an answer's head, leaving its body.
    pub fn head(&mut self) -> io::Result<Head> {
        Head::read(&mut self.reader)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The body of the answer whose head was read.
    pub fn body(&mut self, head: &Head) -> Body<'_, BufReader<TcpStream>> {
        Body::of_answer(head, &mut self.reader)
    }

    /// Reads a whole answer.
    pub fn answer(&mut self) -> io::Result<WholeAnswer> {
        let head = self.head()?;
        let mut body = String::new();
        self.body(&head).read_to_string(&mut body)?;
        Ok(WholeAnswer { head, body })
    }

    /// A request without a body, and its answer. The connection can be used again.
    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> io::Result<WholeAnswer> {
        self.send_head("GET", target, headers)?;
        self.answer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: &str) -> io::Result<String> {
        let mut from = BufReader::with_capacity(3, answer.as_bytes());
        let head = Head::read(&mut from)?.unwrap();
        let mut body = String::new();
        Body::of_answer(&head, &mut from).read_to_string(&mut body)?;
        Ok(body)
    }

    #[test]
    fn bodies_are_read_in_every_framing() {
        let head = "HTTP/1.1 200 OK\r\n";
        assert_eq!(body(&format!("{head}Content-Length: 5\r\n\r\nhello!")).unwrap(), "hello");
        assert_eq!(body(&format!("{head}\r\nhello!")).unwrap(), "hello!");
        let chunked =
            "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nT: r\r\n\r\n";
        assert_eq!(body(&format!("{head}{chunked}")).unwrap(), "hello");
        assert_eq!(body("HTTP/1.1 204 No Content\r\n\r\n").unwrap(), "");
    }

    #[test]
    fn a_body_that_breaks_off_is_an_error() {
        for cut in [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        ] {
            assert_eq!(body(cut).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{cut:?}");
        }
    }
}
