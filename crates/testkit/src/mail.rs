//! A mail server on loopback that takes mail as RFC 5321 says, as much of it as a client that submits mail needs, and keeps it.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{
    certificates::Certificates,
    listener::Listener,
    wait::{self, LONG},
};

/// A mail, as it was handed over.
#[derive(Clone, Debug)]
pub struct Received {
    /// Whom it is from, as the envelope says.
    pub from: String,
    /// Whom it is to, as the envelope says.
    pub to: Vec<String>,
    /// What the client logged in with, if it did: the argument of `AUTH`.
    pub login: Option<String>,
    /// Headers and text, as they were sent, with `\n` for line ends.
    pub text: String,
}

impl Received {
    /// The text behind the headers, put together again where it was sent as quoted-printable (RFC 2045, section 6.7).
    pub fn body(&self) -> String {
        let (head, body) = self.text.split_once("\n\n").expect("a mail has headers and a text");
        if !head.contains("quoted-printable") {
            return body.to_owned();
        }
        let joined = body.replace("=\n", "");
        let mut bytes = Vec::new();
        let mut rest = joined.as_bytes();
        while let Some((first, behind)) = rest.split_first() {
            match (first, behind) {
                (b'=', [high, low, behind @ ..]) => {
                    let digits = [*high, *low];
                    let digits = std::str::from_utf8(&digits).expect("two digits");
                    bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
                    rest = behind;
                }
                _ => {
                    bytes.push(*first);
                    rest = behind;
                }
            }
        }
        String::from_utf8(bytes).expect("a text")
    }
}

/// A mail server. It stops listening when it is dropped.
pub struct MailServer {
    listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    received: Mutex<Vec<Received>>,
    offered: Mutex<usize>,
    tls: Option<Arc<ServerConfig>>,
    answer: Box<Answerer>,
}

type Answerer = dyn Fn(usize) -> &'static str + Send + Sync;

impl MailServer {
    /// Takes everything.
    pub fn start() -> Self {
        Self::answering(|_| "250 taken")
    }

    /// Takes everything, with TLS from the first byte on.
    pub fn with_tls(certificates: &Certificates) -> Self {
        let chain = CertificateDer::pem_file_iter(&certificates.certificate)
            .and_then(Iterator::collect)
            .expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&certificates.key).expect("a private key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        let config = config.expect("a certificate with its key");
        Self::listen(Some(Arc::new(config)), Box::new(|_| "250 taken"))
    }

    /// Answers the mail of this number, from 0 on, with this line; keeps it where that begins with 2.
    pub fn answering(answer: impl Fn(usize) -> &'static str + Send + Sync + 'static) -> Self {
        Self::listen(None, Box::new(answer))
    }

    fn listen(tls: Option<Arc<ServerConfig>>, answer: Box<Answerer>) -> Self {
        let shared =
            Arc::new(Shared { received: Mutex::default(), offered: Mutex::new(0), tls, answer });
        let serving = shared.clone();
        Self { listener: Listener::start(move |stream| serving.accept(stream)), shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// What it has taken, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Mails it was offered, taken or not.
    pub fn offered(&self) -> usize {
        *self.shared.offered.lock().unwrap()
    }

    /// Waits for a mail to this address whose text has this in it.
    pub fn mail(&self, to: &str, text: &str) -> Received {
        wait::until(&format!("a mail to {to} with {text}"), LONG, || {
            let found = |mail: &Received| mail.to == [to] && mail.text.contains(text);
            self.received().into_iter().find(found)
        })
    }
}

fn path(argument: &str) -> String {
    argument.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

/// One line to the client.
fn say(to: &mut BufReader<impl Write>, line: &str) -> io::Result<()> {
    to.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
    to.get_mut().flush()
}

impl Shared {
    fn accept(&self, stream: TcpStream) -> io::Result<()> {
        match &self.tls {
            Some(config) => {
                let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
                self.serve(StreamOwned::new(connection, stream))
            }
            None => self.serve(stream),
        }
    }

    fn serve(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        say(&mut reader, "220 mail.test")?;
        let (mut from, mut to, mut login) = (String::new(), vec![], None);
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let (command, argument) =
                line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
            match command.to_ascii_uppercase().as_str() {
                "EHLO" => say(
                    &mut reader,
                    "250-mail.test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN",
                )?,
                "AUTH" => {
                    login = Some(argument.to_owned());
                    say(&mut reader, "235 welcome")?;
                }
                "MAIL" => {
                    (from, to) = (path(argument), vec![]);
                    say(&mut reader, "250 so far so good")?;
                }
                "RCPT" => {
                    to.push(path(argument));
                    say(&mut reader, "250 so far so good")?;
                }
                "DATA" => {
                    say(&mut reader, "354 go on")?;
                    let text = read_data(&mut reader)?;
                    let mail =
                        Received { from: from.clone(), to: to.clone(), login: login.clone(), text };
                    say(&mut reader, self.take(mail))?;
                }
                "RSET" | "NOOP" => say(&mut reader, "250 done")?,
                "QUIT" => return say(&mut reader, "221 bye"),
                _ => say(&mut reader, "502 what")?,
            }
        }
    }

    fn take(&self, mail: Received) -> &'static str {
        let mut offered = self.offered.lock().unwrap();
        let answer = (self.answer)(*offered);
        *offered += 1;
        if answer.starts_with('2') {
            self.received.lock().unwrap().push(mail);
        }
        answer
    }
}

/// Until a line that is a lone dot; a dot too many at a line's start goes (RFC 5321, section 4.5.2).
fn read_data(reader: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end_matches(['\r', '\n']) {
            "." => return Ok(text),
            line => {
                text.push_str(line.strip_prefix('.').unwrap_or(line));
                text.push('\n');
            }
        }
    }
}
