//! Has a stream tell its usage: edits a request's body where its client did not ask for it.
//!
//! Exact or not at all: a body is edited where only one reading of it exists, and then everything but the one member stays as it was,
//! byte for byte. What is written twice, escaped, differs in case or is of another type is left alone.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{IncludeUsage, Metering};
use crate::json::folded;

impl Metering {
    /// The body of a request for a stream with the question for usage in it; `None` where it asks already, or is left alone.
    pub fn ask_for_usage(&self, body: &[u8]) -> Option<Vec<u8>> {
        let include = self.include_usage.as_ref()?;
        let text = std::str::from_utf8(body).ok()?;
        let object = read(text, &include.member)?;
        let edit = include.edit(text, &object)?;
        let Edit { from, to, put } = edit;
        let mut edited = Vec::with_capacity(text.len() + put.len());
        edited.extend_from_slice(text.get(..from)?.as_bytes());
        edited.extend_from_slice(put.as_bytes());
        edited.extend_from_slice(text.get(to..)?.as_bytes());
        Some(edited)
    }
}

/// What stands in place of the bytes between two places.
struct Edit {
    from: usize,
    to: usize,
    put: String,
}

impl IncludeUsage {
    fn edit(&self, text: &str, object: &Object<'_>) -> Option<Edit> {
        let Self { member, inner, .. } = self;
        let asks = format!("\"{inner}\":true");
        let Some(own) = object.wanted else {
            let from = text.find('{')? + 1;
            let comma = if object.is_empty { "" } else { "," };
            let put = format!("\"{member}\":{{{asks}}}{comma}");
            return Some(Edit { from, to: from, put });
        };
        let (from, to) = place(text, own)?;
        if own == "null" {
            return Some(Edit { from, to, put: format!("{{{asks}}}") });
        }
        let nested = read(own, inner)?;
        match nested.wanted {
            Some("false" | "null") => {
                let (from, to) = place(text, nested.wanted?)?;
                Some(Edit { from, to, put: "true".to_owned() })
            }
            Some(_) => None,
            None => {
                let from = from + 1;
                let comma = if nested.is_empty { "" } else { "," };
                Some(Edit { from, to: from, put: format!("{asks}{comma}") })
            }
        }
    }
}

/// Where a part of the text stands in it.
fn place(text: &str, part: &str) -> Option<(usize, usize)> {
    let from = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let to = from.checked_add(part.len())?;
    (text.get(from..to)? == part).then_some((from, to))
}

/// An object in which one member is wanted.
#[derive(Debug)]
struct Object<'t> {
    wanted: Option<&'t str>,
    is_empty: bool,
}

/// Reads the object that the text is; `None` where it is none, or where the member could be read in two ways.
fn read<'t>(text: &'t str, wanted: &str) -> Option<Object<'t>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let object = json.deserialize_map(Members { wanted }).ok()?;
    json.end().ok()?;
    object
}

struct Members<'w> {
    wanted: &'w str,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Option<Object<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Object { wanted: None, is_empty: true };
        // A name with an escape cannot be lent from the text, and fails here: nothing is edited then.
        while let Some(name) = map.next_key::<&'de str>()? {
            object.is_empty = false;
            if name == self.wanted {
                if object.wanted.is_some() {
                    return Ok(None);
                }
                object.wanted = Some(map.next_value::<&'de RawValue>()?.get());
                continue;
            }
            if folded(name).eq(folded(self.wanted)) {
                return Ok(None);
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(Some(object))
    }
}
