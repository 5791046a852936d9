//! Templates of refusal bodies: literal pieces and holes, compiled when the profile is loaded.
//!
//! A hole is written `{{name}}`. Inside a JSON string it is replaced by the text, escaped; outside of one by
//! a whole JSON value (a string with its quotes, a number, or `null` where there is nothing to say). So nothing that a client
//! sends can break out of its place, and every template is proved to be JSON before it is ever used.

use std::fmt::Write as _;

use serde_json::Value;

/// Facts of a refusal that a template can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The status code, a number.
    Status,
    /// The status code's name, like `Not Found`.
    Title,
    /// Keyward's own name of the reason, like `unknown_key`.
    Reason,
    /// One sentence: what was wrong and what would be right.
    Detail,
    /// The request's id.
    RequestId,
    /// The moment of the refusal, RFC 3339 in UTC.
    Timestamp,
    /// The header in which a key is expected.
    Header,
    /// The id of the recognized key, or a fingerprint of the presented one in the same shape.
    KeyId,
    /// When the key expired, RFC 3339 in UTC.
    ExpiredAt,
    /// The permission that is missing.
    Required,
    /// The request field that is wrong.
    Field,
    /// What the field holds.
    Value,
    /// Methods that would be right.
    Allowed,
    /// Seconds to wait, a number.
    RetryAfter,
    /// The name of the limit that has no room.
    Limit,
    /// The request's method.
    Method,
    /// The request's path, without its query.
    Path,
}

impl Fact {
    /// Every fact with the name that holes use.
    pub const ALL: [(&'static str, Self); 17] = [
        ("status", Self::Status),
        ("title", Self::Title),
        ("reason", Self::Reason),
        ("detail", Self::Detail),
        ("request_id", Self::RequestId),
        ("timestamp", Self::Timestamp),
        ("header", Self::Header),
        ("key_id", Self::KeyId),
        ("expired_at", Self::ExpiredAt),
        ("required", Self::Required),
        ("field", Self::Field),
        ("value", Self::Value),
        ("allowed", Self::Allowed),
        ("retry_after", Self::RetryAfter),
        ("limit", Self::Limit),
        ("method", Self::Method),
        ("path", Self::Path),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| *own == name).map(|(_, fact)| *fact)
    }
}

/// How a hole is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Inside a JSON string: escaped text.
    JsonText,
    /// Where a JSON value stands.
    JsonValue,
    /// In a header: the text without control characters.
    Header,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    Hole(Fact, Place),
}

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// Why a template does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{`without `}}`.
    #[error("a hole `{{{{` is not closed by `}}}}`")]
    Unclosed,
    /// Nothing has this name.
    #[error(
        "hole `{{{{{0}}}}}` has no value here: define `{0}` beside the message, or use one of {1}"
    )]
    Unknown(String, String),
    /// `a` in `b` in `a`.
    #[error("hole `{{{{{0}}}}}` contains itself")]
    Circle(String),
    /// The rendered sample is no JSON.
    #[error("the body is not JSON once its holes are filled ({0}): {1}")]
    NotJson(String, String),
}

/// The fields a profile defines for a reason, by which holes other than facts are filled.
pub trait Fields {
    /// The field's own template text as it should stand inside a string, and as a value.
    fn field(&self, name: &str) -> Option<Value>;
}

impl Template {
    /// Compiles a JSON template; holes are looked for in `fields` first, then among the facts.
    pub fn json(text: &str, fields: &dyn Fields) -> Result<Self, TemplateError> {
        let mut compiler = Compiler { fields, pieces: Vec::new(), open: Vec::new() };
        compiler.json(text)?;
        let template = compiler.finish();
        let sample = template.render(&|_| Value::String("sample \"\\\n".to_owned()));
        match serde_json::from_str::<serde::de::IgnoredAny>(&sample) {
            Ok(_) => Ok(template),
            Err(error) => Err(TemplateError::NotJson(error.to_string(), text.trim().to_owned())),
        }
    }

    /// Compiles a header's value.
    pub fn header(text: &str, fields: &dyn Fields) -> Result<Self, TemplateError> {
        let mut compiler = Compiler { fields, pieces: Vec::new(), open: Vec::new() };
        compiler.text(text, Place::Header)?;
        Ok(compiler.finish())
    }

    /// Fills the holes.
    pub fn render(&self, fact: &dyn Fn(Fact) -> Value) -> String {
        let mut out = String::with_capacity(256);
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Hole(name, place) => fill(&mut out, &fact(*name), *place),
            }
        }
        out
    }

    /// The facts that stand inside strings, where `null` could not be written.
    pub fn texts(&self) -> impl Iterator<Item = Fact> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(fact, Place::JsonText | Place::Header) => Some(*fact),
            _ => None,
        })
    }
}

fn fill(out: &mut String, value: &Value, place: Place) {
    let text = || match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match place {
        Place::JsonValue => {
            // Writing to a String does not fail.
            let _ = write!(out, "{value}");
        }
        Place::JsonText => out.push_str(&escaped(&text())),
        Place::Header => out.push_str(&header_text(&text())),
    }
}

/// What of the text can stand in a header.
fn header_text(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && c.is_ascii()).collect()
}

/// The text as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

struct Compiler<'f> {
    fields: &'f dyn Fields,
    pieces: Vec<Piece>,
    /// Names of the fields being expanded, to notice circles.
    open: Vec<String>,
}

impl Compiler<'_> {
    fn finish(self) -> Template {
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.pieces.len());
        for piece in self.pieces {
            match (pieces.last_mut(), piece) {
                (Some(Piece::Literal(before)), Piece::Literal(text)) => {
                    *before = format!("{before}{text}").into();
                }
                (_, piece) => pieces.push(piece),
            }
        }
        Template { pieces }
    }

    fn literal(&mut self, text: &str) {
        if !text.is_empty() {
            self.pieces.push(Piece::Literal(text.into()));
        }
    }

    /// JSON text: whether a hole stands inside a string is seen from the quotes before it.
    fn json(&mut self, text: &str) -> Result<(), TemplateError> {
        let mut in_string = false;
        for part in split_holes(text)? {
            match part {
                Part::Text(text) => {
                    in_string = string_state_after(text, in_string);
                    self.literal(text);
                }
                Part::Hole(name) if in_string => self.hole(name, Place::JsonText)?,
                Part::Hole(name) => self.hole(name, Place::JsonValue)?,
            }
        }
        Ok(())
    }

    /// Text that stands inside a string or a header.
    fn text(&mut self, text: &str, place: Place) -> Result<(), TemplateError> {
        for part in split_holes(text)? {
            match part {
                Part::Text(text) if place == Place::JsonText => self.literal(&escaped(text)),
                Part::Text(text) => self.literal(&header_text(text)),
                Part::Hole(name) => self.hole(name, place)?,
            }
        }
        Ok(())
    }

    fn hole(&mut self, name: &str, place: Place) -> Result<(), TemplateError> {
        if self.open.iter().any(|open| open == name) {
            return Err(TemplateError::Circle(name.to_owned()));
        }
        if let Some(value) = self.fields.field(name) {
            self.open.push(name.to_owned());
            self.value(&value, place)?;
            self.open.pop();
            return Ok(());
        }
        let known = || Fact::ALL.map(|(name, _)| name).join(", ");
        let fact =
            Fact::named(name).ok_or_else(|| TemplateError::Unknown(name.to_owned(), known()))?;
        self.pieces.push(Piece::Hole(fact, place));
        Ok(())
    }

    fn value(&mut self, value: &Value, place: Place) -> Result<(), TemplateError> {
        match (value, place) {
            (Value::String(text), Place::JsonText | Place::Header) => self.text(text, place),
            (Value::String(text), Place::JsonValue) => match lone_hole(text) {
                // A field that is one hole and nothing else keeps the hole's own type: a number stays a number.
                Some(name) => self.hole(name, Place::JsonValue),
                None => {
                    self.literal("\"");
                    self.text(text, Place::JsonText)?;
                    self.literal("\"");
                    Ok(())
                }
            },
            (Value::Object(members), Place::JsonValue) => {
                for (at, (name, member)) in members.iter().enumerate() {
                    self.literal(if at == 0 { "{" } else { "," });
                    self.literal(&Value::from(name.as_str()).to_string());
                    self.literal(":");
                    self.value(member, place)?;
                }
                self.literal(if members.is_empty() { "{}" } else { "}" });
                Ok(())
            }
            (Value::Array(items), Place::JsonValue) => {
                self.literal("[");
                for (at, item) in items.iter().enumerate() {
                    self.literal(if at == 0 { "" } else { "," });
                    self.value(item, place)?;
                }
                self.literal("]");
                Ok(())
            }
            (other, Place::JsonValue) => {
                self.literal(&other.to_string());
                Ok(())
            }
            (other, _) => {
                self.literal(&escaped(&other.to_string()));
                Ok(())
            }
        }
    }
}

enum Part<'t> {
    Text(&'t str),
    Hole(&'t str),
}

fn split_holes(text: &str) -> Result<Vec<Part<'_>>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
        parts.push(Part::Text(before));
        parts.push(Part::Hole(name.trim()));
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

fn lone_hole(text: &str) -> Option<&str> {
    let name = text.strip_prefix("{{")?.strip_suffix("}}")?;
    (!name.contains("{{")).then(|| name.trim())
}

fn string_state_after(text: &str, mut in_string: bool) -> bool {
    let mut escape = false;
    for byte in text.bytes() {
        match byte {
            _ if escape => escape = false,
            b'\\' if in_string => escape = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    in_string
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Given(Value);

    impl Fields for Given {
        fn field(&self, name: &str) -> Option<Value> {
            self.0.get(name).cloned()
        }
    }

    fn render(template: &str, fields: Value, facts: &Value) -> Result<String, TemplateError> {
        let template = Template::json(template, &Given(fields))?;
        Ok(template.render(&|fact| {
            let name = Fact::ALL.iter().find(|(_, own)| *own == fact).unwrap().0;
            facts.get(name).cloned().unwrap_or(Value::Null)
        }))
    }

    #[test]
    fn holes_are_escaped_inside_strings_and_typed_outside() {
        let out = render(
            r#"{"status":{{status}},"text":"<{{value}}>","param":{{field}},"other":{{value}}}"#,
            json!({}),
            &json!({"status": 401, "value": "a\"b\\c\n"}),
        );
        assert_eq!(
            out.unwrap(),
            r#"{"status":401,"text":"<a\"b\\c\n>","param":null,"other":"a\"b\\c\n"}"#
        );
    }

    #[test]
    fn fields_are_expanded_with_their_own_holes_and_keep_types() {
        let out = render(
            r#"{"message":"{{message}}","details":{{details}}}"#,
            json!({"message": "needs \"{{required}}\"", "details": {"retry_after": "{{retry_after}}", "a": {"b": "x{{required}}"}, "c": [1, "{{required}}"]}}),
            &json!({"required": "read", "retry_after": 3}),
        );
        assert_eq!(
            out.unwrap(),
            r#"{"message":"needs \"read\"","details":{"retry_after":3,"a":{"b":"xread"},"c":[1,"read"]}}"#
        );
    }

    #[test]
    fn mistakes_are_found_when_it_is_compiled() {
        let fails = |template: &str| {
            render(template, json!({"a": "{{b}}", "b": "{{a}}"}), &json!({})).unwrap_err()
        };
        assert_eq!(fails(r#"{"x":"{{status"}"#), TemplateError::Unclosed);
        assert!(
            matches!(fails(r#"{"x":"{{nope}}"}"#), TemplateError::Unknown(name, _) if name == "nope")
        );
        assert_eq!(fails(r#"{"x":"{{a}}"}"#), TemplateError::Circle("a".into()));
        assert!(matches!(fails(r#"{"x":{{status}}"#), TemplateError::NotJson(..)));
    }

    #[test]
    fn a_header_holds_no_control_characters() {
        let template = Template::header("a {{value}}", &Given(json!({}))).unwrap();
        assert_eq!(template.render(&|_| json!("x\r\ny: z")), "a xy: z");
    }
}
