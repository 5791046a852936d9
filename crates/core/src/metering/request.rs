//! What a request's body says of its answer: how much it may write, how often, and whether it is streamed; and what of it is no text
//! ([`super::inline`]).
//!
//! Upstreams differ in what they make of a member that stands twice, in another case, as a text or as a fraction, and who sends it
//! knows which of it counts. So a number counts as said only where every reader finds the same: once, under its own name, as a plain
//! integer. Anything else leaves it in doubt, and then it is the largest that any reader could take ([`Number::at_most`]). Refusing
//! such bodies was rejected: where nothing is limited they harm nobody.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::{inline::Inline, tree::Path};
use crate::json::folded;

/// No request writes more: a hundred tokens a second, for a year. What says more is cut off here, lest sums overflow. Neither is any answer
/// believed that tells more.
pub(super) const MOST: u64 = u32::MAX as u64;

/// What is looked for in a request's body.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants {
    all: Vec<Want>,
    /// Places of what is no text.
    inline: u8,
}

/// One member that is looked for.
#[derive(Clone, Debug)]
struct Want {
    path: Path,
    what: What,
    /// The patterns of the routes whose upstream knows it; of all, where there are none.
    routes: Vec<String>,
}

impl Want {
    /// What it says on this route.
    fn on(&self, route: &str) -> What {
        let is_known = self.routes.is_empty() || self.routes.iter().any(|own| own == route);
        if is_known { self.what } else { What::PerhapsOutput }
    }
}

/// What a member says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Stream,
    Background,
    MostOutput,
    /// The same, unless the upstream does not know it.
    PerhapsOutput,
    Choices,
    /// A list of texts, each of which is answered.
    Prompts,
    /// What may be no text, at a place of this number; whether the same object says what kind it is.
    Data {
        place: u8,
        has_kind: bool,
    },
    /// That kind.
    Kind {
        place: u8,
    },
}

/// What one body says.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) inline: Inline,
    pub(super) most_output: Number,
    pub(super) choices: Number,
    pub(super) prompts: Number,
    pub(super) stream: Flag,
    pub(super) background: Flag,
    /// Whether the body is one JSON text.
    pub(super) is_json: bool,
}

/// A number that stands in one of several places, or in none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number {
    is_said: bool,
    in_doubt: bool,
    /// That any reader could take.
    largest: u64,
}

impl Number {
    /// The most that it can be taken for, where it is `unsaid` if nothing says it.
    pub(super) fn at_most(self, unsaid: u64) -> u64 {
        match self.is_said && !self.in_doubt {
            true => self.largest,
            false => self.largest.max(unsaid),
        }
    }
}

/// Something that is asked for by `true`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flag {
    is_true: bool,
    in_doubt: bool,
    /// Some reader could take it for `true`.
    pub(super) perhaps: bool,
}

impl Flag {
    fn take(&mut self, scalar: Scalar<'_>) {
        match scalar {
            Scalar::Null | Scalar::Is(false) => {}
            Scalar::Is(true) => (self.is_true, self.perhaps) = (true, true),
            _ => (self.in_doubt, self.perhaps) = (true, true),
        }
    }

    /// Every reader takes it for `true`.
    pub(super) fn surely(self) -> bool {
        self.is_true && !self.in_doubt
    }
}

/// A value that holds no others.
#[derive(Clone, Copy)]
enum Scalar<'s> {
    Null,
    Is(bool),
    Whole(u64),
    Other(f64),
    Text(&'s str),
}

impl Wants {
    /// `None` where there are more than can be told apart.
    pub(super) fn add(&mut self, path: Path, what: What, routes: &[String]) -> Option<()> {
        self.all.push(Want { path, what, routes: routes.to_vec() });
        (self.all.len() <= 64).then_some(())
    }

    /// What is no text may stand at this path, and its kind in a member of this name beside it.
    pub(super) fn add_inline(&mut self, data: Path, kind: Option<&str>) -> Option<()> {
        let place = self.inline;
        self.inline = place.checked_add(1)?;
        if let Some(kind) = kind {
            self.add(data.beside(kind), What::Kind { place }, &[])?;
        }
        self.add(data, What::Data { place, has_kind: kind.is_some() }, &[])
    }

    /// Whether bodies say how much may be written.
    pub(super) fn most_output(&self) -> bool {
        self.all.iter().any(|want| want.what == What::MostOutput)
    }

    /// Reads the body of a request of the route with this pattern.
    pub(super) fn read(&self, body: &[u8], route: &str) -> Said {
        let mut said = Said::default();
        let wanted = self.all.iter();
        let wanted = wanted.map(|want| Wanted { rest: want.path.segments(), what: want.on(route) });
        let wanted: AllWanted<'_> = wanted.collect();
        if let Ok(text) = std::str::from_utf8(body) {
            let mut json = serde_json::Deserializer::from_str(text);
            let value = Value { wanted: &wanted, is_whole: true, said: &mut said };
            said.is_json = value.deserialize(&mut json).and_then(|()| json.end()).is_ok();
        }
        if !said.is_json {
            // Who reads it all the same reads something else.
            said.inline = Inline::default();
            for what in [What::Stream, What::MostOutput, What::Choices, What::Prompts] {
                said.doubt(what);
            }
        }
        said
    }
}

impl Said {
    fn doubt(&mut self, what: What) {
        match what {
            What::Stream => self.stream.in_doubt = true,
            What::Background => self.background.in_doubt = true,
            What::MostOutput | What::PerhapsOutput => self.most_output.in_doubt = true,
            What::Choices => self.choices.in_doubt = true,
            What::Prompts => self.prompts.in_doubt = true,
            // Whatever leads to an image, what stands there is one.
            What::Data { .. } | What::Kind { .. } => {}
        }
    }

    fn take(&mut self, what: What, scalar: Scalar<'_>) {
        let number = match what {
            What::MostOutput | What::PerhapsOutput => &mut self.most_output,
            What::Choices => &mut self.choices,
            What::Prompts => &mut self.prompts,
            What::Stream => return self.stream.take(scalar),
            What::Background => return self.background.take(scalar),
            What::Data { place, .. } => return scalar.text(|text| self.inline.data(place, text)),
            What::Kind { place } => return scalar.text(|text| self.inline.kind(place, text)),
        };
        let largest = match scalar {
            Scalar::Null => return,
            Scalar::Text(_) if what == What::Prompts => 1,
            Scalar::Whole(whole) if whole > 0 && what != What::PerhapsOutput => {
                number.is_said = true;
                whole
            }
            other => {
                number.in_doubt = true;
                other.largest()
            }
        };
        number.largest = number.largest.max(largest.min(MOST));
    }
}

impl Scalar<'_> {
    fn text(self, then: impl FnOnce(&str)) {
        if let Self::Text(text) = self {
            then(text);
        }
    }

    /// The largest whole number that a reader could make of it.
    fn largest(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let whole = |number: f64| number.ceil() as u64;
        match self {
            Self::Null => 0,
            Self::Is(is) => u64::from(is),
            Self::Whole(number) => number,
            Self::Other(number) => whole(number),
            // Some readers take separators, other digits and other bases.
            Self::Text(text) => match text.trim().parse() {
                Ok(number) => whole(number),
                Err(_) if text.chars().any(char::is_numeric) => MOST,
                Err(_) => 0,
            },
        }
    }
}

/// What is wanted of a value, or of what stands in it: how to get there, and what it says there.
#[derive(Clone, Copy)]
struct Wanted<'p> {
    rest: &'p [Box<str>],
    what: What,
}

impl Wanted<'_> {
    /// Of what stands in a member, or in an array's elements.
    fn inside(&self) -> Option<Self> {
        self.rest.split_first().map(|(_, rest)| Self { rest, ..*self })
    }
}

type AllWanted<'p> = SmallVec<[Wanted<'p>; 24]>;

/// A value of which something is wanted.
struct Value<'p, 'r> {
    wanted: &'r [Wanted<'p>],
    /// Whether it is the whole body.
    is_whole: bool,
    said: &'r mut Said,
}

impl Value<'_, '_> {
    fn scalar(self, scalar: Scalar<'_>) {
        for Wanted { rest, what } in self.wanted {
            match rest.is_empty() {
                true => self.said.take(*what, scalar),
                false => self.said.doubt(*what),
            }
        }
    }

    /// It is a container of so many elements, and no number where one was looked for.
    fn holds(&mut self, elements: u64) {
        for Wanted { what, .. } in self.wanted.iter().filter(|wanted| wanted.rest.is_empty()) {
            match what {
                What::Prompts => self.said.take(*what, Scalar::Whole(elements)),
                _ => self.said.take(*what, Scalar::Other(0.0)),
            }
        }
    }

    /// An object has ended; `seen` has a bit for each member that was there. Beside one of another spelling that says something, a
    /// reader could take this one, which does not.
    fn ends(&mut self, seen: u64) {
        for Wanted { rest, what } in self.wanted {
            if let (What::Data { place, has_kind }, [_]) = (what, rest) {
                self.said.inline.ends(*place, *has_kind);
            }
        }
        if self.is_whole {
            return;
        }
        let says = |what| {
            let mut own = self.wanted.iter().enumerate().filter(|(_, wanted)| wanted.what == what);
            own.any(|(at, _)| seen & bit(at) != 0)
        };
        // What stands inline is not in doubt by that.
        let is_inline = |what| matches!(what, What::Data { .. } | What::Kind { .. });
        let all = self.wanted.iter().map(|wanted| wanted.what);
        let silent = all.filter(|what| !is_inline(*what) && !says(*what));
        silent.for_each(|what| self.said.doubt(what));
    }
}

fn bit(at: usize) -> u64 {
    u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at)).unwrap_or(0)
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar(Scalar::Null);
        Ok(())
    }

    fn visit_bool<E>(self, is: bool) -> Result<(), E> {
        self.scalar(Scalar::Is(is));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.scalar(Scalar::Whole(number));
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.scalar(Scalar::Other(-1.0));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.scalar(Scalar::Other(number));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(text));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut elements = 0;
        let each = |wanted: &&Wanted<'_>| wanted.rest.first().is_some_and(|first| is_each(first));
        let inside = self.wanted.iter().filter(each);
        let inside: AllWanted<'_> = inside.filter_map(Wanted::inside).collect();
        if !inside.is_empty() {
            let said = &mut *self.said;
            while seq
                .next_element_seed(Value { wanted: &inside, is_whole: false, said: &mut *said })?
                .is_some()
            {}
            return Ok(());
        }
        while let Some(element) = seq.next_element::<&RawValue>()? {
            // Numbers are one text's tokens.
            elements += u64::from(!element.get().starts_with(|c: char| c.is_ascii_digit()));
        }
        self.holds(elements);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.holds(0);
        let mut seen = 0;
        loop {
            let Self { wanted, said, .. } = &mut self;
            let Some(inside) = map.next_key_seed(Name { wanted, seen: &mut seen, said })? else {
                break;
            };
            if inside == 0 {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let led_to = wanted.iter().enumerate().filter(|(at, _)| inside & bit(*at) != 0);
            let wanted: AllWanted<'_> = led_to.filter_map(|(_, wanted)| wanted.inside()).collect();
            map.next_value_seed(Value { wanted: &wanted, is_whole: false, said })?;
        }
        self.ends(seen);
        Ok(())
    }
}

/// A member's name: gives which of what is wanted stands in its value, a bit for each.
struct Name<'p, 'r> {
    wanted: &'r [Wanted<'p>],
    /// The members that were there before.
    seen: &'r mut u64,
    said: &'r mut Said,
}

impl Name<'_, '_> {
    /// What readers could disagree on is in doubt from here on.
    fn leads_to(self, name: &str, is_escaped: bool) -> u64 {
        let Some(plain) = plain(name) else { return 0 };
        let mut inside = 0;
        for (at, Wanted { rest, what }) in self.wanted.iter().enumerate() {
            let Some((own, rest)) = rest.split_first() else { continue };
            if !own.eq_ignore_ascii_case(&plain) || is_each(own) {
                continue;
            }
            if **own != *name || is_escaped || *self.seen & bit(at) != 0 {
                self.said.doubt(*what);
                if let (What::Data { place, .. } | What::Kind { place }, []) = (what, rest) {
                    self.said.inline.doubt(*place);
                }
            }
            inside |= bit(at);
        }
        *self.seen |= inside;
        inside
    }
}

/// Whether it stands for every element of an array.
fn is_each(segment: &str) -> bool {
    segment == "*"
}

/// The name as some reader takes it; `None` where nobody takes it for one that is looked for, for these are ASCII. Folded once for all
/// of them: a body may be nothing but names.
fn plain(name: &str) -> Option<Cow<'_, str>> {
    if name.is_ascii() {
        return Some(Cow::Borrowed(name));
    }
    folded(name).map(|c| c.is_ascii().then_some(c)).collect::<Option<String>>().map(Cow::Owned)
}

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<u64, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_, '_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    // The deserializer lends a text from the body exactly where it stands there without escapes.
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<u64, E> {
        Ok(self.leads_to(name, false))
    }

    fn visit_str<E>(self, name: &str) -> Result<u64, E> {
        Ok(self.leads_to(name, true))
    }
}
