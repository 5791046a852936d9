//! Comparing a refusal with what a guide shows: word for word, member by member in the guide's order, and nothing more.

use keyward_testkit::Answer;
use serde_json::Value;

/// A member whose value is another each time, and what holds of it.
pub struct Varying {
    pointer: &'static str,
    holds: Box<dyn Fn(&str) -> bool>,
}

/// A member that need only hold to this.
pub fn varying(pointer: &'static str, holds: impl Fn(&str) -> bool + 'static) -> Varying {
    Varying { pointer, holds: Box::new(holds) }
}

/// Whether it is a moment as the guides write it: RFC 3339, UTC, whole seconds.
pub fn is_moment(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00Z"
}

/// Whether it has the shape of a key's id.
pub fn is_key_id(text: &str) -> bool {
    let rest = text.strip_prefix("key_").unwrap_or_default();
    rest.len() >= 10 && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Asserts status, headers, and a body that is `shown` but for what varies.
pub fn assert_shown(answer: &Answer, status: u16, shown: &Value, varying: &[Varying]) {
    assert_headers(answer, status);
    let given = answer.json();
    // Compact and without a member twice: then the text is known when the members are.
    assert_eq!(given.to_string(), answer.body, "the body is written otherwise than it reads");
    let mut expected = shown.clone();
    for Varying { pointer, holds } in varying {
        let shown = expected.pointer_mut(pointer);
        let shown = shown.unwrap_or_else(|| panic!("the guide shows no {pointer}"));
        let value = given.pointer(pointer).and_then(Value::as_str);
        let value = value.unwrap_or_else(|| panic!("no {pointer} in {given}"));
        assert!(holds(value), "{pointer} is {value}");
        *shown = Value::from(value);
    }
    assert_eq!(answer.body, expected.to_string());
}

/// What holds of every refusal: its status, JSON that nobody stores, and a challenge where the status demands one (RFC 9110,
/// 11.6.1).
fn assert_headers(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", answer.body);
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    if status == 401 {
        assert!(challenge.contains("realm=\"keyward\""), "challenge `{challenge}`");
    }
}

/// A key of this API's format that nobody has: the last six characters are the checksum (CRC-32 in base 62) of the others.
pub fn unknown_key(prefix: &str, length: usize) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut key = prefix.to_owned();
    key.extend((0..length - prefix.len() - 6).map(|at| char::from(DIGITS[at * 7 % 62])));
    let mut crc = u32::MAX;
    for byte in key.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let mut left = usize::try_from(!crc).expect("32 bits fit");
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[left % 62];
        left /= 62;
    }
    key.extend(digits.map(char::from));
    key
}
