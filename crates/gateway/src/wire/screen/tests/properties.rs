//! What holds for all streams: splitting changes nothing, and what passes has one reading.

use proptest::prelude::*;

use super::{UPGRADE, drive, passing, refused, whole};

fn streams() -> Vec<Vec<u8>> {
    let good = passing::messages().into_iter().map(|(_, input, _)| input);
    let bad = refused::table().into_iter().map(|(input, _)| input);
    good.chain(bad).chain([[UPGRADE, b"\x81\0\n"].concat()]).collect()
}

fn a_stream() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::select(streams())
}

fn a_good_stream() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::select(passing::messages()).prop_map(|(_, input, _)| input)
}

/// A byte that means something to one parser or another, or any.
fn a_byte() -> impl Strategy<Value = u8> {
    let telling = b"\n\r\0 \t:,;0159afx/\"#\\\x0b\x7f\x80".to_vec();
    prop_oneof![4 => proptest::sample::select(telling), 1 => any::<u8>()]
}

/// What is done to a stream at a place: a byte put in the place of another, put in, or taken out.
fn a_change() -> impl Strategy<Value = (prop::sample::Index, u8, Option<u8>)> {
    (any::<prop::sample::Index>(), 0_u8..3, a_byte()).prop_map(|(place, kind, byte)| match kind {
        2 => (place, kind, None),
        _ => (place, kind, Some(byte)),
    })
}

fn change(bytes: &mut Vec<u8>, changes: &[(prop::sample::Index, u8, Option<u8>)]) {
    for (place, kind, byte) in changes {
        let place = place.index(bytes.len());
        bytes.splice(place..place + usize::from(*kind != 1), *byte);
    }
}

/// A head, read the slow and simple way: what every parser must agree on.
fn assert_one_reading(head: &[u8], body: &[u8]) {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let lines = text.strip_suffix("\r\n\r\n").unwrap();
    assert!(!lines.replace("\r\n", "").contains(|c: char| c.is_ascii_control() && c != '\t'));
    let mut lines = lines.split("\r\n");
    let parts: Vec<&str> = lines.next().unwrap().split(' ').collect();
    assert_eq!(parts.len(), 3);
    assert!(["HTTP/1.1", "HTTP/1.0"].contains(&parts[2]));
    let fields: Vec<(String, &str)> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.trim_matches([' ', '\t'])))
        .collect();
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(other, _)| other == name).map(|(_, value)| *value).collect()
    };
    assert!(!fields.iter().any(|(name, _)| name.is_empty() || name.contains([' ', '\t'])));
    assert_eq!(all("host").len(), 1);
    match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => assert!(body.is_empty() || !all("upgrade").is_empty()),
        ([length], []) => assert!(body.len() <= length.parse::<usize>().unwrap()),
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case("chunked") && parts[2] == "HTTP/1.1");
            assert_chunks(body);
        }
        both => panic!("{both:?}"),
    }
}

/// A chunked body, or as much of one as passed.
fn assert_chunks(mut body: &[u8]) {
    fn line<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
        let end = body.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = body.split_at(end + 1);
        *body = rest;
        let line = line.strip_suffix(b"\r\n").unwrap();
        assert!(!line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
        Some(line)
    }
    while !body.is_empty() {
        let size = line(&mut body).unwrap();
        let digits = size.split(|byte| *byte == b';').next().unwrap();
        let digits = std::str::from_utf8(digits).unwrap();
        assert!(!digits.starts_with('+'));
        let size = usize::from_str_radix(digits, 16).unwrap();
        if size == 0 {
            break;
        }
        let (_, rest) = body.split_at(size.min(body.len()));
        assert!(rest.is_empty() || rest.starts_with(b"\r\n"));
        body = rest.get(2..).unwrap_or_default();
    }
    while !body.is_empty() {
        let trailer = line(&mut body).unwrap();
        assert!(!trailer.is_empty() || body.is_empty());
    }
}

#[test]
fn one_byte_at_a_time_comes_to_the_same() {
    for input in streams() {
        for upgrades in [false, true] {
            let all = drive(&input, &[usize::MAX], upgrades);
            assert_eq!(drive(&input, &[1], upgrades), all, "{}", input.escape_ascii());
        }
    }
}

#[test]
fn one_cut_anywhere_comes_to_the_same() {
    for input in streams() {
        let all = whole(&input);
        for cut in 1..input.len().min(600) {
            let cut_outcome = drive(&input, &[cut, usize::MAX], true);
            assert_eq!(cut_outcome, all, "{} at {cut}", input.escape_ascii());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn cuts_anywhere_come_to_the_same(
        input in a_stream(),
        reads in prop::collection::vec(1_usize..64, 1..40),
        upgrades in any::<bool>(),
    ) {
        prop_assert_eq!(drive(&input, &reads, upgrades), drive(&input, &[usize::MAX], upgrades));
    }

    #[test]
    fn what_passes_has_one_reading_whatever_is_changed(
        mut input in a_good_stream(),
        changes in prop::collection::vec(a_change(), 1..5),
        reads in prop::collection::vec(1_usize..64, 1..20),
    ) {
        change(&mut input, &changes);
        let outcome = whole(&input);
        for (head, body) in &outcome.messages {
            assert_one_reading(head, body);
        }
        prop_assert!(input.starts_with(&outcome.passed));
        prop_assert_eq!(drive(&input, &reads, true), outcome);
    }

    #[test]
    fn no_bytes_make_it_panic(input in prop::collection::vec(a_byte(), 0..400)) {
        let outcome = whole(&input);
        prop_assert!(input.starts_with(&outcome.passed));
    }
}
