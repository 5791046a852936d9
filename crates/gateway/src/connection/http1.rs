//! HTTP/1.1 towards a client: one request after the other, each answered before the next is read.
//!
//! A client that closes its half of the connection counts as gone: nobody can tell it from one that is, and an upstream is not kept
//! busy for nobody.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::Write as _,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use http::{Method, StatusCode, Version};

use super::{Connection, LATE};
use crate::{
    body::{Answer, AnswerFault, ClientBody, Piece},
    buffers::{COPIED, GATHERED},
    exchange::exchange,
    headers,
    reply::{Reply, length_line},
    request::RequestHead,
    settings::Compiled,
    socket::ClientSocket,
    wire::{
        client::{Arrival, BrokenBody, ClientWire, Patience},
        fields::Name,
        screen::{HeadLimits, Screen},
    },
    worker::Worker,
};

/// Serves a connection to its end.
pub(super) async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    stream: ClientSocket,
    settings: &Compiled,
) {
    let limits = HeadLimits {
        request_line: settings.limits.uri_bytes,
        head: settings.limits.head_bytes,
        headers: settings.limits.headers,
    };
    let patience = Patience {
        head: settings.deadlines.head,
        idle: settings.deadlines.idle,
        stall: settings.deadlines.stall,
        last_call: LATE,
    };
    let watches = (worker.watchdog.watch(), worker.watchdog.watch());
    let buffers = worker.buffers.clone();
    let wire = ClientWire::new(stream, Screen::new(limits), buffers, patience, watches);
    let wire = Rc::new(RefCell::new(wire));
    loop {
        match answer_one(&worker, &connection, &wire).await {
            Next::Request => {}
            Next::End => return poll_fn(|cx| wire.borrow_mut().poll_end(cx)).await,
            Next::Gone => return,
            Next::Tunnel(reply) => {
                let Reply { tunnel: Some(tunnel), .. } = *reply else { return };
                // The request's parts went with its exchange: nobody else holds the connection.
                if let Ok(wire) = Rc::try_unwrap(wire) {
                    tunnel.run(&worker, wire.into_inner().into_tunnelled()).await;
                }
                return;
            }
        }
    }
}

/// What follows an answer.
enum Next {
    /// Another request.
    Request,
    /// The end, told to the client.
    End,
    /// Nothing: the client is gone, or must not take what it has for the whole.
    Gone,
    /// Another protocol.
    Tunnel(Box<Reply>),
}

/// Reads a request, has it answered, and writes the answer.
async fn answer_one(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    wire: &Rc<RefCell<ClientWire>>,
) -> Next {
    let arrival = poll_fn(|cx| wire.borrow_mut().poll_head(cx, || worker.is_draining())).await;
    let (head, fault) = match arrival {
        Arrival::Head(head) => (head, None),
        Arrival::Fault(fault) => (Box::default(), Some(fault)),
        Arrival::Nothing => return Next::End,
    };
    let client = Client::of(&head);
    if client.expects {
        wire.borrow_mut().expects_continue();
    }
    let body = ClientBody::Http1(wire.clone());
    let reply = {
        let mut exchange = pin!(exchange(worker.clone(), connection.clone(), head, body, fault));
        poll_fn(|cx| match exchange.as_mut().poll(cx) {
            Poll::Ready(reply) => Poll::Ready(Some(reply)),
            // What it began is dropped with it, and recorded.
            Poll::Pending if wire.borrow_mut().is_gone(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    };
    let Some(reply) = reply else { return Next::Gone };
    wire.borrow_mut().answers();
    let sound = wire.borrow().fault().is_none();
    // An upload that failed was not read to its end.
    let read = !reply.body.is_ours() || wire.borrow().body_has_ended();
    let keeps = client.keeps && sound && read && !reply.close && !worker.is_draining();
    if reply.tunnel.is_some() {
        write_head(wire.borrow_mut().out(), &reply, &client, Framing::Nothing, true, worker);
        let flushed = poll_fn(|cx| wire.borrow_mut().poll_flush(cx)).await;
        return flushed.map_or(Next::Gone, |()| Next::Tunnel(Box::new(reply)));
    }
    let framing = Framing::of(&reply, &client);
    let keeps = keeps && framing != Framing::UntilClose;
    write_head(wire.borrow_mut().out(), &reply, &client, framing, keeps, worker);
    worker.buffers.keep_write(reply.lines);
    let mut writing = Writing::new(reply.body, framing);
    let mut whole = Whole { wire, cut: framing == Framing::UntilClose };
    let written = poll_fn(|cx| writing.poll(cx, wire)).await;
    whole.cut &= matches!(written, Err(WriteFault::Answer(_)));
    drop(writing);
    match written {
        Ok(()) if keeps && wire.borrow_mut().may_go_on() => Next::Request,
        Ok(()) => Next::End,
        Err(_) => Next::Gone,
    }
}

/// Where the end of the connection is the end of the answer, one that is cut off, by a drain's deadline too, ends in a reset.
struct Whole<'w> {
    wire: &'w RefCell<ClientWire>,
    cut: bool,
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        if self.cut {
            self.wire.borrow().reset();
        }
    }
}

/// What of a request its answer depends on.
struct Client {
    http11: bool,
    is_head: bool,
    /// Whether it would send another request on its connection.
    keeps: bool,
    expects: bool,
}

impl Client {
    fn of(head: &RequestHead) -> Self {
        let http11 = head.version == Version::HTTP_11;
        // HTTP/1.0 asks to go on, HTTP/1.1 to end (RFC 9112, 9.3).
        let keeps = match http11 {
            true => !head.names(Name::Connection, "close"),
            false => {
                head.names(Name::Connection, "keep-alive") && !head.names(Name::Connection, "close")
            }
        };
        Self {
            http11,
            is_head: head.method == Method::HEAD,
            keeps,
            expects: http11 && head.has(Name::Expect),
        }
    }
}

/// How the client is told where the content ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// There is none.
    Nothing,
    Length(u64),
    Chunked,
    /// By the end of the connection: HTTP/1.0 has no chunks.
    UntilClose,
}

impl Framing {
    fn of(reply: &Reply, client: &Client) -> Self {
        if client.is_head || reply.status == 204 || reply.status == 304 {
            return Self::Nothing;
        }
        match reply.body.left() {
            Some(length) => Self::Length(length),
            None if client.http11 => Self::Chunked,
            None => Self::UntilClose,
        }
    }
}

fn write_head(
    out: &mut Vec<u8>,
    reply: &Reply,
    client: &Client,
    framing: Framing,
    keeps: bool,
    worker: &Worker,
) {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&reply.lines);
    if !reply.dated {
        headers::line(out, "date", worker.date.borrow().text().as_bytes());
    }
    match framing {
        Framing::Length(length) => length_line(out, length),
        Framing::Chunked => headers::line(out, "transfer-encoding", b"chunked"),
        // What a HEAD request would have got; 204 has no length at all (RFC 9110, 8.6).
        Framing::Nothing if !matches!(reply.status, 100..=199 | 204) => {
            if let Some(length) = reply.declared {
                length_line(out, length);
            }
        }
        Framing::Nothing | Framing::UntilClose => {}
    }
    match (keeps, client.http11) {
        (false, _) => headers::line(out, "connection", b"close"),
        (true, false) => headers::line(out, "connection", b"keep-alive"),
        (true, true) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Why an answer was not written to its end.
enum WriteFault {
    /// The client went.
    Client,
    /// There is no more of it; the client must not take what it has for the whole.
    Answer(#[expect(dead_code, reason = "told where it arose")] AnswerFault),
}

impl From<BrokenBody> for WriteFault {
    fn from(_: BrokenBody) -> Self {
        Self::Client
    }
}

/// An answer's content on its way out, as it comes.
struct Writing {
    body: Answer,
    framing: Framing,
    /// So much of a large piece is written behind what was gathered, from where it lies.
    piece: usize,
    step: Step,
}

enum Step {
    Open,
    /// All of it came, or all that ever will.
    Ended(Option<AnswerFault>),
}

impl Writing {
    fn new(body: Answer, framing: Framing) -> Self {
        Self { body, framing, piece: 0, step: Step::Open }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wire: &RefCell<ClientWire>,
    ) -> Poll<Result<(), WriteFault>> {
        loop {
            let waits = self.gather(cx, wire);
            if !waits && matches!(self.step, Step::Open) && self.body.send_on(cx).is_err() {
                self.step = Step::Ended(Some(AnswerFault::Upload));
            }
            let mut wire = wire.borrow_mut();
            if self.piece > 0 {
                let piece = self.body.piece().get(..self.piece).unwrap_or_default();
                let written = ready!(wire.poll_write(cx, piece))?;
                self.piece -= written;
                self.take(written, wire.out());
                continue;
            }
            ready!(wire.poll_flush(cx))?;
            match &mut self.step {
                Step::Ended(fault) => {
                    return Poll::Ready(match fault.take() {
                        // What came before the fault was written; what follows is the end of the connection.
                        Some(fault) => Err(WriteFault::Answer(fault)),
                        None => Ok(()),
                    });
                }
                Step::Open if wire.is_gone(cx) => return Poll::Ready(Err(WriteFault::Client)),
                Step::Open if waits => return Poll::Pending,
                Step::Open => {}
            }
        }
    }

    /// Takes what there is of the content, and has room. Says whether more is waited for.
    fn gather(&mut self, cx: &mut Context<'_>, wire: &RefCell<ClientWire>) -> bool {
        if self.framing == Framing::Nothing {
            self.step = Step::Ended(None);
        }
        while matches!(self.step, Step::Open) && self.piece == 0 {
            if wire.borrow_mut().out().len() >= GATHERED {
                return false;
            }
            // Without the connection in hand: the rest of the request may still be read from it.
            let Poll::Ready(piece) = self.body.poll_piece(cx) else { return true };
            match piece {
                Some(Ok(Piece::Data(length))) => self.put(length, wire.borrow_mut().out()),
                // HTTP/1.1's clients are not told of trailers.
                Some(Ok(Piece::Trailers(_))) => {}
                Some(Err(fault)) => self.step = Step::Ended(Some(fault)),
                None => {
                    if self.framing == Framing::Chunked {
                        wire.borrow_mut().out().extend_from_slice(b"0\r\n\r\n");
                    }
                    self.step = Step::Ended(None);
                }
            }
        }
        false
    }

    fn put(&mut self, length: usize, out: &mut Vec<u8>) {
        if self.framing == Framing::Chunked {
            // Writing to memory does not fail.
            let _ = write!(out, "{length:x}\r\n");
        }
        if length > COPIED {
            self.piece = length;
            return;
        }
        out.extend_from_slice(self.body.piece());
        self.take(length, out);
    }

    /// So much of the piece is on its way.
    fn take(&mut self, count: usize, out: &mut Vec<u8>) {
        self.body.take(count);
        if self.piece > 0 {
            return;
        }
        match self.framing {
            Framing::Chunked => out.extend_from_slice(b"\r\n"),
            // Known at once where the length is: the end then leaves with the last piece.
            _ if self.body.has_ended() => self.step = Step::Ended(None),
            _ => {}
        }
    }
}
