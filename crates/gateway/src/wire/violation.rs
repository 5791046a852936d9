//! The rules, one variant each, with the answer that a client gets for breaking it.
//!
//! They stand in one table, so that a rule, its status and its sentence cannot drift apart. The
//! sentences never quote the request: what broke a rule may hold a key.

/// Makes the enum and its look-ups out of one table.
macro_rules! violations {
    ($( $(#[$doc:meta])+ $name:ident = $status:literal, $detail:literal; )+) => {
        /// The rule that a request broke.
        ///
        /// After any of them the stream cannot be trusted to be where it seems to be: the
        /// connection is to be closed after the answer (RFC 9112 §9.6).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Violation { $( $(#[$doc])+ $name, )+ }

        impl Violation {
            /// Every rule, in the order of this table.
            pub const ALL: &'static [Violation] = &[$( Violation::$name, )+];

            /// The status code to answer with: a 4xx, 501 or 505.
            pub const fn status(self) -> u16 {
                match self { $( Violation::$name => $status, )+ }
            }

            /// One sentence for the client: what was wrong, and what would be right.
            pub const fn detail(self) -> &'static str {
                match self { $( Violation::$name => $detail, )+ }
            }
        }
    };
}

violations! {
    /// A line ends with LF alone (RFC 9112 §2.2 lets a recipient accept it; we do not).
    BareLf = 400, "A line ends with a bare LF; every line of a request ends with CR LF.";
    /// CR without LF behind it (RFC 9112 §2.2).
    BareCr = 400, "A CR stands without LF behind it; CR is only allowed as part of the CR LF that ends a line.";
    /// NUL, DEL or another control character, HTAB in field values excepted (RFC 9110 §5.5).
    ControlCharacter = 400, "The request head or chunk framing has a control character; send plain-text HTTP/1.1, without TLS on a plain port, and encode such bytes.";

    /// An empty line before the request line. RFC 9112 §2.2 says that a server should ignore one,
    /// for clients of the 1990s that sent a CRLF too many after a body; that CRLF is outside any
    /// length that was declared, so here it is what it looks like: a stream out of step.
    EmptyFirstLine = 400, "An empty line stands before the request line; send nothing between two requests.";
    /// The request line is not three parts with single spaces between (RFC 9112 §3).
    RequestLine = 400, "The request line is malformed; it reads METHOD, one space, target, one space, HTTP/1.1.";
    /// The method is empty, longer than 32 bytes or not of `A-Z`, `-`, `_` (narrower than RFC 9110
    /// §9.1: methods are case-sensitive, and no registered one is written otherwise).
    Method = 400, "The method is malformed; methods are written in upper-case letters, such as GET or POST.";
    /// CONNECT or TRACE (RFC 9110 §9.3.6, §9.3.8): neither has a use towards an API.
    MethodRefused = 405, "CONNECT and TRACE are not served here; use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.";
    /// The target is longer than [`HeadLimits::request_line`](super::screen::HeadLimits::request_line)
    /// (RFC 9110 §15.5.15).
    UriTooLong = 414, "The request target is too long; shorten the path or query, or send the data in a body.";
    /// A character that RFC 3986 has no place for in the target.
    TargetCharacter = 400, "The request target has a character that URIs do not allow; percent-encode it.";
    /// A byte from 0x80 up in the request line (RFC 3986 §2).
    NotAscii = 400, "The request line has bytes outside ASCII; percent-encode them.";
    /// `#` in the target (RFC 9112 §3.2: no form of target has a fragment).
    Fragment = 400, "The request target has a fragment; leave out the # and what follows, or write %23.";
    /// Neither origin form, nor absolute form with http or https and a valid host (RFC 9112 §3.2).
    TargetForm = 400, "The request target is malformed; it starts with a slash, or with http:// or https:// and a host.";
    /// `*` with a method other than OPTIONS (RFC 9112 §3.2.4).
    Asterisk = 400, "The request target * is only for OPTIONS; name a path that starts with a slash.";
    /// The version is not `HTTP/`, digit, dot, digit (RFC 9112 §2.3).
    VersionMalformed = 400, "The HTTP version is malformed; the request line ends with HTTP/1.1.";
    /// A version other than 1.0 and 1.1 (RFC 9110 §15.6.6).
    VersionUnsupported = 505, "This HTTP version is not served on this connection; send HTTP/1.1.";

    /// The head is larger than [`HeadLimits::head`](super::screen::HeadLimits::head) (RFC 6585 §5).
    HeadTooLarge = 431, "The request head is too large; send fewer or shorter header fields.";
    /// More lines than [`HeadLimits::headers`](super::screen::HeadLimits::headers) (RFC 6585 §5).
    TooManyHeaders = 431, "The request has too many header fields; send fewer.";
    /// Whitespace before the first header line (RFC 9112 §2.2).
    LeadingWhitespace = 400, "The first header line starts with whitespace; a header line starts with the field's name.";
    /// A value continued on the next line (RFC 9112 §5.2).
    LineFolding = 400, "A header value is folded over several lines; write it on one line.";
    /// A header line without a colon (RFC 9112 §5).
    ColonMissing = 400, "A header line has no colon; it reads name, colon, value.";
    /// A header line that starts with its colon (RFC 9112 §5).
    NameEmpty = 400, "A header line has no name before its colon; it reads name, colon, value.";
    /// Whitespace between name and colon (RFC 9112 §5.1).
    SpaceBeforeColon = 400, "A header name has whitespace before its colon; the colon follows the name directly.";
    /// A name that is not a token (RFC 9110 §5.6.2).
    NameMalformed = 400, "A header name has a character that names do not allow; use letters, digits and hyphens.";

    /// No Host (RFC 9112 §3.2; here for HTTP/1.0 too, since the host selects the API).
    HostMissing = 400, "The request has no Host header; send exactly one.";
    /// More than one Host (RFC 9112 §3.2).
    HostRepeated = 400, "The request has more than one Host header; send exactly one.";
    /// Not one host name or IP address, with or without a port (narrower than RFC 3986 §3.2.2:
    /// names are of letters, digits, hyphens, dots and underscores).
    HostMalformed = 400, "The Host header is malformed; it is one host name or address, with a colon and a port where needed.";
    /// The target's authority is not the Host's value. RFC 9112 §3.2.2 lets the target win; then
    /// whoever reads Host decides on another host than is asked for.
    HostDiffers = 400, "The request target names another host than the Host header; send the same in both, or only a path as target.";

    /// More than one Content-Length line, equal or not (RFC 9112 §6.3).
    LengthRepeated = 400, "The request has more than one Content-Length header; send exactly one.";
    /// Not one number of digits. A list of equal ones (RFC 9110 §8.6) and leading zeros, which some
    /// read as octal, are refused too.
    LengthMalformed = 400, "The Content-Length is malformed; it is one decimal number, without sign, list or leading zeros.";
    /// 2^63 or more, which some read as negative (RFC 9110 §8.6).
    LengthTooLarge = 413, "The Content-Length is larger than any body can be; send the body's length in bytes.";
    /// A transfer coding in HTTP/1.0, which knows none (RFC 9112 §6.1).
    CodingOnHttp10 = 400, "Transfer-Encoding is not part of HTTP/1.0; send Content-Length, or HTTP/1.1.";
    /// More than one Transfer-Encoding line (RFC 9112 §6.1).
    CodingRepeated = 400, "The request has more than one Transfer-Encoding header; send a single chunked.";
    /// Empty, with parameters, or chunked twice (RFC 9112 §6.1, §7).
    CodingMalformed = 400, "The Transfer-Encoding is malformed; its only value here is chunked, once.";
    /// A coding other than chunked (RFC 9112 §6.1).
    CodingUnknown = 501, "This transfer coding is not served; send Transfer-Encoding: chunked alone, or Content-Length.";
    /// Content-Length and Transfer-Encoding in one request (RFC 9112 §6.1, §11.2).
    LengthWithCoding = 400, "The request has both Content-Length and Transfer-Encoding; send one of them.";
    /// A framing field or Host declared hop-by-hop (RFC 9110 §7.6.1), so that a proxy drops it.
    ConnectionNames = 400, "The Connection header names Host, Content-Length or Transfer-Encoding; it may only name fields for this connection.";
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    Expectation = 417, "This expectation cannot be met; send Expect: 100-continue, or no Expect.";

    /// Not one line with a list of protocols (RFC 9110 §7.8).
    UpgradeMalformed = 400, "The Upgrade header is malformed; send one, which names the protocol, such as websocket.";
    /// An upgrade to HTTP/2, which RFC 9113 §3.1 withdrew: what follows would not be screened.
    UpgradeH2c = 400, "Upgrading to h2c is not served; set the client to HTTP/1.1 (in Java's HttpClient: Version.HTTP_1_1), or use HTTP/2 over TLS.";
    /// An upgrade in HTTP/1.0. RFC 9110 §7.8 says to ignore it; an upstream might not.
    UpgradeOnHttp10 = 400, "Upgrade is not part of HTTP/1.0; send HTTP/1.1 (in nginx: proxy_http_version 1.1).";
    /// Upgrade that Connection does not name (RFC 9110 §7.8): some take it for one, some do not.
    UpgradeNotNamed = 400, "The request has Upgrade without Connection: upgrade; send both, or neither.";
    /// An upgrade with a body: what belongs to which protocol would depend on who reads it.
    UpgradeWithBody = 400, "The request asks for an upgrade and has a body; send the upgrade without a body.";

    /// A chunk does not start with hex digits, followed by CRLF or `;` (RFC 9112 §7.1).
    ChunkSize = 400, "A chunk's size is malformed; it is written in hexadecimal digits, with CR LF behind.";
    /// More than 16 digits, or 2^63 or more (RFC 9112 §7.1: recipients guard against overflow).
    ChunkTooLarge = 400, "A chunk's size is larger than any body can be; send smaller chunks.";
    /// A chunk extension without a name (RFC 9112 §7.1.1).
    ChunkExtension = 400, "A chunk extension is malformed; send chunks without extensions.";
    /// A line with a chunk's size is over 256 bytes, or a body's chunk extensions over 16 KiB
    /// (RFC 9112 §7.1.1: a recipient ought to limit them).
    ChunkLineTooLong = 400, "The chunk extensions are too long; send chunks without extensions.";
    /// A chunk's data is not followed by CRLF (RFC 9112 §7.1).
    ChunkEnd = 400, "A chunk is longer than its size says; its data ends with CR LF after exactly that many bytes.";
    /// A trailer that frames, routes, authenticates or controls (RFC 9110 §6.5.1).
    TrailerRefused = 400, "A trailer field must not come after the body; send it as a header.";
    /// More than 4 KiB of trailers, or more lines than
    /// [`HeadLimits::headers`](super::screen::HeadLimits::headers) (RFC 6585 §5).
    TrailersTooLarge = 431, "The trailer section is too large; send fewer or shorter trailer fields.";
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for Violation {}
