//! Typed ids, so that a key's id cannot be given where an organization's is wanted.
//!
//! Keys and secrets get ids of 128 random bits, written `key_…` and `sec_…` in 26 characters of Crockford's base 32.
//! Random rather than time-ordered (UUID v7): a refusal shows the id of a known key and a fingerprint
//! in the same shape for an unknown one, and a timestamp in the id would tell the two apart.
//! Organizations and models carry the names their API knows them by, so these ids are text.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`, so ids survive being read aloud.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const RANDOM_CHARS: usize = 26;

/// The text is not an id of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {remedy}")]
pub struct NotAnId {
    text: String,
    what: &'static str,
    remedy: &'static str,
}

/// Prefix (four characters) and digits, as they are written.
fn encode_base32(prefix: [u8; 4], bits: [u8; 16]) -> [u8; 4 + RANDOM_CHARS] {
    let mut text = [b'0'; 4 + RANDOM_CHARS];
    let mut left = u128::from_be_bytes(bits);
    for place in text.iter_mut().skip(4).rev() {
        let digit = usize::try_from(left & 31).unwrap_or_default();
        *place = BASE32.get(digit).copied().unwrap_or(b'0');
        left >>= 5;
    }
    text.iter_mut().zip(prefix).for_each(|(place, char)| *place = char);
    text
}

fn read_base32(prefix: [u8; 4], text: &str) -> Option<[u8; 16]> {
    let digits = text.strip_prefix(std::str::from_utf8(&prefix).ok()?)?;
    if digits.len() != RANDOM_CHARS {
        return None;
    }
    let mut value: u128 = 0;
    for (at, char) in digits.bytes().enumerate() {
        let digit = BASE32.iter().position(|known| *known == char)?;
        // 26 digits hold 130 bits: the first may only be 0 to 7.
        if at == 0 && digit > 7 {
            return None;
        }
        value = (value << 5) | u128::try_from(digit).ok()?;
    }
    Some(value.to_be_bytes())
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal, $remedy:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// From 128 bits of the caller's randomness.
            pub const fn from_bits(bits: [u8; 16]) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            pub const fn bits(self) -> [u8; 16] {
                self.0
            }

            /// As it is written, in ASCII.
            pub fn encoded(self) -> [u8; 4 + RANDOM_CHARS] {
                encode_base32(*$prefix, self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(std::str::from_utf8(&self.encoded()).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                read_base32(*$prefix, text).map(Self).ok_or_else(|| NotAnId {
                    text: text.to_owned(),
                    what: $what,
                    remedy: $remedy,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

random_id!(
    /// A key: the lasting object, whatever secrets it has had. Public, safe to log and to show.
    KeyId, b"key_", "a key's id", "it is `key_` and 26 characters, as `keyward keys list` shows it"
);
random_id!(
    /// One secret of a key. Public, safe to log and to show.
    SecretId, b"sec_", "a secret's id", "it is `sec_` and 26 characters, as `keyward keys show` shows it"
);

random_id!(
    /// A person who may log in.
    UserId, b"usr_", "a person's id", "it is `usr_` and 26 characters, as members are listed"
);
random_id!(
    /// A login, from one device.
    SessionId, b"ses_", "a session's id", "it is `ses_` and 26 characters, as sessions are listed"
);
random_id!(
    /// An invitation to an organization.
    InvitationId, b"inv_", "an invitation's id", "it is `inv_` and 26 characters, as invitations are listed"
);
random_id!(
    /// A running gateway, another with each start.
    NodeId, b"nod_", "a node's id", "it is `nod_` and 26 characters, as receipts list them"
);
random_id!(
    /// A member's request for a key.
    KeyRequestId, b"krq_", "a key request's id", "it is `krq_` and 26 characters, as key requests are listed"
);

random_id!(
    /// An address that an organization, or who runs this Keyward, wants to be told at.
    WebhookId, b"whk_", "a webhook's id", "it is `whk_` and 26 characters, as webhooks are listed"
);
random_id!(
    /// One signing secret of a webhook. Public, safe to log and to show.
    WebhookSecretId, b"whs_", "a webhook secret's id", "it is `whs_` and 26 characters"
);
random_id!(
    /// Something that happened and is told of. Receivers know by it what they were told already.
    EventId, b"evt_", "an event's id", "it is `evt_` and 26 characters, as deliveries show it"
);
random_id!(
    /// One event on its way to one webhook.
    DeliveryId, b"dlv_", "a delivery's id", "it is `dlv_` and 26 characters, as deliveries are listed"
);
random_id!(
    /// A rule that says when people are to be alerted.
    AlertRuleId, b"alr_", "an alert rule's id", "it is `alr_` and 26 characters, as alert rules are listed"
);
random_id!(
    /// An alert that was raised.
    AlertId, b"alt_", "an alert's id", "it is `alt_` and 26 characters, as alerts are listed"
);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The id as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let fits = (1..=64).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
                if !fits {
                    return Err(NotAnId {
                        text: text.to_owned(),
                        what: $what,
                        remedy: "write 1 to 64 letters, digits, `_`, `-` or `.`",
                    });
                }
                Ok(Self(text.into()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// An organization, by the id its requests carry (`organization_id`). 1 to 64 letters, digits, `_`, `-`, `.`.
    OrganizationId, "an organization's id"
);
text_id!(
    /// A model id assigned to an organization (`model_id`). 1 to 64 letters, digits, `_`, `-`, `.`.
    ModelId, "a model id"
);
text_id!(
    /// An API by the name the configuration gives it. 1 to 64 letters, digits, `_`, `-`, `.`.
    ApiName, "an API's name"
);

impl ApiName {
    /// The API in four bytes, as records in memory carry it: a CRC-32 of the name, so that it stays the same
    /// when the configuration is reordered. The configuration refuses two names that meet in one number.
    pub fn number(&self) -> ApiNumber {
        ApiNumber(crc32fast::hash(self.0.as_bytes()))
    }
}

/// See [`ApiName::number`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApiNumber(u32);

impl ApiNumber {
    /// For numbers that are made from it and outlive the process.
    pub(crate) fn tag(self) -> u128 {
        u128::from(self.0)
    }
}

/// A model id in the shape of the documented example: nine digits, `x`, eight digits.
///
/// `random` gives the digits; its bias (256 values onto 10) does not matter, an id is no secret.
pub fn mint_model_id(random: [u8; 17]) -> ModelId {
    let digit = |byte: &u8| char::from(b'0' + byte % 10);
    let (client, serial) = random.split_at(9);
    let text: String =
        client.iter().map(digit).chain(['x']).chain(serial.iter().map(digit)).collect();
    ModelId(text.into())
}

/// An organization's id from 80 bits of the caller's randomness: `org_` and 16 characters.
pub fn mint_organization_id(random: [u8; 16]) -> OrganizationId {
    let text: String = random
        .iter()
        .filter_map(|byte| BASE32.get(usize::from(byte & 31)))
        .map(|char| char::from(*char))
        .collect();
    OrganizationId(format!("org_{text}").into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_id_reads_back(bits: [u8; 16]) {
            let id = KeyId::from_bits(bits);
            prop_assert_eq!(id.to_string().parse::<KeyId>().unwrap(), id);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = text.parse::<KeyId>();
            let _ = text.parse::<OrganizationId>();
        }
    }

    #[test]
    fn ids_of_another_kind_are_not_accepted() {
        let key = KeyId::from_bits([7; 16]).to_string();
        assert!(key.parse::<SecretId>().is_err());
        assert!("key_".parse::<KeyId>().is_err());
        assert!("key_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<KeyId>().is_err(), "more than 128 bits");
    }

    #[test]
    fn minted_model_ids_have_the_documented_shape() {
        let id = mint_model_id([15; 17]);
        assert_eq!(id.as_str(), "555555555x55555555");
    }

    #[test]
    fn organization_ids_are_bounded() {
        assert!("org_your_org_id".parse::<OrganizationId>().is_ok());
        for wrong in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(wrong.parse::<OrganizationId>().is_err(), "{wrong}");
        }
    }
}
