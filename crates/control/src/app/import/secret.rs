//! What is known of a key that another system made: the key itself, or what that system kept of it.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use keyward_core::{
    credential,
    key::{Digest, ForeignDigest, KeyFormat, Pepper, Plaintext},
};
use sha2::{Digest as _, Sha256, Sha512};

use super::{entropy, rows::Row};

const LENGTHS: std::ops::RangeInclusive<usize> = 8..=512;
/// A check with a higher cost would keep a core for seconds.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;
const LONGEST_HINT: usize = 32;

/// What is known of a key.
pub(crate) enum Known {
    Plaintext(Plaintext),
    Sha256([u8; 32]),
    Sha512([u8; 64]),
    /// The hash's text.
    Bcrypt(Plaintext, String),
}

/// Reads what a row says of its key.
pub(crate) fn known(row: &mut Row) -> Result<Known, String> {
    match (row.plaintext.take(), row.digest.take(), row.algorithm.as_deref()) {
        (Some(_), Some(_), _) => {
            Err("`plaintext` and `digest` are both given: give one of them".to_owned())
        }
        (None, None, _) => {
            Err("the key is missing: give `plaintext`, or `digest` with `algorithm`".to_owned())
        }
        (Some(_), None, Some(_)) => {
            Err("`algorithm` is given, and the key in the clear: leave `algorithm` out".to_owned())
        }
        (Some(plaintext), None, None) => in_the_clear(plaintext),
        (None, Some(_), None) => {
            Err("`algorithm` is missing: write sha256, sha512 or bcrypt".to_owned())
        }
        (None, Some(digest), Some(algorithm)) => digested(row, &digest, algorithm),
    }
}

fn in_the_clear(plaintext: Plaintext) -> Result<Known, String> {
    let length = plaintext.expose().len();
    if !LENGTHS.contains(&length) {
        return Err(format!("the key has {length} characters: keys of 8 to 512 can be imported"));
    }
    if !credential::can_be_sent(plaintext.expose().as_bytes()) {
        return Err(
            "the key has a character that is not taken from requests: visible ASCII without \
             quotes, commas, semicolons and backslashes is"
                .to_owned(),
        );
    }
    Ok(Known::Plaintext(plaintext))
}

fn digested(row: &Row, digest: &Plaintext, algorithm: &str) -> Result<Known, String> {
    let digest = digest.expose();
    match algorithm {
        "sha256" => bytes(digest).map(Known::Sha256),
        "sha512" => bytes(digest).map(Known::Sha512),
        "bcrypt" => {
            check_bcrypt(digest)?;
            let prefix = row.prefix.as_deref().ok_or(
                "`prefix` is missing: a key with a bcrypt hash is found by its first 4 to 32 characters",
            )?;
            check_prefix(prefix)?;
            Ok(Known::Bcrypt(Plaintext::new(digest.to_owned()), prefix.to_owned()))
        }
        _ => Err("`algorithm` is none that is known: write sha256, sha512 or bcrypt".to_owned()),
    }
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    if (4..=LONGEST_HINT).contains(&prefix.len()) && credential::can_be_sent(prefix.as_bytes()) {
        return Ok(());
    }
    Err("`prefix` is not what a key begins with: give its first 4 to 32 characters".to_owned())
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let decoded = match text.len() == N * 2 {
        true => hex(text.as_bytes()),
        false => base64(text),
    };
    decoded.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        format!("`digest` is not one of {N} bytes: write {} hexadecimal digits, or base64", N * 2)
    })
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.chunks_exact(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(false);
    let alphabet = match text.contains(['-', '_']) {
        true => &alphabet::URL_SAFE,
        false => &alphabet::STANDARD,
    };
    GeneralPurpose::new(alphabet, lenient).decode(text).ok()
}

/// `$2b$12$`, 22 characters of salt and 31 of the hash.
fn check_bcrypt(text: &str) -> Result<(), String> {
    let wrong = "`digest` is no bcrypt hash: write it like $2b$12$ and 53 characters";
    let mut parts = text.split('$');
    let (Some(""), Some("2a" | "2b" | "2x" | "2y"), Some(cost), Some(rest), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong.to_owned());
    };
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
    if cost.len() != 2 || rest.len() != 53 || !rest.bytes().all(is_base64) {
        return Err(wrong.to_owned());
    }
    // The library says what it can take apart: a hash that no check could read would be a key that never works.
    if text.parse::<bcrypt::HashParts>().is_err() {
        return Err(wrong.to_owned());
    }
    match cost.parse() {
        Ok(cost) if COSTS.contains(&cost) => Ok(()),
        _ => {
            Err("the bcrypt hash has a cost outside of 4 to 14: a check would take seconds"
                .to_owned())
        }
    }
}

/// Every digest by which the same key may be known, the one that is kept first.
pub(crate) fn digests(known: &Known, pepper: &Pepper) -> Vec<Digest> {
    match known {
        Known::Plaintext(plaintext) => {
            let key = plaintext.expose().as_bytes();
            let (sha256, sha512) = (Sha256::digest(key).into(), Sha512::digest(key).into());
            vec![
                pepper.digest(key),
                pepper.digest_of(ForeignDigest::Sha256(&sha256)),
                pepper.digest_of(ForeignDigest::Sha512(&sha512)),
            ]
        }
        Known::Sha256(bytes) => vec![pepper.digest_of(ForeignDigest::Sha256(bytes))],
        Known::Sha512(bytes) => vec![pepper.digest_of(ForeignDigest::Sha512(bytes))],
        Known::Bcrypt(hash, _) => vec![pepper.digest_of(ForeignDigest::Bcrypt(hash.expose()))],
    }
}

/// By what a key's holder recognizes it.
pub(crate) fn hint(
    known: &Known,
    prefix: Option<&str>,
    format: &KeyFormat,
) -> Result<String, String> {
    if let Some(prefix) = prefix {
        check_prefix(prefix)?;
    }
    Ok(match (known, prefix) {
        (Known::Bcrypt(_, prefix), _) => format!("{prefix}…"),
        (_, Some(prefix)) => format!("{prefix}…"),
        (Known::Plaintext(plaintext), None) => match format.check(plaintext.expose().as_bytes()) {
            Ok(()) => format.hint(plaintext),
            Err(_) => entropy::hint(plaintext.expose()),
        },
        (Known::Sha256(_) | Known::Sha512(_), None) => "imported".to_owned(),
    })
}
