//! What is sent on one connection: a sound request or two, edited, and one behind that tells where the others ended.
//!
//! A case depends on the seed and its number alone. It holds a stand-in for the key, of the key's length.

use crate::mutation::{edit, occurrences};

/// It is asked for behind every case: whoever read the case to its end serves it and closes; whoever did not takes it for something else.
pub const SENTINEL: &str = "/v1/sentinel";

/// What is sent on one connection, and where it is cut into writes.
pub struct Case {
    pub bytes: Vec<u8>,
    pub cuts: Vec<usize>,
    /// Whether the last piece is sent only when something has come back.
    pub waits: bool,
}

impl Case {
    /// With the key in place of its stand-in, as it is sent.
    pub fn with_key(&self, key: &str) -> Vec<u8> {
        let stand_in = stand_in(key.len());
        let mut bytes = self.bytes.clone();
        for at in occurrences(&bytes, stand_in.as_bytes()) {
            bytes[at..at + key.len()].copy_from_slice(key.as_bytes());
        }
        bytes
    }
}

/// What stands for a key of so many bytes.
fn stand_in(length: usize) -> String {
    "kw_StandsForTheKey0123456789".chars().cycle().take(length).collect()
}

/// A splitmix64 generator: every number gives a sequence of its own.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64, number: u64) -> Self {
        let mut chance = Self(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// The case with this number.
pub fn case(seed: u64, number: u64, key_length: usize) -> Case {
    let mut chance = Chance::new(seed, number);
    let key = stand_in(key_length);
    let mut bytes = sound(&mut chance, &key).into_bytes();
    // One in sixteen stays sound: what must pass is asked as well.
    let edits = chance.one_of(&[0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]);
    for _ in 0..edits {
        edit(&mut bytes, &mut chance, &key);
    }
    let waits = chance.below(8) == 0;
    let mut cuts = if waits { vec![bytes.len()] } else { Vec::new() };
    let sentinel = head("GET", SENTINEL, "HTTP/1.1", &key, "Connection: close\r\n");
    bytes.extend_from_slice(sentinel.as_bytes());
    let writes = chance.one_of(&[0, 0, 0, 1, 1, 2, 4]);
    let before = bytes.len() - if waits { sentinel.len() } else { 1 };
    cuts.extend((0..writes).map(|_| 1 + chance.below(before)));
    cuts.sort_unstable();
    cuts.dedup();
    Case { bytes, cuts, waits }
}

pub fn head(method: &str, target: &str, version: &str, key: &str, more: &str) -> String {
    format!(
        "{method} {target} {version}\r\nHost: bearer.test\r\nAuthorization: Bearer {key}\r\n{more}\r\n"
    )
}

/// A request, or two of them one behind the other, that every proxy must pass.
fn sound(chance: &mut Chance, key: &str) -> String {
    let request =
        |method, target, more: &str, body: &str| head(method, target, "HTTP/1.1", key, more) + body;
    let old =
        |method, target, more: &str, body: &str| head(method, target, "HTTP/1.0", key, more) + body;
    let posted = |body: &str| {
        let length = format!("Content-Length: {}\r\n", body.len());
        request("POST", "/v1/things", &length, body)
    };
    let chunked =
        |body: &str| request("POST", "/v1/things", "Transfer-Encoding: chunked\r\n", body);
    let get = || request("GET", "/v1/things?a=b&c=d", "X-A: 1\r\nAccept: */*\r\n", "");
    let inner = head("GET", "/v1/inner", "HTTP/1.1", key, "");
    let json = "{\"model\":\"any\",\"input\":\"How many?\"}";
    match chance.below(18) {
        0 => get(),
        1 => request("GET", "/v1/things/a%20b/", "Cookie: a=b; c=d\r\nX-Long: a b\tc\r\n", ""),
        2 => posted("0123456789"),
        3 => chunked("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"),
        4 => chunked("A;a=b\r\n0123456789\r\n0;c\r\nX-T: 1\r\n\r\n"),
        5 => request("GET", "http://bearer.test/v1/things?a", "", ""),
        6 => request("POST", "http://bearer.test/v1/things", "Content-Length: 3\r\n", "abc"),
        7 => old("GET", "/v1/things", "Connection: keep-alive\r\n", ""),
        8 => old("POST", "/v1/things", "Connection: keep-alive\r\nContent-Length: 3\r\n", "abc"),
        9 => get() + &posted("0123456789"),
        10 => chunked("3\r\nabc\r\n0\r\n\r\n") + &get(),
        11 => request("POST", "/v1/things", "Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"),
        12 => request("GET", "/v1/socket", "Connection: Upgrade\r\nUpgrade: websocket\r\n", ""),
        13 => {
            let more =
                format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len());
            request("POST", "/v1/chat", &more, json)
        }
        14 => {
            let more = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
            request("POST", "/v1/chat", more, &format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len()))
        }
        15 => posted(&inner),
        16 => chunked(&format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len())),
        _ => {
            let method = chance.one_of(&["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]);
            request(method, "/v1/things/1", "Content-Length: 0\r\n", "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strict::{End, read_all};

    #[test]
    fn a_case_is_the_same_every_time() {
        for number in 0..200 {
            let (first, again) = (case(1, number, 52), case(1, number, 52));
            assert_eq!((first.bytes, first.cuts), (again.bytes, again.cuts));
        }
    }

    #[test]
    fn what_is_broken_was_sound() {
        for number in 0..500 {
            let bytes = sound(&mut Chance::new(7, number), &stand_in(52));
            assert_eq!(read_all(bytes.as_bytes()).end, End::Clean, "{bytes:?}");
        }
    }
}
