//! Reads an event stream (the WHATWG's server-sent events) that comes in pieces: names of events and their data, nothing kept.

use memchr::{memchr2, memchr3};

/// The longest name of an event that can be told from others.
pub(super) const LONGEST_EVENT: usize = 48;

/// Who hears what the stream says.
pub(super) trait Hears {
    /// More of the event's data.
    fn data(&mut self, piece: &[u8]);
}

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// At the stream's front, where a byte order mark may stand; so many bytes of it came.
    #[default]
    Front,
    /// In the name of the field.
    Field,
    /// Behind the colon, where one space is left out.
    Space(Field),
    Value(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    /// A comment, `id`, `retry`, or what nobody knows.
    Other,
}

/// A reader in the middle of a stream.
#[derive(Clone, Debug)]
pub(super) struct Events {
    part: Part,
    mark: u8,
    /// A line ended with CR: a LF behind it belongs to that end.
    after_cr: bool,
    field: Short<8>,
    event: Short<LONGEST_EVENT>,
    /// Whether the event has data.
    has_data: bool,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            part: Part::default(),
            mark: 0,
            after_cr: false,
            field: Short::new(),
            event: Short::new(),
            has_data: false,
        }
    }
}

/// Some bytes, as long as they are few.
#[derive(Clone, Debug)]
struct Short<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Short<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(bytes);
        }
        self.length = end;
    }

    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length)
    }

    fn clear(&mut self) {
        self.length = 0;
    }
}

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

impl Events {
    /// The name of the event that ended; nothing where it has none, or one that is too long to be known.
    pub(super) fn name(&self) -> &[u8] {
        self.event.get().unwrap_or_default()
    }

    /// Begins the next event.
    pub(super) fn next(&mut self) {
        self.event.clear();
        self.has_data = false;
    }

    /// Reads on, up to the end of an event or of the piece. Says how much was read, and whether an event ended there: `Some` of
    /// whether it has data.
    pub(super) fn read(&mut self, piece: &[u8], hears: &mut impl Hears) -> (usize, Option<bool>) {
        let mut at = 0;
        while let Some(rest) = piece.get(at..)
            && let Some(byte) = rest.first()
        {
            if std::mem::take(&mut self.after_cr) && *byte == b'\n' {
                at += 1;
                continue;
            }
            at += match self.part {
                Part::Front if BYTE_ORDER_MARK.get(usize::from(self.mark)) == Some(byte) => {
                    self.mark += 1;
                    1
                }
                Part::Front => {
                    self.part = Part::Field;
                    0
                }
                Part::Field => self.field(rest),
                Part::Space(field) => {
                    self.part = Part::Value(field);
                    usize::from(*byte == b' ')
                }
                Part::Value(field) => self.value(field, rest, hears),
            };
            if matches!(piece.get(at), Some(b'\r' | b'\n')) && self.part != Part::Front {
                self.after_cr = piece.get(at) == Some(&b'\r');
                at += 1;
                if self.line_ends(hears) {
                    if self.after_cr && piece.get(at) == Some(&b'\n') {
                        self.after_cr = false;
                        at += 1;
                    }
                    return (at, Some(self.has_data));
                }
            }
        }
        (piece.len(), None)
    }

    fn field(&mut self, rest: &[u8]) -> usize {
        let end = memchr3(b':', b'\r', b'\n', rest).unwrap_or(rest.len());
        self.field.push(rest.get(..end).unwrap_or_default());
        if rest.get(end) == Some(&b':') {
            self.part = Part::Space(self.known());
            return end + 1;
        }
        end
    }

    fn known(&self) -> Field {
        match self.field.get() {
            Some(b"data") => Field::Data,
            Some(b"event") => Field::Event,
            _ => Field::Other,
        }
    }

    fn value(&mut self, field: Field, rest: &[u8], hears: &mut impl Hears) -> usize {
        let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let value = rest.get(..end).unwrap_or_default();
        match field {
            Field::Data => hears.data(value),
            Field::Event => self.event.push(value),
            Field::Other => {}
        }
        end
    }

    /// Says whether the event ends with it: the line is empty.
    fn line_ends(&mut self, hears: &mut impl Hears) -> bool {
        let empty = self.part == Part::Field && self.field.length == 0;
        let field = match self.part {
            // A line without a colon is a field without a value.
            Part::Field => self.known(),
            Part::Front => Field::Other,
            Part::Space(field) | Part::Value(field) => field,
        };
        if field == Field::Data {
            self.has_data = true;
            // Lines of data are joined so; between two JSON texts, or inside of one, it is space.
            hears.data(b"\n");
        }
        self.part = Part::Field;
        self.field.clear();
        empty
    }
}
