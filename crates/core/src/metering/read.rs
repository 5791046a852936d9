//! Reads an answer as it passes: JSON, an event stream, or lines of JSON.

use super::{
    Estimate, Kind, Metered, Metering, Tally, Usage,
    events::{Events, Hears},
    request::MOST,
    scan::{Scanner, Values},
    tree::Tree,
};
use crate::usage::Tokens;

/// A token that is written has so many bytes at least, as far as they are counted.
const BYTES_PER_WRITTEN_TOKEN: u64 = 4;

/// How an answer's content is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON text; where it is a list, each element counts like an event.
    Json,
    /// Server-sent events with JSON in them.
    Events,
    /// A JSON text a line.
    Lines,
}

/// An answer that is being read.
#[derive(Clone, Debug)]
pub struct Reader {
    form: Form,
    /// Of JSON, whether it is a list: known with its first character.
    is_list: Option<bool>,
    scanner: Scanner,
    events: Events,
    values: Values,
    tally: Tally,
    /// Texts, events or lines that held something written.
    written: u64,
    /// Bytes of it.
    text: u64,
    /// The last count of what was written came with something written, or before it: more may follow.
    told_midway: bool,
    /// The answer came to its end.
    is_whole: bool,
}

/// The end of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventEnd {
    /// Whether the event tells usage and nothing else: one that came because it was asked for.
    pub is_extra: bool,
}

/// What a request used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The counts.
    pub tokens: Tokens,
    /// Whether some of them are estimates.
    pub estimated: bool,
}

struct IntoScanner<'r> {
    tree: &'r Tree,
    scanner: &'r mut Scanner,
    values: &'r mut Values,
}

impl Hears for IntoScanner<'_> {
    fn data(&mut self, mut piece: &[u8]) {
        // Where a text ends inside an event is no matter: the event's end is what counts. What ends a word is read once more, as what it
        // is itself, and never ends another.
        while !piece.is_empty() {
            let (read, _) = self.scanner.read(self.tree, self.values, piece);
            piece = piece.get(read..).unwrap_or_default();
        }
    }
}

impl Reader {
    /// A reader for content of this form.
    pub fn new(form: Form) -> Self {
        Self {
            form,
            is_list: None,
            scanner: Scanner::default(),
            events: Events::default(),
            values: Values::default(),
            tally: Tally::default(),
            written: 0,
            text: 0,
            told_midway: false,
            is_whole: false,
        }
    }

    /// Forgets all that was read, and is as a new one: to build one costs more than to read a short answer.
    pub fn begin(&mut self, form: Form) {
        self.form = form;
        self.is_list = None;
        self.scanner.restart();
        self.events = Events::default();
        self.values.clear();
        self.tally = Tally::default();
        (self.written, self.text) = (0, 0);
        (self.told_midway, self.is_whole) = (false, false);
    }

    /// Reads the next piece. Every call on one reader is to be given the same metering. Of a stream, says where the last event ends
    /// that ended in the piece: there another could be put in.
    pub fn read(&mut self, metering: &Metering, mut piece: &[u8]) -> Option<usize> {
        let mut whole = None;
        match self.form {
            Form::Events => {
                let mut at = 0;
                while !piece.is_empty() {
                    let (read, end) = self.read_event(metering, piece);
                    at += read;
                    whole = end.map(|_| at).or(whole);
                    piece = piece.get(read..).unwrap_or_default();
                }
            }
            Form::Lines => {
                while !piece.is_empty() {
                    let end = memchr::memchr(b'\n', piece);
                    let line = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
                    let mut hears = self.scan(metering);
                    hears.data(line);
                    if end.is_some() {
                        hears.data(b"\n");
                        self.text_ends(metering, b"");
                        self.scanner.restart();
                    }
                    piece =
                        piece.get(line.len() + usize::from(end.is_some())..).unwrap_or_default();
                }
            }
            Form::Json => {
                if self.is_list.is_none() {
                    let first = piece.iter().find(|byte| !byte.is_ascii_whitespace());
                    self.is_list = first.map(|first| *first == b'[');
                }
                let tree = &self.of(metering).tree;
                while !piece.is_empty() {
                    let Self { scanner, values, .. } = self;
                    let (read, ended) = scanner.read(tree, values, piece);
                    if ended {
                        self.text_ends(metering, b"");
                    }
                    piece = piece.get(read..).unwrap_or_default();
                }
            }
        }
        whole
    }

    /// Reads an event stream up to the end of an event, or of the piece. Says how much was read, and of an event that ended there
    /// what it was.
    pub fn read_event(&mut self, metering: &Metering, piece: &[u8]) -> (usize, Option<EventEnd>) {
        let Self { scanner, values, events, .. } = self;
        let tree = &metering.stream.tree;
        let (read, ended) = events.read(piece, &mut IntoScanner { tree, scanner, values });
        let Some(has_data) = ended else { return (read, None) };
        let mut is_extra = false;
        if has_data {
            let include = metering.include_usage.as_ref();
            is_extra = include.is_some_and(|include| !self.values.is_marked(include.unless));
            let events = std::mem::take(&mut self.events);
            is_extra &= self.text_ends(metering, events.name());
            self.events = events;
        }
        self.scanner.restart();
        self.values.clear();
        self.events.next();
        (read, Some(EventEnd { is_extra }))
    }

    /// Where usage stands in what is read.
    fn of<'m>(&self, metering: &'m Metering) -> &'m Usage {
        match self.form {
            Form::Json if self.is_list != Some(true) => &metering.response,
            _ => &metering.stream,
        }
    }

    fn scan<'r>(&'r mut self, metering: &'r Metering) -> IntoScanner<'r> {
        let Self { scanner, values, .. } = self;
        IntoScanner { tree: &metering.stream.tree, scanner, values }
    }

    /// One JSON text has ended, the data of an event of this name among them: what it says counts. Says whether it told usage.
    fn text_ends(&mut self, metering: &Metering, event: &[u8]) -> bool {
        let (mut told, mut output) = (false, false);
        for entry in &self.of(metering).entries {
            if entry.event.as_ref().is_some_and(|name| **name != *event) {
                continue;
            }
            for of in &entry.of {
                if let Some(number) = self.values.number(of.slot) {
                    self.tally.put(of.kind, of.part, number.min(MOST));
                    told = true;
                    output |= of.kind == Kind::Output;
                }
            }
        }
        let is_text = self.values.text > 0;
        self.told_midway = is_text || self.told_midway && !output;
        self.written += u64::from(is_text);
        self.text = self.text.saturating_add(self.values.text);
        self.values.clear();
        told
    }

    /// The answer is over, or no more of it comes, as `is_whole` says: what an unfinished text said so far counts too. An unfinished
    /// event does not: nobody takes it for one.
    pub fn end(&mut self, metering: &Metering, is_whole: bool) {
        self.is_whole = is_whole;
        if self.form != Form::Events {
            self.text_ends(metering, b"");
        }
    }

    /// How many tokens were written so far: as the answer tells, or by what of it has passed.
    pub fn written(&self) -> u64 {
        let told = if self.tally.has(Kind::Output) { self.tally.sum(Kind::Output) } else { 0 };
        told.max(self.passed())
    }

    /// By what has passed: a token an event at least, one for some bytes at least. Of a whole answer, nothing: it tells, or all that
    /// it may have written counts.
    fn passed(&self) -> u64 {
        self.written.max(self.text.div_ceil(BYTES_PER_WRITTEN_TOKEN))
    }

    /// What was used, as far as it was told. On routes whose requests are estimated, what was not told is: what was read by the
    /// estimate, what was written by what has passed. A whole answer that tells nothing has used all of the estimate: it was written
    /// before its first byte came, and what of it is shown may be its client's to choose.
    pub fn used(&self, estimate: &Estimate) -> Used {
        let tokens = self.tally.tokens();
        let (input, output) = (self.tally.has(Kind::Input), self.tally.has(Kind::Output));
        let written = match estimate.metered {
            Metered::No | Metered::Unknown => return Used::default(),
            Metered::Told => return Used { tokens, estimated: false },
            Metered::Both if !input && !output && self.tells_at_its_end() => estimate.written,
            Metered::Input | Metered::Both if !output => self.passed(),
            // More than was told midway may have passed since.
            _ if self.told_midway && !self.is_whole => self.passed().max(tokens.output),
            _ => tokens.output,
        };
        // Whole answers leave out what they have nothing of: what one of both stands in is all there is.
        let estimated = !input || written != tokens.output;
        let read = if input { tokens.input } else { estimate.read };
        Used { tokens: Tokens { input: read, output: written, ..tokens }, estimated }
    }

    /// Whether it was written when it began: it is no stream, or one of which nothing was shown up to its end.
    fn tells_at_its_end(&self) -> bool {
        match self.form {
            Form::Json if self.is_list != Some(true) => true,
            _ => self.is_whole && self.passed() == 0,
        }
    }
}
