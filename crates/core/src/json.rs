//! Reads the few body fields a decision depends on, exactly as the upstream will read them, or not at all.
//!
//! Parsers differ on duplicate members (first or last wins), on names that differ in case (Go takes them for the same),
//! and on what follows the first text. Where two readers could see two values, a key allowed one model could call
//! another (CVE-2026-49468 and kin), so every such body is refused instead of interpreted.
//! Members that nothing is decided on are skipped unread; no tree is built.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Where a field stands: a JSON pointer (RFC 6901) through objects only, like `/model` or `/options/model`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    segments: Vec<Box<str>>,
}

/// The text is not such a pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not point at an object's member: write it like `/model` or `/options/model`")]
pub struct NotAPointer(String);

impl std::str::FromStr for Pointer {
    type Err = NotAPointer;

    fn from_str(text: &str) -> Result<Self, NotAPointer> {
        let wrong = || NotAPointer(text.to_owned());
        let rest = text.strip_prefix('/').ok_or_else(wrong)?;
        let segments: Vec<Box<str>> = rest
            .split('/')
            .map(|segment| segment.replace("~1", "/").replace("~0", "~").into())
            .collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err(wrong());
        }
        Ok(Self { segments })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments
            .iter()
            .try_for_each(|s| write!(f, "/{}", s.replace('~', "~0").replace('/', "~1")))
    }
}

impl Pointer {
    /// The name of the member it points at.
    pub fn member(&self) -> &str {
        self.segments.last().map_or("", |segment| segment)
    }

    /// Whether one of the two stands inside the other, so that both cannot be read.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.segments.iter().zip(&other.segments).all(|(a, b)| a == b)
    }
}

/// What stands at a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nothing.
    Absent,
    /// A string, unescaped.
    Text(Box<str>),
    /// Something that is not a string.
    NotText,
}

/// Why a body cannot be decided on. Each says what was wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// No body.
    #[error("The body is empty; send a JSON object.")]
    Empty,
    /// Bytes that are no text.
    #[error("The body is not UTF-8; send a JSON object encoded in UTF-8.")]
    NotUtf8,
    /// Not JSON, or more than one text.
    #[error("The body is not one JSON text: {0}.")]
    NotJson(String),
    /// A list, a number, …
    #[error("The body, or a part of it on the way to `{0}`, is not a JSON object.")]
    NotAnObject(String),
    /// Two values to choose from.
    #[error("Member `{0}` stands more than once in the body; send it once.")]
    Duplicate(String),
    /// A name written with escapes, which some readers unescape and some compare as it is.
    #[error("Member name `{0}` is written with escapes; write it in plain characters.")]
    EscapedName(String),
    /// A name some readers take for the same.
    #[error("Member `{0}` differs from `{1}` only in case; write it as `{1}`.")]
    OtherCase(String, String),
}

/// Reads the fields at `pointers`, in their order. The pointers must not overlap.
pub fn read_fields(body: &[u8], pointers: &[&Pointer]) -> Result<Vec<Field>, BodyFault> {
    let text = std::str::from_utf8(body).map_err(|_| BodyFault::NotUtf8)?;
    if text.trim_ascii().is_empty() {
        return Err(BodyFault::Empty);
    }
    let mut reading = Reading { fields: vec![Field::Absent; pointers.len()], fault: None };
    let wanted = pointers.iter().enumerate().map(|(at, p)| (at, p.segments.as_slice())).collect();
    let mut json = serde_json::Deserializer::from_str(text);
    let end = Object { wanted, reading: &mut reading }.deserialize(&mut json);
    let end = end.and_then(|()| json.end());
    match (reading.fault, end) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(BodyFault::NotJson(error.to_string())),
        (None, Ok(())) => Ok(reading.fields),
    }
}

struct Reading {
    fields: Vec<Field>,
    fault: Option<BodyFault>,
}

impl Reading {
    fn fail<E: serde::de::Error>(&mut self, fault: BodyFault) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }
}

/// An object in which fields are wanted: each by its place in the answer and the rest of its pointer.
struct Object<'p, 'r> {
    wanted: Vec<(usize, &'p [Box<str>])>,
    reading: &'r mut Reading,
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Object<'_, '_> {
    fn not_an_object<E: serde::de::Error>(self) -> E {
        let member = self.wanted.first().and_then(|(_, rest)| rest.first());
        let fault = BodyFault::NotAnObject(member.map_or_else(String::new, ToString::to_string));
        self.reading.fail(fault)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { wanted, reading } = self;
        let mut seen: Vec<&str> = Vec::new();
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let Some(member) =
                named(&wanted, &name).map_err(|fault| reading.fail::<A::Error>(fault))?
            else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen.contains(&member) {
                return Err(reading.fail(BodyFault::Duplicate(member.to_owned())));
            }
            seen.push(member);
            let inside = wanted.iter().filter_map(|(at, path)| match path.split_first() {
                Some((first, rest)) if &**first == member => Some((*at, rest)),
                _ => None,
            });
            let inside: Vec<_> = inside.collect();
            match inside.as_slice() {
                [(at, [])] => {
                    let field = map.next_value_seed(Leaf)?;
                    if let Some(place) = reading.fields.get_mut(*at) {
                        *place = field;
                    }
                }
                _ => map.next_value_seed(Object { wanted: inside, reading: &mut *reading })?,
            }
        }
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Err(self.not_an_object())
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Err(self.not_an_object())
    }
    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Err(self.not_an_object())
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Err(self.not_an_object())
    }
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Err(self.not_an_object())
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Err(self.not_an_object())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.not_an_object())
    }
}

/// The wanted member that `name` names at this level, if it names one; a fault if readers could disagree on it.
fn named<'p>(
    wanted: &[(usize, &'p [Box<str>])],
    name: &Name,
) -> Result<Option<&'p str>, BodyFault> {
    for member in wanted.iter().filter_map(|(_, rest)| rest.first()) {
        if **member == *name.text {
            if name.escaped {
                return Err(BodyFault::EscapedName(name.text.clone()));
            }
            return Ok(Some(member));
        }
        if folded(member).eq(folded(&name.text)) {
            return Err(BodyFault::OtherCase(name.text.clone(), member.to_string()));
        }
    }
    Ok(None)
}

/// The characters as case-insensitive readers compare them. Go's encoding/json also folds the Kelvin sign and
/// the long s into `k` and `s`; readers that upper-case, or whose language is Turkish, fold the dotless and the
/// dotted i into `i`.
pub(crate) fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(|c| {
        let plain = match c {
            '\u{017F}' => 's',
            '\u{0130}' | '\u{0131}' => 'i',
            c => c,
        };
        plain.to_lowercase()
    })
}

struct Name {
    text: String,
    /// Whether the name was not written in its plain characters.
    escaped: bool,
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Name, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    // The deserializer lends a string from the body exactly when it stands there without escapes.
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name, E> {
        Ok(Name { text: text.to_owned(), escaped: false })
    }

    fn visit_str<E>(self, text: &str) -> Result<Name, E> {
        Ok(Name { text: text.to_owned(), escaped: true })
    }
}

struct Leaf;

impl<'de> DeserializeSeed<'de> for Leaf {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Field, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Leaf {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.into()))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::NotText)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Field, E> {
        Ok(Field::NotText)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Field, E> {
        Ok(Field::NotText)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
        Ok(Field::NotText)
    }
    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::NotText)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::NotText)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::NotText)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(body: &str) -> Result<Field, BodyFault> {
        let pointer: Pointer = "/model".parse().unwrap();
        read_fields(body.as_bytes(), &[&pointer]).map(|mut fields| fields.remove(0))
    }

    fn text(value: &str) -> Result<Field, BodyFault> {
        Ok(Field::Text(value.into()))
    }

    #[test]
    fn a_field_is_read_as_it_stands() {
        assert_eq!(model(r#"{"model":"gpt-4","prompt":"Hello"}"#), text("gpt-4"));
        assert_eq!(model(r#"{"prompt":{"model":"inner"},"model":"outer"}"#), text("outer"));
        assert_eq!(model(r#"{"model":"a\u0062c"}"#), text("abc"));
        assert_eq!(model(r"{}"), Ok(Field::Absent));
        for other in ["1", "1.5", "-1", "true", "null", "[]", "[1,{}]", "{}", r#"{"a":[1]}"#] {
            assert_eq!(model(&format!(r#"{{"model":{other}}}"#)), Ok(Field::NotText), "{other}");
        }
    }

    #[test]
    fn a_name_in_another_case_of_any_language_is_refused() {
        let pointer: Pointer = "/task\u{e9}id".parse().unwrap();
        for name in [
            "TASK\u{c9}ID",
            "ta\u{17f}k\u{e9}id",
            "tas\u{212a}\u{e9}id",
            "task\u{e9}\u{131}d",
            "TASK\u{c9}\u{130}D",
        ] {
            let body = format!(r#"{{"{name}":1}}"#);
            let fault = BodyFault::OtherCase(name.to_owned(), "task\u{e9}id".to_owned());
            assert_eq!(read_fields(body.as_bytes(), &[&pointer]), Err(fault), "{name}");
        }
        let other = read_fields(r#"{"taskeid":1}"#.as_bytes(), &[&pointer]);
        assert_eq!(other, Ok(vec![Field::Absent]));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        use BodyFault::*;
        let cases = [
            (r#"{"model":"allowed","model":"forbidden"}"#, Duplicate("model".into())),
            (r#"{"mod\u0065l":"forbidden"}"#, EscapedName("model".into())),
            (r#"{"model":"allowed","mod\u0065l":"forbidden"}"#, EscapedName("model".into())),
            (r#"{"Model":"forbidden"}"#, OtherCase("Model".into(), "model".into())),
            (r#"{"model":"a","MODEL":"b"}"#, OtherCase("MODEL".into(), "model".into())),
            (r#"["model"]"#, NotAnObject("model".into())),
            ("\"model\"", NotAnObject("model".into())),
            ("1", NotAnObject("model".into())),
            ("", Empty),
            (" \r\n", Empty),
        ];
        for (body, fault) in cases {
            assert_eq!(model(body), Err(fault), "{body}");
        }
    }

    #[test]
    fn anything_but_one_json_text_is_refused() {
        for body in [
            r#"{"model":"a"}{"model":"b"}"#,
            r#"{"model":"a"} x"#,
            r#"{"model":"a""#,
            r#"{"model":"a",}"#,
            r"{'model':'a'}",
            "\u{feff}{\"model\":\"a\"}",
            r#"{"model":NaN}"#,
            "{\"model\":\"a\nb\"}",
            r#"{"model":"\ud800"}"#,
        ] {
            assert!(matches!(model(body), Err(BodyFault::NotJson(_))), "{body}: {:?}", model(body));
        }
        let pointer: Pointer = "/model".parse().unwrap();
        let fault = read_fields(b"{\"x\":\"\xff\",\"model\":\"a\"}", &[&pointer]).unwrap_err();
        assert_eq!(fault, BodyFault::NotUtf8);
    }

    #[test]
    fn fields_are_found_inside_objects() {
        let pointers: Vec<Pointer> =
            ["/a/b", "/a/c", "/d"].iter().map(|p| p.parse().unwrap()).collect();
        let wanted: Vec<&Pointer> = pointers.iter().collect();
        let fields = read_fields(br#"{"d":"3","a":{"c":"2","b":"1","d":"x"}}"#, &wanted).unwrap();
        let texts = ["1", "2", "3"].map(|t| Field::Text(t.into()));
        assert_eq!(fields, texts);
        let fault = read_fields(br#"{"a":"text"}"#, &wanted).unwrap_err();
        assert_eq!(fault, BodyFault::NotAnObject("b".into()));
        let fault = read_fields(br#"{"a":{"b":"1","b":"2"}}"#, &wanted).unwrap_err();
        assert_eq!(fault, BodyFault::Duplicate("b".into()));
    }

    #[test]
    fn deep_nesting_beside_the_field_does_not_exhaust_the_stack() {
        let deep = format!(r#"{{"x":{}{},"model":"a"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(model(&deep), text("a"));
        let deep = format!(r#"{{"model":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(model(&deep).is_ok_and(|field| field == Field::NotText) || model(&deep).is_err());
    }

    #[test]
    fn pointers_are_checked() {
        for wrong in ["", "model", "/", "/a//b"] {
            assert!(wrong.parse::<Pointer>().is_err(), "{wrong}");
        }
        let (a, ab): (Pointer, Pointer) = ("/a".parse().unwrap(), "/a/b".parse().unwrap());
        assert!(a.overlaps(&ab) && ab.overlaps(&a));
        assert!(!a.overlaps(&"/b".parse().unwrap()));
        assert_eq!("/a~1b/c~0d".parse::<Pointer>().unwrap().to_string(), "/a~1b/c~0d");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>) {
            let pointer: Pointer = "/model".parse().unwrap();
            let _ = read_fields(&body, &[&pointer]);
        }

        /// serde_json's own tree is the second reader: where we answer a text, it finds the same.
        #[test]
        fn what_is_read_is_what_a_tree_holds(model_text in "\\PC{0,12}", other in "[a-z]{1,5}") {
            let body = serde_json::json!({ other.as_str(): [1, {"model": 2}], "model": model_text }).to_string();
            prop_assert_eq!(model(&body), text(&model_text));
        }
    }
}
