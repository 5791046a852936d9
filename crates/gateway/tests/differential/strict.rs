//! A reader of HTTP/1.1 requests that knows one way to read each, and refuses the rest.
//!
//! It says what a client's bytes mean, and reads what reaches an upstream. It shares nothing with the gateway's own parser and is
//! built otherwise (whole messages, line by line, no tables): a mistake would have to be made twice to go unseen.

/// A request that reads one way only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Path and query; of an absolute target what stands behind its authority.
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub framing: Framing,
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Nothing,
    Length(usize),
    Chunked,
}

/// What stands at the front of some bytes.
pub enum Reading {
    /// A whole request, and how many bytes it takes.
    Whole(Box<Request>, usize),
    /// The beginning of one.
    Partial,
    /// Nothing that may be read, and why.
    Broken(&'static str),
}

enum Stop {
    Partial,
    Broken(&'static str),
}

type Read<T> = Result<T, Stop>;

pub fn read(bytes: &[u8]) -> Reading {
    let mut rest = Rest(bytes);
    match rest.request() {
        Ok(request) => Reading::Whole(Box::new(request), bytes.len() - rest.0.len()),
        Err(Stop::Partial) => Reading::Partial,
        Err(Stop::Broken(why)) => Reading::Broken(why),
    }
}

/// The head alone, and how many bytes it takes, where it is whole and sound.
pub fn read_head(bytes: &[u8]) -> Option<(Request, usize)> {
    let mut rest = Rest(bytes);
    let head = rest.head().ok()?;
    Some((head, bytes.len() - rest.0.len()))
}

/// All requests that stand in a client's bytes, and how they end.
pub fn read_all(bytes: &[u8]) -> Stream {
    let mut stream = Stream { requests: Vec::new(), end: End::Clean };
    let mut rest = bytes;
    while !rest.is_empty() {
        match read(rest) {
            Reading::Whole(request, used) => {
                stream.requests.push(*request);
                rest = &rest[used..];
            }
            Reading::Partial => {
                stream.end = End::Partial;
                break;
            }
            Reading::Broken(why) => {
                stream.end = End::Broken(why);
                break;
            }
        }
    }
    stream
}

/// What a client sent on one connection.
pub struct Stream {
    pub requests: Vec<Request>,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Clean,
    /// A request that began and is not whole.
    Partial,
    /// Something that is no request, and why.
    Broken(&'static str),
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = self.headers.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice())
    }
}

struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn request(&mut self) -> Read<Request> {
        let mut request = self.head()?;
        request.body = match request.framing {
            Framing::Nothing => Vec::new(),
            Framing::Length(length) => self.exactly(length)?.to_vec(),
            Framing::Chunked => self.chunks()?,
        };
        Ok(request)
    }

    fn head(&mut self) -> Read<Request> {
        let (method, target, http10) = request_line(self.line()?)?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            headers.push(field(line)?);
        }
        let (authority, target) = split_target(method, target)?;
        let mut request = Request {
            method: method.to_owned(),
            target,
            headers,
            framing: Framing::Nothing,
            body: Vec::new(),
        };
        check_host(&request, authority)?;
        request.framing = framing(&request, http10)?;
        check_upgrade(&request, http10)?;
        let expects = request.all("expect").all(|it| it.eq_ignore_ascii_case(b"100-continue"));
        ensure(expects, "another expectation")?;
        Ok(request)
    }

    /// The next line without its CR LF.
    fn line(&mut self) -> Read<&'b [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n').ok_or(Stop::Partial)?;
        let line = self.0[..end].strip_suffix(b"\r").ok_or(Stop::Broken("a bare LF"))?;
        let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        ensure(line.iter().all(is_text), "a control character")?;
        self.0 = &self.0[end + 1..];
        Ok(line)
    }

    fn exactly(&mut self, length: usize) -> Read<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Stop::Partial)?;
        self.0 = rest;
        Ok(taken)
    }

    fn chunks(&mut self) -> Read<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
            let (digits, extension) = line.split_at(end);
            let is_size =
                (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
            ensure(is_size, "a chunk's size")?;
            // Whatever else it says, it ends with its line, and nobody is told of it.
            let name = extension.iter().find(|byte| !b"; \t".contains(byte));
            let is_named = extension.is_empty() || name.is_some_and(|byte| is_token_byte(*byte));
            ensure(is_named, "a chunk's extension")?;
            let size = usize::from_str_radix(text(digits), 16).ok();
            let size = size.filter(|size| *size < 1 << 63).ok_or(Stop::Broken("a chunk's size"))?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(self.exactly(size)?);
            match self.0 {
                [b'\r', b'\n', rest @ ..] => self.0 = rest,
                [] | [b'\r'] => return Err(Stop::Partial),
                _ => return Err(Stop::Broken("a chunk's end")),
            }
        }
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(body);
            }
            let (name, _) = field(line)?;
            let name = name.to_ascii_lowercase().replace('_', "-");
            ensure(!NO_TRAILERS.contains(&name.as_str()), "a trailer that belongs in the head")?;
        }
    }
}

/// Fields by which a request is framed, routed or believed.
const NO_TRAILERS: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "expect",
    "authorization",
    "content-type",
];

fn ensure(holds: bool, otherwise: &'static str) -> Read<()> {
    if holds { Ok(()) } else { Err(Stop::Broken(otherwise)) }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn request_line(line: &[u8]) -> Read<(&str, &str, bool)> {
    let line = std::str::from_utf8(line).ok().filter(|line| line.is_ascii());
    let parts: Vec<&str> = line.ok_or(Stop::Broken("a line beyond ASCII"))?.split(' ').collect();
    let [method, target, version] = parts[..] else { return Err(Stop::Broken("a request line")) };
    let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_';
    ensure(!method.is_empty() && method.bytes().all(is_upper), "a method")?;
    ensure(!matches!(method, "CONNECT" | "TRACE"), "a method that is not forwarded")?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
    ensure(!target.is_empty() && target.bytes().all(is_plain), "a target's character")?;
    match version {
        "HTTP/1.1" => Ok((method, target, false)),
        "HTTP/1.0" => Ok((method, target, true)),
        _ => Err(Stop::Broken("a version")),
    }
}

fn field(line: &[u8]) -> Read<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Stop::Broken("no colon"))?;
    let name = text(&line[..colon]);
    // A folded line begins with a space, which no name has.
    ensure(!name.is_empty() && name.bytes().all(is_token_byte), "a field's name")?;
    let value = &line[colon + 1..];
    let is_space = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let from = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !is_space(byte)).map_or(from, |last| last + 1);
    Ok((name.to_owned(), value[from..to].to_vec()))
}

/// The authority of an absolute target, and path and query.
fn split_target<'t>(method: &str, target: &'t str) -> Read<(Option<&'t str>, String)> {
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((None, target.to_owned()));
    }
    let (scheme, rest) = target.split_once("://").ok_or(Stop::Broken("a form of target"))?;
    let scheme = scheme.to_ascii_lowercase();
    ensure(scheme == "http" || scheme == "https", "a form of target")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let slash = if behind.starts_with('/') { "" } else { "/" };
    Ok((Some(authority), format!("{slash}{behind}")))
}

fn check_host(request: &Request, authority: Option<&str>) -> Read<()> {
    let hosts: Vec<&[u8]> = request.all("host").collect();
    let [host] = hosts[..] else { return Err(Stop::Broken("no Host, or more than one")) };
    let host = text(host);
    ensure(is_authority(host), "a host")?;
    let same = authority.is_none_or(|authority| authority.eq_ignore_ascii_case(host));
    ensure(same, "a target at another host")
}

fn is_authority(host: &str) -> bool {
    let name_end =
        if host.starts_with('[') { host.find(']').map(|end| end + 1) } else { host.find(':') };
    let (name, port) = host.split_at(name_end.unwrap_or(host.len()));
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    let is_name = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    let labels = name.strip_suffix('.').unwrap_or(name);
    is_port && is_name && labels.split('.').all(|label| !label.is_empty())
}

fn framing(request: &Request, http10: bool) -> Read<Framing> {
    let lengths: Vec<&[u8]> = request.all("content-length").collect();
    let codings: Vec<&[u8]> = request.all("transfer-encoding").collect();
    for option in options(request) {
        let frames = ["host", "content-length", "transfer-encoding"].contains(&option.as_str());
        ensure(!frames, "a framing field named by Connection")?;
    }
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::Nothing),
        ([length], []) => {
            let digits = text(length);
            let is_plain = digits == "0" || !digits.starts_with('0');
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            ensure(is_plain && is_number, "a length")?;
            let length = digits.parse().ok().filter(|length| *length < 1 << 63);
            Ok(Framing::Length(length.ok_or(Stop::Broken("a length"))?))
        }
        ([], [coding]) => {
            ensure(!http10, "a coding in HTTP/1.0")?;
            ensure(coding.eq_ignore_ascii_case(b"chunked"), "a coding")?;
            Ok(Framing::Chunked)
        }
        _ => Err(Stop::Broken("several framings")),
    }
}

/// What Connection names, in lower case.
fn options(request: &Request) -> impl Iterator<Item = String> {
    let values = request.all("connection").flat_map(|value| value.split(|byte| *byte == b','));
    values.map(|option| {
        String::from_utf8_lossy(option).trim_matches([' ', '\t']).to_ascii_lowercase()
    })
}

fn check_upgrade(request: &Request, http10: bool) -> Read<()> {
    ensure(request.header("http2-settings").is_none(), "an upgrade to HTTP/2")?;
    let protocols: Vec<&[u8]> = request.all("upgrade").collect();
    let [protocols] = protocols[..] else {
        return ensure(protocols.is_empty(), "several upgrades");
    };
    let mut named = protocols.split(|byte| *byte == b',');
    let is_http2 = |protocol: &[u8]| {
        let protocol = String::from_utf8_lossy(protocol).trim().to_ascii_lowercase();
        matches!(protocol.split('/').next(), None | Some("" | "h2" | "h2c" | "http"))
    };
    ensure(!named.any(is_http2), "an upgrade to HTTP/2, or to nothing")?;
    ensure(!http10, "an upgrade in HTTP/1.0")?;
    ensure(options(request).any(|option| option == "upgrade"), "an upgrade that is not named")?;
    let has_body = !matches!(request.framing, Framing::Nothing | Framing::Length(0));
    ensure(!has_body, "an upgrade with a body")
}

/// Whether a path could be read as another one: dots, empty segments, parameters, encoded characters that steer.
pub fn is_plain_path(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let steers = ["//", "%2e", "%2f", "%5c", "%00", "%3b", "%25", "%0a", "%0d", ";", "\\"];
    let lower = path.to_ascii_lowercase();
    path.starts_with('/')
        && path.split('/').all(|segment| segment != "." && segment != "..")
        && !steers.iter().any(|piece| lower.contains(piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_one_way_is_read() {
        let bytes =
            b"POST http://A.test?q HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n\
            3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\nGET / HTTP/1.0\r\nHost: a\r\n\r\nGE";
        let stream = read_all(bytes);
        let [first, second] = &stream.requests[..] else { panic!("not two requests") };
        assert_eq!((first.target.as_str(), first.body.as_slice()), ("/?q", &b"abc"[..]));
        assert_eq!((second.target.as_str(), second.framing), ("/", Framing::Nothing));
        assert_eq!(stream.end, End::Partial);
    }

    #[test]
    fn what_reads_two_ways_is_not() {
        for (head, why) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", "a bare LF"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", "a control character"),
            ("GET / HTTP/1.1\r\n\r\n", "no Host, or more than one"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "no Host, or more than one"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", "no colon"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", "a field's name"),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na", "a length"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\na",
                "a length",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "several framings",
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "a coding"),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "a method"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
                "a chunk's end",
            ),
        ] {
            assert_eq!(read_all(head.as_bytes()).end, End::Broken(why), "{head:?}");
        }
    }

    #[test]
    fn paths_with_a_second_reading_are_told_from_plain_ones() {
        for plain in ["/", "/v1/a", "/v1/a/?x=//..", "/v1/%20", "/v1/a..b"] {
            assert!(is_plain_path(plain), "{plain}");
        }
        for odd in
            ["", "a", "//", "/v1//a", "/v1/..", "/./", "/v1/%2E%2e/", "/a;b", "/a%2fb", "/a%00"]
        {
            assert!(!is_plain_path(odd), "{odd}");
        }
    }
}
