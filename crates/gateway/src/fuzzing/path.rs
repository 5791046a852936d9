//! A request's path.

use keyward_core::path::check;

/// A path is taken if the naive reader finds one meaning in it, and only then.
pub fn path(input: &[u8]) {
    let Ok(path) = std::str::from_utf8(input) else { return };
    assert_eq!(check(path).is_ok(), has_one_meaning(path), "{:?}", check(path));
}

/// Whether everybody who decodes it, cleans it or leaves it as it is comes to the same resource.
fn has_one_meaning(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let segments: Vec<&str> = rest.split('/').collect();
    let (last, before) = segments.split_last().unwrap();
    !before.contains(&"") && before.iter().chain([last]).all(|segment| is_plain(segment))
}

fn is_plain(segment: &str) -> bool {
    let is_unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let mut parts = segment.split('%');
    let mut decoded = parts.next().unwrap().as_bytes().to_vec();
    let mut encoded = Vec::new();
    for part in parts {
        let digits = part.as_bytes().get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else { return false };
        let byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        encoded.push(char::from(byte));
        decoded.push(byte);
        decoded.extend_from_slice(&part.as_bytes()[2..]);
    }
    let plain: String =
        segment.split('%').enumerate().map(|(at, part)| &part[at.min(1) * 2..]).collect();
    let is_known = |c: char| is_unreserved(c) || "!$&'()*+,=:@".contains(c);
    let is_read_in_two_ways =
        |c: &char| is_unreserved(*c) || "/\\;%".contains(*c) || c.is_ascii_control();
    segment != "."
        && segment != ".."
        && plain.chars().all(is_known)
        && !encoded.iter().any(is_read_in_two_ways)
        && String::from_utf8(decoded).is_ok()
}
