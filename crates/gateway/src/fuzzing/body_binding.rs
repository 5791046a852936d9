//! Members of a JSON body that are decided on.

use keyward_core::json::{Field, Pointer, read_fields};

use super::naive::Json;

/// Where a body is decided on, every reader finds the same there, and where every reader does, it is.
pub fn body_binding(input: &[u8]) {
    let pointers: [Pointer; 2] = ["/model".parse().unwrap(), "/kind/is".parse().unwrap()];
    let read = read_fields(input, &pointers.each_ref());
    if Json::is_deep(input) {
        return;
    }
    let json = std::str::from_utf8(input).ok().and_then(Json::read);
    let expected =
        json.and_then(|json| Some([found(&json, &["model"])?, found(&json, &["kind", "is"])?]));
    match read {
        Ok(fields) => assert_eq!(Some(&fields[..]), expected.as_ref().map(|all| &all[..])),
        // Escapes can stand for no character, and numbers can be too large for any reader.
        Err(_) if input.len() > 300 || input.iter().any(|b| b"\\eE".contains(b)) => {}
        Err(fault) => assert_eq!(expected, None, "{fault}"),
    }
}

/// What stands there; nothing where readers could differ on it.
fn found(json: &Json, path: &[&str]) -> Option<Field> {
    let Some((first, rest)) = path.split_first() else {
        return Some(match json {
            Json::Text(text) => Field::Text(text.as_str().into()),
            _ => Field::NotText,
        });
    };
    let Json::Object(members) = json else { return None };
    let alike: Vec<_> = members.iter().filter(|(name, _)| is_alike(&name.text, first)).collect();
    match alike[..] {
        [] => Some(Field::Absent),
        [(name, value)] if name.text == *first && !name.escaped => found(value, rest),
        _ => None,
    }
}

/// Whether some reader takes the names for the same.
fn is_alike(one: &str, other: &str) -> bool {
    // A dotted capital I becomes two characters in lower case.
    let lower = |text: &str| text.replace('\u{130}', "i").to_lowercase();
    one.to_uppercase() == other.to_uppercase() || lower(one) == lower(other)
}
