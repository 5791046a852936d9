//! Reads the few query parameters a decision depends on, or refuses where two readers could disagree.

use crate::json::{self, Field};

/// Why a query cannot be decided on. Each says what was wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// Two values to choose from.
    #[error("Query parameter `{0}` stands more than once; send it once.")]
    Duplicate(String),
    /// A name that only some readers take for the wanted one.
    #[error(
        "The query has a parameter that some servers read as `{0}` and some do not; send it once, in exactly these characters."
    )]
    NearName(String),
    /// Older readers split at `;` too.
    #[error("The query holds a `;`, which some servers take for `&`; percent-encode it.")]
    Semicolon,
    /// `%zz`
    #[error("Query parameter `{0}` is not valid percent-encoded UTF-8.")]
    BadEncoding(String),
}

/// The value of the one parameter called `name`.
pub fn read_parameter(query: &str, name: &str) -> Result<Field, QueryFault> {
    if query.contains(';') {
        return Err(QueryFault::Semicolon);
    }
    let mut found = Field::Absent;
    for pair in query.split('&') {
        let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        match names(raw_name, name) {
            Match::Exact => {}
            Match::Near => return Err(QueryFault::NearName(name.to_owned())),
            Match::No => continue,
        }
        if found != Field::Absent {
            return Err(QueryFault::Duplicate(name.to_owned()));
        }
        let value = decode(raw_value).ok_or_else(|| QueryFault::BadEncoding(name.to_owned()))?;
        found = Field::Text(value.into());
    }
    Ok(found)
}

/// How a parameter's name, as it stands in a query, fits the one that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Every reader takes it for this name.
    Exact,
    /// Some reader takes it for this name: it decodes, trims, ignores case, or builds lists from brackets.
    Near,
    /// None does.
    No,
}

/// Whether `raw`, a parameter's name as it stands in a query, is the name `wanted`.
///
/// ASP.NET ignores case; PHP trims, cuts at NUL and at `[`, and reads `.`, space and a lone `[` as `_`; Rack takes
/// `[model]` for `model`.
pub fn names(raw: &str, wanted: &str) -> Match {
    if raw == wanted {
        return Match::Exact;
    }
    let bytes = decode_leniently(raw);
    let decoded = String::from_utf8_lossy(&bytes);
    let trim = |text| str::trim_matches(text, |c: char| c.is_whitespace() || c.is_control());
    let plain =
        |text| json::folded(trim(text)).map(|c| if matches!(c, '.' | ' ' | '[') { '_' } else { c });
    let ended = |c| matches!(c, '[' | ']' | '\0');
    let opened = trim(&decoded).trim_start_matches(['[', ']']);
    let cut = opened.split(ended).next().unwrap_or_default();
    let before_nul = decoded.split('\0').next().unwrap_or_default();
    let near = plain(cut).eq(plain(wanted)) || plain(before_nul).eq(plain(wanted));
    if near { Match::Near } else { Match::No }
}

/// Percent-decoding that leaves what is no encoding as it stands: some readers go on where others refuse.
fn decode_leniently(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || ahead.next().and_then(|b| char::from(b).to_digit(16));
        let encoded = match byte {
            b'%' => digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()),
            _ => None,
        };
        match (byte, encoded) {
            (_, Some(value)) => {
                decoded.push(value);
                bytes = ahead;
            }
            (b'+', None) => decoded.push(b' '),
            (plain, None) => decoded.push(plain),
        }
    }
    decoded
}

/// Percent-decoding as forms do it (`+` is a space); `None` where it is not valid UTF-8.
pub fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let value = digit()? * 16 + digit()?;
                decoded.push(u8::try_from(value).ok()?);
            }
            plain => decoded.push(plain),
        }
    }
    String::from_utf8(decoded).ok()
}

/// The query without the parameter `name`: what is forwarded when it held the client's credential.
pub fn without_parameter(query: &str, name: &str) -> String {
    let named = |pair: &&str| pair.split_once('=').map_or(*pair, |(name, _)| name) == name;
    query.split('&').filter(|pair| !named(pair)).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_read_once_and_decoded() {
        let read = |query| read_parameter(query, "model_id");
        assert_eq!(read("a=1&model_id=x%20y+z"), Ok(Field::Text("x y z".into())));
        assert_eq!(read("a=1"), Ok(Field::Absent));
        assert_eq!(read("model_id"), Ok(Field::Text("".into())));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        use QueryFault::*;
        let name = || "model_id".to_owned();
        let cases = [
            ("model_id=a&model_id=b", Duplicate(name())),
            ("model%5fid=b", NearName(name())),
            ("model_id=a&mod%65l_id=b", NearName(name())),
            ("a=1;model_id=b", Semicolon),
            ("model_id=%ff", BadEncoding(name())),
            ("model_id=%4", BadEncoding(name())),
        ];
        for (query, fault) in cases {
            assert_eq!(read_parameter(query, "model_id"), Err(fault), "{query}");
        }
    }

    #[test]
    fn a_name_that_another_reader_takes_for_the_wanted_one_is_near() {
        let near = [
            "MODEL_ID",
            "model_id[]",
            "model_id[0]",
            "model_id[a][b]",
            "+model_id",
            "model_id+",
            "%20model_id",
            "%09model_id",
            "model_id%00",
            "model_id%00x",
            "model_id%00%ff",
            "model_id%5b%5D",
            "model_i%64%5b%5d",
            "model_id[%zz]",
            "[model_id]",
            "model.id",
            "model+id",
            "model%20id",
            "model[id",
            "model_\u{131}d",
            "MODEL_%C4%B0D",
            "model_id%C2%A0",
        ];
        for raw in near {
            assert_eq!(names(raw, "model_id"), Match::Near, "{raw}");
            for query in [
                format!("{raw}=bad"),
                format!("model_id=good&{raw}=bad"),
                format!("{raw}=bad&model_id=good"),
                raw.to_owned(),
            ] {
                let fault = QueryFault::NearName("model_id".into());
                assert_eq!(read_parameter(&query, "model_id"), Err(fault), "{query}");
            }
        }
        assert_eq!(names("mode%6c%5b%5d", "model"), Match::Near);
        assert_eq!(names("model_id", "model_id"), Match::Exact);
        let others = [
            "",
            "%",
            "%zz",
            "[",
            "model",
            "model_ids",
            "model_id2",
            "amodel_id",
            "model-id",
            "a[model_id]",
            "model_id%zz",
            "model%255fid",
        ];
        for raw in others {
            assert_eq!(names(raw, "model_id"), Match::No, "{raw}");
        }
    }

    #[test]
    fn a_parameter_is_taken_out_and_the_rest_stays_as_it_was() {
        assert_eq!(without_parameter("a=%31&key=s&b", "key"), "a=%31&b");
        assert_eq!(without_parameter("key=s", "key"), "");
    }
}
