//! A client's stream, taken from the screen as the gateway's connection takes it.

use super::{
    LIMITS,
    cuts::Cuts,
    naive::{Framing, Request},
    text,
};
use crate::{
    request::RequestHead,
    wire::{
        fields::{Field, Name},
        screen::{Phase, Places, Screen, Step, Violation},
    },
};

/// A request that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) head: Request,
    /// Of its body, or of the tunnel that it became.
    pub(super) content: Vec<u8>,
    /// Where in the stream its last byte was, if that came.
    pub(super) end: Option<usize>,
}

/// What came of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) messages: Vec<Message>,
    /// So many bytes have passed.
    pub(super) passed: usize,
    pub(super) phase: Phase,
    pub(super) violation: Option<Violation>,
}

/// Which requests for an upgrade are taken: a bit each, over and over.
#[derive(Clone, Copy)]
pub(super) struct Upgrades(pub(super) u8);

impl Upgrades {
    pub(super) fn takes(self, index: usize) -> bool {
        self.0 & 1 << (index % 8) != 0
    }
}

/// Everything comes at once, heads are read into the same one again, and upgrades are decided on when something waits for it.
pub(super) fn at_once(stream: &[u8], upgrades: Upgrades) -> Outcome {
    Connection::new(upgrades, false).read(stream, Cuts::NONE)
}

/// It comes cut, each head is read into a new one, upgrades are decided on at once, and between any two steps somebody opens and
/// closes tunnels that nobody asked for.
pub(super) fn cut(stream: &[u8], cuts: Cuts, upgrades: Upgrades) -> Outcome {
    Connection::new(upgrades, true).read(stream, cuts)
}

struct Connection {
    screen: Screen,
    spare: RequestHead,
    upgrades: Upgrades,
    asked: usize,
    meddles: bool,
    outcome: Outcome,
}

impl Connection {
    fn new(upgrades: Upgrades, meddles: bool) -> Self {
        let outcome = Outcome { messages: vec![], passed: 0, phase: Phase::Idle, violation: None };
        let (screen, spare) = (Screen::new(LIMITS), RequestHead::default());
        Self { screen, spare, upgrades, asked: 0, meddles, outcome }
    }

    fn read(mut self, stream: &[u8], cuts: Cuts) -> Outcome {
        for arrived in cuts.arrivals(stream.len()) {
            while self.step(&stream[self.outcome.passed..arrived]) {}
            if self.outcome.violation.is_some() {
                break;
            }
        }
        // The answer to the last request is written whether or not something comes after it.
        if self.screen.phase() == Phase::AfterUpgrade {
            self.decide();
        }
        self.outcome.phase = self.screen.phase();
        self.outcome
    }

    /// Whether another step is to be taken on what is there.
    fn step(&mut self, held: &[u8]) -> bool {
        let before = self.screen.phase();
        if self.meddles && before != Phase::AfterUpgrade {
            self.screen.tunnel();
            self.screen.no_tunnel();
            assert_eq!(self.screen.phase(), before, "a tunnel that nobody asked for");
        }
        let left = self.screen.body_left();
        let step = self.screen.step(held);
        let after = self.screen.phase();
        match step {
            Step::Head(length) => {
                assert!(matches!(before, Phase::Idle | Phase::Head), "a head in {before:?}");
                self.begins(&held[..length]);
                if self.meddles && after == Phase::AfterUpgrade {
                    self.decide();
                }
            }
            Step::Data(length) => {
                assert!(matches!(before, Phase::Body | Phase::Tunnel), "content in {before:?}");
                if let Some(left) = left.filter(|_| before == Phase::Body) {
                    assert_eq!(self.screen.body_left(), Some(left - length as u64));
                }
                self.outcome.passed += length;
                let message = self.outcome.messages.last_mut().unwrap();
                message.content.extend_from_slice(&held[..length]);
            }
            Step::Framing(length) => {
                assert_eq!((before, left), (Phase::Body, None), "framing of what is not chunked");
                assert!(held[..length].ends_with(b"\r\n"));
                self.outcome.passed += length;
            }
            Step::NeedMore => {
                let most = LIMITS.head.max(4096);
                assert!(held.len() < most, "{} bytes are held back", held.len());
                return false;
            }
            Step::Hold => {
                assert_eq!((before, after), (Phase::AfterUpgrade, Phase::AfterUpgrade));
                assert_eq!(self.screen.step(held), Step::Hold, "it was held once");
                self.decide();
            }
            Step::Refuse(violation) => {
                self.stays_refused(held, violation);
                self.outcome.violation = Some(violation);
                return false;
            }
        }
        if let Step::Head(length) | Step::Data(length) | Step::Framing(length) = step {
            assert!(length > 0, "a step that goes nowhere");
            if before == Phase::Body && after != Phase::Body || after == Phase::Idle {
                self.outcome.messages.last_mut().unwrap().end = Some(self.outcome.passed);
            }
        }
        true
    }

    fn begins(&mut self, head: &[u8]) {
        self.outcome.passed += head.len();
        if self.meddles {
            self.spare = RequestHead::default();
        }
        self.spare.read_http1(head, &mut self.screen);
        if self.meddles {
            // Places come back as others left them.
            let mut left = Places { http10: true, authority: Some(0..9), ..Places::default() };
            left.fields.push(Field::new(Name::Host, 0..1, 1..2));
            self.screen.swap_places(&mut left);
        }
        let framing = match (self.screen.phase(), self.screen.body_left()) {
            (Phase::Idle, Some(0)) => Framing::Nothing,
            (Phase::Body, Some(length @ 1..)) => Framing::Length(length),
            (Phase::Body, None) => Framing::Chunked,
            (Phase::AfterUpgrade, Some(0)) => Framing::Upgrade,
            other => panic!("{other:?} after a head"),
        };
        let head = request(&self.spare, framing);
        self.outcome.messages.push(Message { head, content: vec![], end: None });
        self.spare.clear();
    }

    fn decide(&mut self) {
        match self.upgrades.takes(self.asked) {
            true => self.screen.tunnel(),
            false => {
                self.screen.no_tunnel();
                self.outcome.messages.last_mut().unwrap().end = Some(self.outcome.passed);
            }
        }
        self.asked += 1;
        assert_ne!(self.screen.phase(), Phase::AfterUpgrade, "it was decided on");
    }

    /// Whatever comes after a violation, and whatever is said, nothing passes.
    fn stays_refused(&mut self, held: &[u8], violation: Violation) {
        let rest = held.get(1..).unwrap_or_default();
        for more in [held, rest, b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
            self.screen.tunnel();
            self.screen.no_tunnel();
            assert_eq!(self.screen.step(more), Step::Refuse(violation));
            assert_eq!(self.screen.phase(), Phase::Refused);
        }
    }
}

/// What the gateway knows of a head, as text.
fn request(head: &RequestHead, framing: Framing) -> Request {
    let (bytes, fields) = head.fields();
    let read = |field: &Field| (text(field.name(bytes)), text(field.value(bytes)));
    let fields = fields.iter().map(read).collect();
    Request {
        method: head.method.as_str().to_owned(),
        path: head.path().to_owned(),
        query: head.query().map(str::to_owned),
        authority: head.authority().map(str::to_owned),
        http10: head.version == http::Version::HTTP_10,
        fields,
        framing,
    }
}
