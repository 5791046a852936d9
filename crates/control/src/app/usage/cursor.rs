//! Where a page of usage ended: the last sum's group, as text that stands in a query as it is.

use std::{fmt, str::FromStr};

use keyward_core::{id::KeyId, verdict::Reason};
use keyward_store::UsageGroup;

/// The group of the last sum that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub(super) UsageGroup);

/// The text is no cursor.
#[derive(Debug, thiserror::Error)]
#[error("it is not what a page ended with: send `next` of the page before as it is")]
pub struct NotACursor;

/// A group as it is written, texts for ids. Empty texts stand for "none".
type Written = (
    Option<u64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<u16>,
    Option<String>,
);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.0.clone();
        let written: Written = (
            group.start,
            group.organization,
            group.api,
            group.route,
            group.key.map(|key| key.map(|key| key.to_string()).unwrap_or_default()),
            group.model,
            group.status,
            group.reason.map(|reason| reason.map_or("", Reason::name).to_owned()),
        );
        let json = serde_json::to_vec(&written).map_err(|_| fmt::Error)?;
        json.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let pairs = text.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        });
        let json: Vec<u8> = pairs.collect::<Option<_>>().ok_or(NotACursor)?;
        let written: Written = serde_json::from_slice(&json).map_err(|_| NotACursor)?;
        let (start, organization, api, route, key, model, status, reason) = written;
        let key = key.map(|key| match key.as_str() {
            "" => Ok(None),
            id => id.parse::<KeyId>().map(Some).map_err(|_| NotACursor),
        });
        let reason = reason.map(|reason| match reason.as_str() {
            "" => Ok(None),
            name => Reason::named(name).map(Some).ok_or(NotACursor),
        });
        let (key, reason) = (key.transpose()?, reason.transpose()?);
        Ok(Self(UsageGroup { start, organization, api, route, key, model, status, reason }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_cursor_reads_back(
            start: Option<u64>, route: Option<String>, model: Option<String>, status: Option<u16>,
            key: Option<Option<[u8; 16]>>, reason in prop::option::of(prop::option::of(0..Reason::ALL.len())),
        ) {
            let key = key.map(|key| key.map(KeyId::from_bits));
            let reason = reason.map(|reason| reason.map(|at| Reason::ALL[at]));
            let cursor = Cursor(UsageGroup { start, route, model, status, key, reason, ..UsageGroup::default() });
            prop_assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}", hex in "([0-9a-f]{2}){0,60}") {
            let _ = (text.parse::<Cursor>(), hex.parse::<Cursor>());
        }
    }
}
