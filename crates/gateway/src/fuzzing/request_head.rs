//! A request's head.

use super::{
    LIMITS,
    cuts::Cuts,
    naive::{self, Field, Request},
    requests::{Upgrades, at_once, cut},
    text,
};
use crate::{
    request::RequestHead,
    wire::{
        fields::Name,
        screen::{Phase, Screen, Step},
    },
};

/// Fields that are asked for by what they are.
const ASKED: [(&str, Name); 12] = [
    ("accept", Name::Accept),
    ("authorization", Name::Authorization),
    ("connection", Name::Connection),
    ("content-encoding", Name::ContentEncoding),
    ("content-length", Name::ContentLength),
    ("content-type", Name::ContentType),
    ("cookie", Name::Cookie),
    ("host", Name::Host),
    ("transfer-encoding", Name::TransferEncoding),
    ("upgrade", Name::Upgrade),
    ("x-forwarded-for", Name::ForwardedFor),
    ("x-request-id", Name::RequestId),
];

/// Names, and beginnings of names, by which an upstream could be told another caller, path or method than was decided on, or where a
/// message ends. Fields with them never reach it as they came.
const NEVER: [&str; 19] = [
    "authorization",
    "connection",
    "content-length",
    "forwarded",
    "host",
    "keep-alive",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-",
    "x-http-method",
    "x-keyward-",
    "x-original-",
    "x-real-",
    "x-rewrite-",
];

/// Four bytes say how it comes, the rest is the head, and what stands behind it.
///
/// It passes if the naive reader finds one meaning in it, and with that one; every field is found again, by its name in any case, by
/// what it is, and in its place.
pub fn request_head(input: &[u8]) {
    let Some((cuts, stream)) = Cuts::split(input) else { return };
    let end = naive::head_end(stream);
    let stream = &stream[..end.unwrap_or(stream.len())];
    let outcome = at_once(stream, Upgrades(0));
    assert_eq!(cut(stream, cuts, Upgrades(0)), outcome, "by how it is cut");
    let expected = end.and_then(|_| naive::request(stream, &LIMITS));
    assert_eq!(outcome.messages.first().map(|message| &message.head), expected.as_ref());
    match (end, expected) {
        (Some(_), Some(expected)) => check_fields(stream, &expected),
        (Some(_), None) => assert_eq!(outcome.phase, Phase::Refused),
        (None, _) => assert!(outcome.passed == 0, "a head passed before its end came"),
    }
}

fn check_fields(bytes: &[u8], expected: &Request) {
    let mut screen = Screen::new(LIMITS);
    assert_eq!(screen.step(bytes), Step::Head(bytes.len()));
    let mut head = RequestHead::default();
    head.read_http1(bytes, &mut screen);
    let (_, fields) = head.fields();
    assert_eq!(fields.len(), expected.fields.len());
    for (name, _) in &expected.fields {
        for name in [name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
            let values = keyward_core::credential::Headers::values(&head, &name);
            assert_eq!(
                values.map(text).collect::<Vec<_>>(),
                naive::values(&expected.fields, &name)
            );
        }
    }
    for (name, is) in ASKED {
        let values = naive::values(&expected.fields, name);
        assert_eq!(head.all(is).map(text).collect::<Vec<_>>(), values, "{name}");
        assert_eq!(head.value(is).map(text).as_deref(), values.first().copied());
        assert_eq!(head.has(is), !values.is_empty());
    }
    for word in ["close", "upgrade", "te"] {
        let named = naive::elements(&expected.fields, "connection").iter().any(|own| own == word);
        assert_eq!(head.names(Name::Connection, word), named);
    }
    for (known, field) in fields.iter().zip(&expected.fields) {
        assert!(!known.is.passes() || !must_stay(field), "{field:?} would reach the upstream");
    }
}

/// Whether a field must not reach the upstream as it came. Some take underscores for hyphens.
fn must_stay((name, _): &Field) -> bool {
    let spelled = name.to_ascii_lowercase().replace('_', "-");
    name.contains('_')
        || NEVER.iter().any(|never| match never.ends_with('-') {
            true => spelled.starts_with(never),
            false => spelled == *never,
        })
}
