//! How keys look.

use std::convert::Infallible;

use keyward_core::key::format::{Alphabet, Checksum, KeyFormat};

/// The first byte is put into a key, at a place that the second says; all are what a key is made of, and a key of no format.
///
/// What is no key never panics; a key that was minted is one; and one that a character was changed in is none where there is a checksum.
pub fn key_format(input: &[u8]) {
    let ([byte, at], rest) = input.split_first_chunk().map_or(([b'!', 9], input), |(a, b)| (*a, b));
    for (prefix, length, alphabet, checksum) in [
        ("kw_", 52, Alphabet::Base62, Checksum::Crc32),
        ("x-", 32, Alphabet::Base62, Checksum::None),
        ("", 64, Alphabet::Hex, Checksum::None),
    ] {
        let format = KeyFormat::new(prefix, length, alphabet, checksum).unwrap();
        let known = |text: &[u8]| match alphabet {
            Alphabet::Base62 => text.iter().all(u8::is_ascii_alphanumeric),
            Alphabet::Hex => text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        };
        let looks_right = |text: &[u8]| {
            let begins = text.strip_prefix(prefix.as_bytes());
            text.len() == length && begins.is_some_and(known)
        };
        let without = checksum == Checksum::None;
        assert!(format.check(rest).is_err() || looks_right(rest));
        assert!(format.check(rest).is_ok() || !looks_right(rest) || !without);
        let key = minted(&format, input);
        assert_eq!(format.check(&key), Ok(()));
        let mut changed = key.clone();
        let at = usize::from(at) % length;
        changed[at] = byte;
        let holds = changed == key || without && looks_right(&changed);
        assert_eq!(format.check(&changed).is_ok(), holds);
    }
}

/// A key made of these bytes, and of a count where they are not enough.
fn minted(format: &KeyFormat, from: &[u8]) -> Vec<u8> {
    let mut bytes = from.iter().copied().chain((0..=u8::MAX).cycle());
    let key = format.mint(|pool| {
        pool.iter_mut().zip(&mut bytes).for_each(|(place, byte)| *place = byte);
        Ok::<_, Infallible>(())
    });
    let Ok(key) = key;
    key.expose().as_bytes().to_vec()
}
