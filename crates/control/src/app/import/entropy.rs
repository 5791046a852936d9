//! How hard a key of another system is to guess: an estimate from its looks, which can flag a weak key and never vouch for a strong one.

use std::collections::HashSet;

/// Below this a key could be guessed: what our own must have.
pub(crate) const LEAST_BITS: f64 = 112.0;
/// What of the end a hint shows.
const SHOWN: usize = 4;
/// Characters before a separator, up to here, are taken for a label like `sk_live_`.
const LONGEST_LABEL: usize = 16;

/// What is the same in all keys of the system that made it: words of letters with a separator behind each.
fn label(key: &str) -> usize {
    let mut end = 0;
    for (at, byte) in key.bytes().enumerate().take(LONGEST_LABEL) {
        match byte {
            b'_' | b'-' => end = at + 1,
            b if b.is_ascii_alphabetic() => {}
            _ => break,
        }
    }
    end
}

fn bits_per_character(text: &str) -> f64 {
    let all = |fits: fn(u8) -> bool| text.bytes().all(fits);
    let pool = if all(|b| b.is_ascii_digit()) {
        10.0
    } else if all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        16.0
    } else if all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()) {
        36.0
    } else if all(|b| b.is_ascii_alphanumeric()) {
        62.0
    } else {
        70.0_f64
    };
    pool.log2()
}

/// Characters that say something new: what repeats itself has fewer different pairs than characters.
fn characters(text: &str) -> usize {
    let pairs: HashSet<_> = text.as_bytes().array_windows::<2>().collect();
    text.len().min(pairs.len() + 1)
}

/// How many bits somebody has to guess who knows how keys of that system look.
pub(crate) fn bits(key: &str) -> f64 {
    let rest = key.get(label(key)..).unwrap_or_default();
    characters(rest) as f64 * bits_per_character(rest)
}

/// The label and the last characters, as many as may be known.
pub(crate) fn hint(key: &str) -> String {
    let label = label(key);
    let rest = key.get(label..).unwrap_or_default();
    let spare = (bits(key) - LEAST_BITS) / bits_per_character(rest).max(1.0);
    let shown = (spare.max(0.0) as usize).min(SHOWN);
    let end = rest.get(rest.len().saturating_sub(shown)..).unwrap_or_default();
    match (label, shown) {
        (0, 0) => "imported".to_owned(),
        _ => format!("{}…{end}", key.get(..label).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_guessed_is_told_from_what_could_not() {
        for weak in [
            "password",
            "sk_live_customer-one",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababababababababababababababababab",
            "12345678901234567890123456789012345678901234567890",
            "0123456789abcdef",
        ] {
            assert!(bits(weak) < LEAST_BITS, "{weak}: {}", bits(weak));
            let hint = hint(weak);
            assert!(hint == "imported" || hint.ends_with('…'), "{weak}: {hint}");
        }
        for strong in [
            "sk_live_4eC39HqLyjWDarjtT1zdp7dcX9",
            "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
            "kw_0Zq8Lm3Nv7Rt5Yx2Wb6Kc9Jd4Hf1Gs",
        ] {
            assert!(bits(strong) >= LEAST_BITS, "{strong}: {}", bits(strong));
        }
        assert_eq!(hint("sk_live_4eC39HqLyjWDarjtT1zdp7dcX9"), "sk_live_…dcX9");
    }

    proptest::proptest! {
        #[test]
        fn a_hint_never_shows_what_has_to_be_guessed(key in "[!-~]{8,64}") {
            let hint = hint(&key);
            if let Some((_, end)) = hint.split_once('…') {
                let rest = &key[label(&key)..];
                let hidden = bits(&key) - end.len() as f64 * bits_per_character(rest);
                proptest::prop_assert!(end.is_empty() || hidden >= LEAST_BITS - 1e-6, "{key} {hint}");
            }
        }
    }
}
