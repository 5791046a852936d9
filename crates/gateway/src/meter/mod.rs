//! What a request used, read from its answer as it passes.
//!
//! The meter hears what the client gets, and no more: it never holds an answer back, and nothing in an answer makes it fail. What it
//! cannot read (another form, an unknown coding) is estimated by the request and by how much has passed. One event is the exception:
//! the usage of a stream whose client did not ask for it is asked for by us, and kept from the client ([`filter`]).

pub(crate) mod coding;
pub(crate) mod filter;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use keyward_core::{
    declared,
    id::ApiNumber,
    metering::{
        Body, Estimate, Form, Metered, Metering, Reader, Used,
        estimate::{beforehand, by_length},
    },
    policy::{Api, Policy},
    route::Route,
    usage::{Tokens, UsageSums},
};

use self::{coding::Coded, filter::Filter};
use crate::{
    body::Upload,
    request::RequestHead,
    wire::{
        answer::{Head, Media},
        fields::{Fields, Name},
    },
};

/// Bytes of an answer that cannot be read, for which a token is assumed to have been written.
const BYTES_PER_UNREAD_TOKEN: u64 = 4;

/// Meters kept for the next request.
const MOST_SPARE: usize = 256;

/// What is known of each API's answers, lent to requests by a count of this core's own: see `worker::Lent`.
#[derive(Default)]
pub(crate) struct Meters {
    policy: Option<Arc<Policy>>,
    apis: Vec<(ApiNumber, Lent)>,
    /// Those that requests are done with.
    #[expect(clippy::vec_box, reason = "boxes are lent, and meters are large")]
    spare: Vec<Box<Meter>>,
}

type Lent = Rc<Arc<Metering>>;

impl Meters {
    fn of(&mut self, policy: &Arc<Policy>, api: &Api) -> Lent {
        if !self.policy.as_ref().is_some_and(|own| Arc::ptr_eq(own, policy)) {
            self.policy = Some(policy.clone());
            self.apis.clear();
            self.spare.clear();
        }
        if let Some((_, metering)) = self.apis.iter().find(|(number, _)| *number == api.number) {
            return metering.clone();
        }
        let metering = Rc::new(api.profile.metering.clone());
        self.apis.push((api.number, metering.clone()));
        metering
    }

    /// A meter of this API's answers, for another request.
    fn meter(&mut self, policy: &Arc<Policy>, api: &Api, estimate: Estimate) -> Box<Meter> {
        let metering = self.of(policy, api);
        let Some(mut meter) = self.spare.pop() else {
            return Box::new(Meter::new(metering, estimate));
        };
        meter.metering = metering;
        meter.estimate = estimate;
        meter
    }

    /// Takes back a meter whose request is over.
    fn keep(&mut self, mut meter: Box<Meter>) {
        if self.spare.len() < MOST_SPARE {
            // Its reader begins anew with the next answer.
            meter.answer = Answer::Awaited;
            meter.filter = None;
            (meter.unread, meter.whole, meter.is_whole) = (false, None, false);
            self.spare.push(meter);
        }
    }
}

/// What the client gets of a piece.
pub(crate) enum Passed {
    AsItIs,
    Instead(Vec<u8>),
}

/// Meters one request.
pub(crate) struct Meter {
    metering: Lent,
    estimate: Estimate,
    /// The body is not seen before it is forwarded: what was read follows from how much of it came.
    unread: bool,
    answer: Answer,
    /// Reads it where it comes uncoded.
    reader: Reader,
    filter: Option<Filter>,
    /// Where the last event ends in the piece that passed last; `None` where none ends in it.
    whole: Option<usize>,
    /// All of the answer came.
    is_whole: bool,
}

/// The answer, as far as it came.
enum Answer {
    /// Its head did not come yet.
    Awaited,
    /// The upstream refused, or did something else than answering: nothing was used.
    Nothing,
    Plain,
    Coded(Box<Coded>),
    /// It cannot be read; so many bytes passed.
    Opaque(u64),
}

impl Meter {
    fn new(metering: Lent, estimate: Estimate) -> Self {
        Self {
            metering,
            estimate,
            unread: false,
            answer: Answer::Awaited,
            reader: Reader::new(Form::Json),
            filter: None,
            whole: None,
            is_whole: false,
        }
    }

    /// A meter for a request that is about to be forwarded, where its route's are metered. `most_output` is what the model writes
    /// at most, where a price says so.
    ///
    /// Where the stream it asks for would not tell its usage, the body is made to ask.
    pub(crate) fn open(
        meters: &RefCell<Meters>,
        policy: &Arc<Policy>,
        api: &Api,
        route: Option<&Route>,
        upload: &mut Upload,
        head: &RequestHead,
        most_output: Option<u64>,
    ) -> Option<Box<Self>> {
        let metered = route.map_or(Metered::No, |route| route.metered);
        let body = match metered {
            Metered::No => return None,
            // Nothing is estimated from it.
            Metered::Told | Metered::Unknown => Body::Endless,
            Metered::Input | Metered::Both => {
                Body::new(declared::form(head), upload.bytes(), upload.length())
            }
        };
        let (estimate, asking) = beforehand(api, route, body, most_output)?;
        let unread = estimate.metered != Metered::Told && !matches!(body, Body::Whole(_));
        let mut meter = meters.borrow_mut().meter(policy, api, estimate);
        meter.unread = unread;
        meter.filter = asking.map(|asking| {
            upload.replace(&asking);
            Filter::default()
        });
        Some(meter)
    }

    /// What the request uses at most.
    pub(crate) fn estimate(&self) -> &Estimate {
        &self.estimate
    }

    /// Whether an event is to be taken out of the answer, which must come uncoded for that.
    pub(crate) fn filters(&self) -> bool {
        self.filter.is_some()
    }

    /// The head of the answer came; these are its bytes, and where its fields stand in them.
    pub(crate) fn answered(&mut self, head: &Head, (bytes, fields): (&[u8], &Fields)) {
        if head.media != Media::Events || head.coded {
            self.filter = None;
        }
        let form = match head.media {
            _ if !(200..300).contains(&head.status) => {
                self.answer = Answer::Nothing;
                return;
            }
            Media::Json => Form::Json,
            Media::Events => Form::Events,
            Media::Lines => Form::Lines,
            Media::Other => {
                self.answer = Answer::Opaque(0);
                return;
            }
        };
        self.answer = match head.coded {
            false => {
                self.reader.begin(form);
                Answer::Plain
            }
            true => {
                let codings = fields.of(Name::ContentEncoding).map(|field| field.value(bytes));
                match Coded::new(form, codings, &self.metering) {
                    Some(coded) => Answer::Coded(Box::new(coded)),
                    None => Answer::Opaque(0),
                }
            }
        };
    }

    /// A piece of the answer passes; says what of it the client is to get.
    pub(crate) fn pass(&mut self, piece: &[u8]) -> Passed {
        match (&mut self.answer, &mut self.filter) {
            (Answer::Plain, Some(filter)) => {
                let (passed, whole) = filter.pass(&mut self.reader, &self.metering, piece);
                self.whole = whole;
                return passed;
            }
            (Answer::Plain, None) => self.whole = self.reader.read(&self.metering, piece),
            (Answer::Coded(coded), _) => {
                if let Err(bytes) = coded.read(piece) {
                    self.answer = Answer::Opaque(bytes);
                }
            }
            (Answer::Opaque(bytes), _) => *bytes = bytes.saturating_add(count(piece)),
            (Answer::Awaited | Answer::Nothing, _) => {}
        }
        Passed::AsItIs
    }

    /// What was kept back of the answer's last event, once nothing more comes.
    pub(crate) fn rest(&mut self) -> Option<Vec<u8>> {
        self.whole = Some(0);
        self.filter.as_mut().and_then(Filter::rest)
    }

    /// Whether something is kept back.
    pub(crate) fn holds(&self) -> bool {
        self.filter.as_ref().is_some_and(Filter::holds)
    }

    /// How many tokens were written so far.
    pub(crate) fn written(&self) -> u64 {
        match &self.answer {
            Answer::Plain => self.reader.written(),
            Answer::Coded(coded) => coded.written(),
            Answer::Opaque(bytes) => bytes / BYTES_PER_UNREAD_TOKEN,
            Answer::Awaited | Answer::Nothing => 0,
        }
    }

    /// The event that ends the answer, around the body of a refusal, and where in the piece that passed last it is to stand. `None` where
    /// there is no such place: the answer is coded, or the profile has no form for the event.
    pub(crate) fn ending(&self, refusal: &str) -> Option<(usize, String)> {
        match &self.answer {
            Answer::Plain => self.whole.zip(self.metering.stream_error(refusal)),
            _ => None,
        }
    }

    /// All of the answer came.
    pub(crate) fn ended(&mut self) {
        self.is_whole = true;
    }

    /// The request is over, however it ended; `sent` says whether all of it had left for the upstream. The sums hold already how
    /// much of its body came.
    pub(crate) fn settle(
        mut self: Box<Self>,
        meters: &RefCell<Meters>,
        sent: bool,
        sums: &mut UsageSums,
    ) {
        if self.unread {
            self.estimate.read = by_length(&self.metering, sums.bytes_in);
        }
        let Used { tokens, estimated } = self.used(sent);
        sums.tokens.add(&tokens);
        sums.estimated = sums.estimated.saturating_add(u64::from(estimated));
        meters.borrow_mut().keep(self);
    }

    fn used(&mut self, sent: bool) -> Used {
        let Estimate { read, written, metered, .. } = self.estimate;
        let output = match &mut self.answer {
            Answer::Plain => {
                self.reader.end(&self.metering, self.is_whole);
                return self.reader.used(&self.estimate);
            }
            Answer::Coded(coded) => match coded.end(&self.estimate, self.is_whole) {
                Some(used) => return used,
                None => written,
            },
            Answer::Nothing => return Used::default(),
            // The upstream got the request, and may have acted on it. What it writes as a whole comes when all of it is written.
            Answer::Awaited if sent && self.estimate.streams => 0,
            Answer::Awaited if !sent => return Used::default(),
            // Neither its length nor how much of it came says what was written.
            Answer::Awaited | Answer::Opaque(_) => written,
        };
        let tokens = Tokens { input: read, output, ..Tokens::default() };
        Used { tokens, estimated: matches!(metered, Metered::Input | Metered::Both) }
    }
}

fn count(piece: &[u8]) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}
