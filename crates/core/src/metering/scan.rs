//! Follows pointers through JSON that comes in pieces, and keeps nothing but the path it is on and the numbers it was sent for.
//!
//! An answer is megabytes of numbers as often as it is a few hundred bytes of text, it comes cut anywhere, and it belongs to the
//! client: so nothing is gathered, nothing is allocated, and nothing here can fail. Of a JSON text it finds what `serde_json` finds
//! (`tests` hold it to that); of anything else it finds something or nothing, and goes on. A parser that builds values, or one that
//! wants the whole text, was rejected for its memory.

use memchr::memchr2;

use super::tree::{LONGEST_NAME, MOST_DEPTH, MOST_SLOTS, NOWHERE, Place, ROOT, Tree};

/// What one JSON text says at the pointers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Values {
    numbers: [u64; MOST_SLOTS],
    /// Which of them were there.
    seen: u32,
    marks: u32,
    /// Bytes of texts.
    pub(super) text: u64,
}

impl Values {
    /// The number in a slot.
    pub(super) fn number(&self, slot: u8) -> Option<u64> {
        let there = self.seen & 1_u32.checked_shl(slot.into()).unwrap_or(0) != 0;
        if there { self.numbers.get(usize::from(slot)).copied() } else { None }
    }

    /// Whether a mark is set.
    pub(super) fn is_marked(&self, mark: u8) -> bool {
        self.marks & 1_u32.checked_shl(mark.into()).unwrap_or(0) != 0
    }

    fn put(&mut self, slot: u8, number: u64) {
        if let Some(place) = self.numbers.get_mut(usize::from(slot)) {
            *place = number;
            self.seen |= 1_u32.checked_shl(slot.into()).unwrap_or(0);
        }
    }

    fn mark(&mut self, mark: Option<u8>) {
        let bit = mark.and_then(|mark| 1_u32.checked_shl(mark.into()));
        self.marks |= bit.unwrap_or(0);
    }

    /// Forgets all of it; the numbers themselves may stay, for nobody asks for them.
    pub(super) fn clear(&mut self) {
        self.seen = 0;
        self.marks = 0;
        self.text = 0;
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A value, or the end of an array.
    #[default]
    Value,
    /// The name of a member, or the end of an object.
    Name,
    InName,
    NameEscape,
    /// So many digits of an escaped character.
    NameUnicode(u8),
    Colon,
    /// A comma, or the end of a container.
    After,
    /// The rest of a text whose length is wanted.
    Text,
    TextEscape,
    /// The rest of a number that is wanted.
    Number,
    /// The rest of a word or a number that is not.
    Word,
    /// The rest of what no pointer leads into.
    Skip,
    SkipText,
    SkipTextEscape,
}

/// A container that a pointer leads into.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    place: Place,
    is_array: bool,
}

/// A scanner in the middle of its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Scanner {
    state: State,
    levels: [Level; MOST_DEPTH],
    depth: usize,
    /// Where the next value stands.
    at: Place,
    /// Open containers that no pointer leads into.
    skipped: u32,
    /// Whether the texts are elements of an array around them.
    in_list: bool,
    number: Option<u64>,
    name: Name,
    unicode: u16,
}

/// A member's name, as far as it is one that could be wanted.
#[derive(Clone, Debug)]
struct Name {
    bytes: [u8; LONGEST_NAME],
    length: usize,
}

impl Default for Name {
    fn default() -> Self {
        Self { bytes: [0; LONGEST_NAME], length: 0 }
    }
}

impl Name {
    fn push(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(bytes);
        }
        self.length = end;
    }

    /// Makes it one that is not wanted.
    fn spoil(&mut self) {
        self.length = usize::MAX;
    }

    /// The whole name; nothing where it is too long to be wanted.
    fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Scanner {
    /// Forgets what came so far: a new text begins.
    pub(super) fn restart(&mut self) {
        self.state = State::Value;
        self.depth = 0;
        self.at = ROOT;
        self.skipped = 0;
        self.in_list = false;
    }

    /// Reads on, up to the end of a text or of the piece. Says how much was read, and whether a text ended there.
    pub(super) fn read(&mut self, tree: &Tree, values: &mut Values, piece: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(rest) = piece.get(at..)
            && let Some(byte) = rest.first()
        {
            let (read, ended) = self.step(tree, values, *byte, rest);
            at += read;
            if ended {
                return (at, true);
            }
        }
        (piece.len(), false)
    }

    /// One step: a byte, or as many as are of no interest. `rest` begins with `byte`.
    fn step(&mut self, tree: &Tree, values: &mut Values, byte: u8, rest: &[u8]) -> (usize, bool) {
        match self.state {
            State::Skip => return self.skip(rest),
            State::SkipText => {
                let passed = self.pass_text(rest, State::Skip, State::SkipTextEscape);
                return (passed, self.state == State::After && self.has_ended());
            }
            State::SkipTextEscape => self.state = State::SkipText,
            State::Text => {
                let passed = self.pass_text(rest, State::After, State::TextEscape);
                // The quote or backslash that it ended with is no text.
                let sign = usize::from(self.state != State::Text);
                values.text += u64::try_from(passed - sign).unwrap_or_default();
                return (passed, self.state == State::After && self.has_ended());
            }
            State::TextEscape => {
                values.text += u64::from(byte != b'u');
                self.state = State::Text;
            }
            State::Value => return (1, self.value(tree, values, byte)),
            State::Name => match byte {
                b'"' => {
                    let passed = self.plain_members(tree, values, rest);
                    if passed > 0 {
                        return (passed, false);
                    }
                    self.name.length = 0;
                    self.state = State::InName;
                }
                b'}' => return (1, self.close()),
                _ => {}
            },
            State::InName => return (self.pass_name(tree, rest), false),
            State::NameEscape => self.name_escape(byte),
            State::NameUnicode(left) => self.name_unicode(byte, left),
            State::Colon if byte == b':' => self.state = State::Value,
            State::Colon => {}
            State::After => match byte {
                b',' => self.next(tree),
                b'}' | b']' => return (1, self.close()),
                _ => {}
            },
            State::Number => match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let more = self.number.and_then(|n| n.checked_mul(10)?.checked_add(digit));
                    self.number = more;
                }
                _ if is_delimiter(byte) => {
                    if let (Some(slot), Some(number)) = (tree.wanted(self.at).number, self.number) {
                        values.put(slot, number);
                    }
                    self.state = State::After;
                    return (0, self.has_ended());
                }
                // A fraction or an exponent: no count is written so.
                _ => self.number = None,
            },
            State::Word if is_delimiter(byte) => {
                self.state = State::After;
                return (0, self.has_ended());
            }
            State::Word => {}
        }
        (1, false)
    }

    /// A value begins, or an array ends before its first one.
    fn value(&mut self, tree: &Tree, values: &mut Values, byte: u8) -> bool {
        let wanted = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return false,
            b']' => return self.close(),
            // Between texts: what separates them, or a byte order mark.
            b',' | 0x80.. if self.depth == 0 => return false,
            _ => tree.wanted(self.at),
        };
        values.mark(wanted.presence);
        self.state = match byte {
            b'{' if tree.has_members(self.at) => self.open(false, State::Name),
            b'[' if self.depth == 0 && !self.in_list => {
                self.in_list = true;
                State::Value
            }
            b'[' if tree.each(self.at) != NOWHERE => {
                let each = tree.each(self.at);
                let state = self.open(true, State::Value);
                self.at = each;
                state
            }
            b'{' | b'[' => {
                self.skipped = 1;
                State::Skip
            }
            b'"' if wanted.text => State::Text,
            b'"' => State::SkipText,
            b'0'..=b'9' if wanted.number.is_some() => {
                self.number = Some(u64::from(byte - b'0'));
                State::Number
            }
            _ => State::Word,
        };
        false
    }

    /// Enters a container, where there is room for it: there is, for the pointers are no deeper.
    fn open(&mut self, is_array: bool, then: State) -> State {
        match self.levels.get_mut(self.depth) {
            Some(level) => {
                *level = Level { place: self.at, is_array };
                self.depth += 1;
                then
            }
            None => {
                self.skipped = 1;
                State::Skip
            }
        }
    }

    /// The container ends; says whether the text does with it.
    fn close(&mut self) -> bool {
        self.state = State::After;
        if self.depth == 0 {
            // The array around the texts, or a closing that nothing opened.
            self.restart();
            return false;
        }
        self.depth -= 1;
        self.has_ended()
    }

    /// Whether nothing is open any more: the text has ended, and another may begin.
    fn has_ended(&mut self) -> bool {
        if self.depth == 0 {
            self.state = State::Value;
            self.at = ROOT;
        }
        self.depth == 0
    }

    /// A comma: another member or element follows.
    fn next(&mut self, tree: &Tree) {
        let level = self.depth.checked_sub(1).and_then(|at| self.levels.get(at));
        self.state = match level {
            Some(Level { place, is_array: true }) => {
                self.at = tree.each(*place);
                State::Value
            }
            Some(_) => State::Name,
            None => State::Value,
        };
    }

    /// Passes what no pointer leads into, up to its end or the piece's.
    fn skip(&mut self, rest: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(found) = rest.get(at..).and_then(bracket_or_quote) {
            at += found + 1;
            match rest.get(at - 1) {
                Some(b'"') => match text_end(rest, at) {
                    TextEnd::At(end) => at = end,
                    TextEnd::Beyond { escaped } => {
                        let cut = if escaped { State::SkipTextEscape } else { State::SkipText };
                        self.state = cut;
                        return (rest.len(), false);
                    }
                },
                Some(b'[' | b'{') => self.skipped = self.skipped.saturating_add(1),
                _ => self.skipped = self.skipped.saturating_sub(1),
            }
            if self.skipped == 0 {
                self.state = State::After;
                return (at, self.has_ended());
            }
        }
        (rest.len(), false)
    }

    /// Members one after the other, as far as they are plain.
    fn plain_members(&mut self, tree: &Tree, values: &mut Values, rest: &[u8]) -> usize {
        let mut at = 0;
        while let Some(passed) =
            rest.get(at..).and_then(|rest| self.plain_member(tree, values, rest))
        {
            at += passed;
            match rest.get(at..) {
                Some([b',', b'"', ..]) if self.state == State::After => at += 1,
                _ => return at,
            }
        }
        // The next one is not plain: it begins with a name.
        if at > 0 {
            self.state = State::Name;
        }
        at
    }

    /// A member whose name stands in the piece whole and plain, and its value as far as nothing is wanted of it: what most of an
    /// answer is made of. `None` where it has to be looked at byte by byte.
    fn plain_member(&mut self, tree: &Tree, values: &mut Values, rest: &[u8]) -> Option<usize> {
        let end = 1 + quote_or_escape(rest.get(1..)?)?;
        let (name, behind) = (rest.get(1..end)?, rest.get(end..)?);
        let [b'"', b':', behind @ ..] = behind else { return None };
        let space = usize::from(behind.first() == Some(&b' '));
        let first = *behind.get(space)?;
        let place = self.depth.checked_sub(1).and_then(|depth| self.levels.get(depth))?.place;
        let value = end + 2 + space;
        self.at = tree.member(place, name);
        self.state = State::Value;
        if self.at != NOWHERE {
            let wanted = tree.wanted(self.at);
            let (Some(slot), None, b'0'..=b'9') = (wanted.number, wanted.presence, first) else {
                return Some(value);
            };
            let digits = rest.get(value..)?;
            let Some(end) = digits.iter().position(|byte| !byte.is_ascii_digit()) else {
                return Some(value);
            };
            if end > 18 || !digits.get(end).is_some_and(|byte| is_delimiter(*byte)) {
                return Some(value);
            }
            let number = |number: u64, digit: &u8| number * 10 + u64::from(digit - b'0');
            values.put(slot, digits.get(..end)?.iter().fold(0, number));
            self.state = State::After;
            return Some(value + end);
        }
        match first {
            b'"' => {
                let TextEnd::At(end) = text_end(rest, value + 1) else { return Some(value) };
                self.state = State::After;
                Some(end)
            }
            b'{' | b'[' => {
                self.skipped = 1;
                self.state = State::Skip;
                Some(value + 1)
            }
            b'0'..=b'9' | b'-' | b't' | b'f' | b'n' => {
                let end = rest.get(value..)?.iter().position(|byte| is_delimiter(*byte));
                let Some(end) = end else { return Some(value) };
                self.state = State::After;
                Some(value + end)
            }
            _ => Some(value),
        }
    }

    /// Passes a text up to its end or an escape. Says how many bytes that were, with the quote or backslash.
    fn pass_text(&mut self, rest: &[u8], end: State, escape: State) -> usize {
        let Some(at) = quote_or_escape(rest) else { return rest.len() };
        self.state = if rest.get(at) == Some(&b'"') { self.text_ends(end) } else { escape };
        at + 1
    }

    /// A text that nothing was wanted of stands where a value may, or deep in what is skipped.
    fn text_ends(&self, end: State) -> State {
        if end == State::Skip && self.skipped == 0 { State::After } else { end }
    }

    fn pass_name(&mut self, tree: &Tree, rest: &[u8]) -> usize {
        let at = quote_or_escape(rest).unwrap_or(rest.len());
        self.name.push(rest.get(..at).unwrap_or_default());
        match rest.get(at) {
            Some(b'"') => {
                let level = self.depth.checked_sub(1).and_then(|depth| self.levels.get(depth));
                let place = level.map_or(NOWHERE, |level| level.place);
                self.at = tree.member(place, self.name.get());
                self.state = State::Colon;
            }
            Some(_) => self.state = State::NameEscape,
            None => {}
        }
        at + usize::from(at < rest.len())
    }

    fn name_escape(&mut self, byte: u8) {
        self.state = State::InName;
        match byte {
            b'u' => {
                self.unicode = 0;
                self.state = State::NameUnicode(4);
            }
            b'b' => self.name.push(b"\x08"),
            b'f' => self.name.push(b"\x0c"),
            b'n' => self.name.push(b"\n"),
            b'r' => self.name.push(b"\r"),
            b't' => self.name.push(b"\t"),
            other => self.name.push(&[other]),
        }
    }

    /// Pointers are written in ASCII: of other characters it is enough that they are others.
    fn name_unicode(&mut self, byte: u8, left: u8) {
        let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
        let Some(digit) = digit else {
            self.name.spoil();
            self.state = State::InName;
            return;
        };
        self.unicode = self.unicode << 4 | digit;
        self.state = if left > 1 { State::NameUnicode(left - 1) } else { State::InName };
        if left == 1 {
            match u8::try_from(self.unicode).ok().filter(u8::is_ascii) {
                Some(character) => self.name.push(&[character]),
                None => self.name.spoil(),
            }
        }
    }
}

/// So many bytes are looked at at once: as many as a processor's registers hold, everywhere.
const STRIDE: usize = 16;

/// Where the first byte is that counts. Most are near; where none is, strides without one are passed whole.
#[inline]
fn first(bytes: &[u8], counts: impl Fn(u8) -> bool) -> Option<usize> {
    let (near, far) = bytes.split_at_checked(STRIDE).unwrap_or((bytes, &[]));
    if let Some(found) = near.iter().position(|byte| counts(*byte)) {
        return Some(found);
    }
    let empty = |stride: &&[u8]| !stride.iter().fold(false, |hit, byte| hit | counts(*byte));
    let passed = STRIDE * far.chunks_exact(STRIDE).take_while(empty).count();
    let found = far.get(passed..)?.iter().position(|byte| counts(*byte));
    found.map(|found| near.len() + passed + found)
}

fn quote_or_escape(bytes: &[u8]) -> Option<usize> {
    memchr2(b'"', b'\\', bytes)
}

#[inline]
fn bracket_or_quote(bytes: &[u8]) -> Option<usize> {
    // `[` and `{` differ in one bit, as `]` and `}` do.
    first(bytes, |byte| (byte == b'"') | (byte | 0x20 == b'{') | (byte | 0x20 == b'}'))
}

/// Where a text ends.
enum TextEnd {
    /// Behind its quote.
    At(usize),
    /// Not in this piece, which may end with a backslash.
    Beyond { escaped: bool },
}

/// The end of the text whose content begins at `at`.
fn text_end(bytes: &[u8], mut at: usize) -> TextEnd {
    while let Some(found) = bytes.get(at..).and_then(quote_or_escape) {
        at += found + 1;
        if bytes.get(at - 1) == Some(&b'"') {
            return TextEnd::At(at);
        }
        if at == bytes.len() {
            return TextEnd::Beyond { escaped: true };
        }
        at += 1;
    }
    TextEnd::Beyond { escaped: false }
}

/// Whether a number or a word ends before it.
fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n')
}
