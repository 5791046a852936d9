//! How an API's keys look: prefix, length, alphabet, and a checksum that tells junk before any look-up.
//!
//! The shape follows what secret scanners want: a fixed prefix, high entropy, and a CRC-32 of everything
//! before it in six base-62 digits. The checksum is no protection (anyone can compute it); it answers typing errors and
//! guesses in nanoseconds, before a digest is made.

use serde::Deserialize;

use super::Plaintext;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM_CHARS: usize = 6;
/// Below this a key could be guessed: SECURITY demands 112 bits of the operating system's randomness.
const LEAST_ENTROPY_BITS: f64 = 112.0;
/// A key has to fit in a header that servers everywhere accept.
const LONGEST: usize = 256;
const HINT_FRONT: usize = 2;
const HINT_END: usize = 4;

/// The characters a key's random part is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alphabet {
    /// Digits, upper-case and lower-case letters: 5.95 bits a character.
    Base62,
    /// Digits and lower-case letters `a` to `f`: 4 bits a character.
    Hex,
}

impl Alphabet {
    const fn chars(self) -> &'static [u8] {
        match self {
            Self::Base62 => BASE62,
            Self::Hex => b"0123456789abcdef",
        }
    }
}

/// What closes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// Six base-62 digits of the CRC-32 (ISO-HDLC, as in gzip) of everything before them.
    Crc32,
    /// Nothing: the format has no room.
    None,
}

/// How keys of an API look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFormat {
    prefix: Box<str>,
    length: usize,
    alphabet: Alphabet,
    checksum: Checksum,
}

/// A format that would make bad keys.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// Guessable.
    #[error(
        "keys of this format hold {bits:.0} random bits, at least 112 are needed: make `length` {needed} or more"
    )]
    Guessable {
        /// Random bits of the format as given.
        bits: f64,
        /// The length that would do.
        needed: usize,
    },
    /// Longer than headers carry everywhere.
    #[error("`length` is {0}, more than 256: header limits of common servers would cut it")]
    TooLong(usize),
    /// The prefix has characters that a header value or a shell would mangle.
    #[error("prefix `{0}` may hold letters, digits, `_` and `-` only, 24 at most")]
    Prefix(String),
    /// A checksum in base 62 behind a hexadecimal key would look foreign.
    #[error("`checksum = \"crc32\"` is written in base 62: use `alphabet = \"base62\"`")]
    ChecksumAlphabet,
}

/// What is presented is not a key of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It begins otherwise.
    #[error("it does not begin with the prefix of this API's keys")]
    Prefix,
    /// Longer or shorter than any key.
    #[error("it is longer or shorter than this API's keys")]
    Length,
    /// A character no key has.
    #[error("it holds a character that this API's keys never have")]
    Alphabet,
    /// A typing error, most likely.
    #[error("its checksum does not match: a character was lost or changed in copying")]
    Checksum,
}

impl KeyFormat {
    /// A format of `length` characters in all: prefix, random part, and the checksum if there is one.
    pub fn new(
        prefix: &str,
        length: usize,
        alphabet: Alphabet,
        checksum: Checksum,
    ) -> Result<Self, FormatError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if prefix.len() > 24 || !prefix.bytes().all(plain) {
            return Err(FormatError::Prefix(prefix.to_owned()));
        }
        if checksum == Checksum::Crc32 && alphabet != Alphabet::Base62 {
            return Err(FormatError::ChecksumAlphabet);
        }
        if length > LONGEST {
            return Err(FormatError::TooLong(length));
        }
        let format = Self { prefix: prefix.into(), length, alphabet, checksum };
        let bits_per_char = (alphabet.chars().len() as f64).log2();
        let bits = format.random_chars() as f64 * bits_per_char;
        if bits < LEAST_ENTROPY_BITS {
            let chars = (LEAST_ENTROPY_BITS / bits_per_char).ceil() as usize;
            let needed = prefix.len() + chars + format.checksum_chars();
            return Err(FormatError::Guessable { bits, needed });
        }
        Ok(format)
    }

    /// What every key of the API begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Characters in all.
    pub const fn length(&self) -> usize {
        self.length
    }

    const fn checksum_chars(&self) -> usize {
        match self.checksum {
            Checksum::Crc32 => CHECKSUM_CHARS,
            Checksum::None => 0,
        }
    }

    fn random_chars(&self) -> usize {
        self.length.saturating_sub(self.prefix.len() + self.checksum_chars())
    }

    /// A new key. `fill` is the operating system's randomness; it fails as that fails, and no key is made then.
    pub fn mint<E>(
        &self,
        mut fill: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<Plaintext, E> {
        let chars = self.alphabet.chars();
        // Bytes at or above the largest multiple are thrown away: taking them modulo would favour some characters.
        let fair = 256 - 256 % chars.len();
        // Room for the whole key at once: a string that grew would leave pieces of the key in freed memory.
        let mut key = String::with_capacity(self.length);
        key.push_str(&self.prefix);
        let end = self.prefix.len() + self.random_chars();
        let mut pool = zeroize::Zeroizing::new([0_u8; 64]);
        while key.len() < end {
            fill(pool.as_mut())?;
            for byte in pool.iter().map(|b| usize::from(*b)).filter(|b| *b < fair) {
                if key.len() == end {
                    break;
                }
                key.extend(chars.get(byte % chars.len()).map(|c| char::from(*c)));
            }
        }
        if self.checksum == Checksum::Crc32 {
            let check = checksum_text(key.as_bytes());
            key.extend(check.map(char::from));
        }
        Ok(Plaintext::new(key))
    }

    /// By what its holder recognizes a key: the prefix and at most six characters, two at the front and four at the end.
    /// Fewer where the format has little room: what is not shown always holds the random bits that a key must have.
    pub fn hint(&self, key: &Plaintext) -> String {
        let rest = key.expose().strip_prefix(self.prefix()).unwrap_or_default();
        let bits_per_char = (self.alphabet.chars().len() as f64).log2();
        // A character of the checksum tells as much about the random part as one of its own.
        let spare = self.random_chars() as f64 - LEAST_ENTROPY_BITS / bits_per_char;
        let shown = (spare.max(0.0) as usize).min(HINT_FRONT + HINT_END);
        let end = shown.min(HINT_END);
        let front = rest.get(..shown - end).unwrap_or_default();
        let end = rest.get(rest.len().saturating_sub(end)..).unwrap_or_default();
        format!("{}{front}…{end}", self.prefix)
    }

    /// Whether `presented` can be a key of this format. Costs some 10 ns; says nothing of whether it exists.
    pub fn check(&self, presented: &[u8]) -> Result<(), Malformed> {
        let rest = presented.strip_prefix(self.prefix.as_bytes()).ok_or(Malformed::Prefix)?;
        if presented.len() != self.length {
            return Err(Malformed::Length);
        }
        // Every character is looked at, whatever the first ones are: the compiler then takes many at a time.
        let known = match self.alphabet {
            Alphabet::Base62 => rest.iter().fold(true, |all, b| all & b.is_ascii_alphanumeric()),
            Alphabet::Hex => {
                rest.iter().fold(true, |all, b| all & matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            }
        };
        if !known {
            return Err(Malformed::Alphabet);
        }
        match self.checksum {
            Checksum::None => Ok(()),
            Checksum::Crc32 => match presented.split_last_chunk::<CHECKSUM_CHARS>() {
                Some((body, given)) if checksum_text(body) == *given => Ok(()),
                _ => Err(Malformed::Checksum),
            },
        }
    }
}

/// CRC-32 in base 62, most significant digit first, padded with `0` to six (62⁶ > 2³²).
fn checksum_text(body: &[u8]) -> [u8; CHECKSUM_CHARS] {
    let mut left = crc32fast::hash(body);
    let mut text = [b'0'; CHECKSUM_CHARS];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(left % 62).unwrap_or_default();
        *place = BASE62.get(digit).copied().unwrap_or(b'0');
        left /= 62;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn default_format() -> KeyFormat {
        KeyFormat::new("kw_", 52, Alphabet::Base62, Checksum::Crc32).unwrap()
    }

    /// Randomness a test can repeat: a linear congruential generator from `seed`.
    fn fill_from(seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), Infallible> {
        let mut state = seed;
        move |bytes| {
            for byte in bytes {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                *byte = (state >> 33) as u8;
            }
            Ok(())
        }
    }

    fn mint(format: &KeyFormat, seed: u64) -> String {
        let Ok(key) = format.mint(fill_from(seed));
        key.expose().to_owned()
    }

    proptest! {
        #[test]
        fn every_minted_key_passes_its_own_check(seed: u64) {
            for format in [
                default_format(),
                KeyFormat::new("ak_", 42, Alphabet::Base62, Checksum::Crc32).unwrap(),
                KeyFormat::new("x_", 30, Alphabet::Base62, Checksum::None).unwrap(),
                KeyFormat::new("", 64, Alphabet::Hex, Checksum::None).unwrap(),
            ] {
                let key = mint(&format, seed);
                prop_assert_eq!(key.len(), format.length());
                prop_assert_eq!(format.check(key.as_bytes()), Ok(()));
            }
        }

        #[test]
        fn one_changed_character_is_noticed(seed: u64, at in 3_usize..52, with in 0_usize..62) {
            let format = default_format();
            let mut key = mint(&format, seed).into_bytes();
            prop_assume!(key[at] != BASE62[with]);
            key[at] = BASE62[with];
            prop_assert_eq!(format.check(&key), Err(Malformed::Checksum));
        }

        #[test]
        fn junk_never_panics(junk: Vec<u8>) {
            let _ = default_format().check(&junk);
        }
    }

    #[test]
    fn a_refused_key_says_why() {
        let format = default_format();
        let key = mint(&format, 1);
        assert_eq!(format.check(b""), Err(Malformed::Prefix));
        assert_eq!(format.check(&key.as_bytes()[..51]), Err(Malformed::Length));
        assert_eq!(
            format.check(key.replace(&key[10..11], "!").as_bytes()),
            Err(Malformed::Alphabet)
        );
    }

    #[test]
    fn a_hint_shows_less_where_a_key_has_few_bits_to_spare() {
        let cases = [
            ("kw_", 52, Alphabet::Base62, Checksum::Crc32, (2, 4)),
            // 142 bits: five characters may be known to whoever sees the hint, six may not.
            ("short_", 30, Alphabet::Base62, Checksum::None, (1, 4)),
            ("k_", 21, Alphabet::Base62, Checksum::None, (0, 0)),
            ("", 64, Alphabet::Hex, Checksum::None, (2, 4)),
        ];
        for (prefix, length, alphabet, checksum, (front, end)) in cases {
            let format = KeyFormat::new(prefix, length, alphabet, checksum).unwrap();
            let key = mint(&format, 5);
            let shown = (&key[prefix.len()..][..front], &key[length - end..]);
            let expected = format!("{prefix}{}…{}", shown.0, shown.1);
            assert_eq!(format.hint(&Plaintext::new(key)), expected);
        }
    }

    #[test]
    fn the_checksum_is_crc_32_in_base_62() {
        // CRC-32 of "123456789" is 0xCBF43926 = 3421780262, in base 62 "3jZPrk" with digits 0-9A-Za-z.
        let text = checksum_text(b"123456789");
        let value = text.iter().fold(0_u64, |sum, c| {
            sum * 62 + BASE62.iter().position(|known| known == c).unwrap() as u64
        });
        assert_eq!(value, 0xCBF4_3926);
    }

    #[test]
    fn a_format_that_could_be_guessed_is_refused_with_the_length_that_would_do() {
        let error = KeyFormat::new("k_", 20, Alphabet::Base62, Checksum::Crc32).unwrap_err();
        assert_eq!(error, FormatError::Guessable { bits: 12.0 * 62_f64.log2(), needed: 27 });
        assert!(KeyFormat::new("k_", 27, Alphabet::Base62, Checksum::Crc32).is_ok());
    }

    #[test]
    fn every_character_is_equally_likely() {
        let format = KeyFormat::new("", 256, Alphabet::Base62, Checksum::None).unwrap();
        let mut counts = [0_u32; 256];
        for seed in 0..400 {
            for byte in mint(&format, seed * 7919).bytes() {
                counts[usize::from(byte)] += 1;
            }
        }
        let expected = 400.0 * 256.0 / 62.0;
        for c in BASE62 {
            let share = f64::from(counts[usize::from(*c)]) / expected;
            assert!(
                (0.85..1.15).contains(&share),
                "{} came {share} times as often",
                char::from(*c)
            );
        }
    }
}
