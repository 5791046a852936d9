//! Reads the few query parameters a decision depends on, or refuses where two readers could disagree.

use crate::json::Field;

/// Why a query cannot be decided on. Each says what was wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// Two values to choose from.
    #[error("Query parameter `{0}` stands more than once; send it once.")]
    Duplicate(String),
    /// A name some readers decode and some do not.
    #[error("Query parameter name `{0}` is percent-encoded; write it in plain characters.")]
    EncodedName(String),
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
        if raw_name != name {
            if decode(raw_name).as_deref() == Some(name) {
                return Err(QueryFault::EncodedName(name.to_owned()));
            }
            continue;
        }
        if found != Field::Absent {
            return Err(QueryFault::Duplicate(name.to_owned()));
        }
        let value = decode(raw_value).ok_or_else(|| QueryFault::BadEncoding(name.to_owned()))?;
        found = Field::Text(value.into());
    }
    Ok(found)
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
            ("model%5fid=b", EncodedName(name())),
            ("model_id=a&mod%65l_id=b", EncodedName(name())),
            ("a=1;model_id=b", Semicolon),
            ("model_id=%ff", BadEncoding(name())),
            ("model_id=%4", BadEncoding(name())),
        ];
        for (query, fault) in cases {
            assert_eq!(read_parameter(query, "model_id"), Err(fault), "{query}");
        }
    }

    #[test]
    fn a_parameter_is_taken_out_and_the_rest_stays_as_it_was() {
        assert_eq!(without_parameter("a=%31&key=s&b", "key"), "a=%31&b");
        assert_eq!(without_parameter("key=s", "key"), "");
    }
}
