//! Has a stream tell its usage: edits a request's body where its client did not ask for it.
//!
//! Exact or not at all: a body is edited where only one reading of it exists, and then everything but the one member stays as it was,
//! byte for byte. A name that is written with escapes is the name that it stands for. What is written twice, differs in case or is of
//! another type is left alone, and said to be unclear: such a stream may tell nothing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{IncludeUsage, Metering};
use crate::json::folded;

/// What a request for a stream says of its usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// It asks for it.
    Already,
    /// It did not; this body does.
    Now(Vec<u8>),
    /// It cannot be known what its readers make of it.
    Unclear,
}

impl Metering {
    /// Has the body of a request for a stream ask for its usage.
    pub fn ask_for_usage(&self, body: &[u8]) -> Asks {
        self.edited(body).unwrap_or(Asks::Unclear)
    }

    fn edited(&self, body: &[u8]) -> Option<Asks> {
        let include = self.include_usage.as_ref()?;
        let text = std::str::from_utf8(body).ok()?;
        let object = read(text, &include.member)?;
        let Edit { from, to, put } = match include.edit(text, &object)? {
            Some(edit) => edit,
            None => return Some(Asks::Already),
        };
        let mut edited = Vec::with_capacity(text.len() + put.len());
        edited.extend_from_slice(text.get(..from)?.as_bytes());
        edited.extend_from_slice(put.as_bytes());
        edited.extend_from_slice(text.get(to..)?.as_bytes());
        Some(Asks::Now(edited))
    }
}

/// What stands in place of the bytes between two places.
struct Edit {
    from: usize,
    to: usize,
    put: String,
}

impl IncludeUsage {
    /// What is to be edited: nothing where it asks already. `None` where that is unclear.
    fn edit(&self, text: &str, object: &Object<'_>) -> Option<Option<Edit>> {
        let Self { member, inner, .. } = self;
        let asks = format!("\"{inner}\":true");
        let Some(own) = object.wanted else {
            let from = text.find('{')? + 1;
            let comma = if object.is_empty { "" } else { "," };
            let put = format!("\"{member}\":{{{asks}}}{comma}");
            return Some(Some(Edit { from, to: from, put }));
        };
        let (from, to) = place(text, own)?;
        if own == "null" {
            return Some(Some(Edit { from, to, put: format!("{{{asks}}}") }));
        }
        let nested = read(own, inner)?;
        match nested.wanted {
            Some("true") => Some(None),
            Some("false" | "null") => {
                let (from, to) = place(text, nested.wanted?)?;
                Some(Some(Edit { from, to, put: "true".to_owned() }))
            }
            Some(_) => None,
            None => {
                let from = from + 1;
                let comma = if nested.is_empty { "" } else { "," };
                Some(Some(Edit { from, to: from, put: format!("{asks}{comma}") }))
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
        while let Some(name) = map.next_key_seed(Name(self.wanted))? {
            object.is_empty = false;
            match name {
                Named::Wanted if object.wanted.is_none() => {
                    object.wanted = Some(map.next_value::<&'de RawValue>()?.get());
                }
                Named::Wanted | Named::Alike => return Ok(None),
                Named::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(object))
    }
}

/// Holds a member's name against the one that is wanted.
struct Name<'w>(&'w str);

/// What a member is called.
enum Named {
    Wanted,
    /// Readers that fold case take it for the wanted one.
    Alike,
    Other,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Named, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Named, E> {
        Ok(match name {
            _ if name == self.0 => Named::Wanted,
            _ if folded(name).eq(folded(self.0)) => Named::Alike,
            _ => Named::Other,
        })
    }
}
