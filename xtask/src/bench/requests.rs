//! The requests that the generator sends, each with another key.

use clap::ValueEnum;

use super::generator::{Common, authorization};
use super::tls;
use super::traffic::Traffic;
use super::upstream::LARGE;

pub(super) const KEYS: usize = 10_000;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Method {
    Get,
    /// With about 100 bytes of JSON
    Post,
}

const SHORT: &str =
    r#"{"model":"bench-model","input":"What is the answer, in a few words?","stream":false}"#;
static LARGE_BODY: [u8; LARGE] = [b' '; LARGE];

/// Keys of the shape that Keyward mints, the same in every run.
pub(super) fn made_up_keys() -> Vec<String> {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut letter = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ALPHABET.get((state >> 32) as usize % ALPHABET.len()).copied().map_or('0', char::from)
    };
    (0..KEYS).map(|_| format!("kw_{}", (0..49).map(|_| letter()).collect::<String>())).collect()
}

/// What is sent after each request and is not part of it.
pub(super) const fn body(traffic: Traffic) -> &'static [u8] {
    match traffic {
        Traffic::LargeRequest => &LARGE_BODY,
        _ => &[],
    }
}

/// What requests by HTTP/2 have in common.
pub(super) fn common(path: &str, method: Method) -> Common {
    Common::new(path, tls::NAME, if method == Method::Post { SHORT.as_bytes() } else { b"" })
}

/// A request of that shape, without [`body`] and by HTTP/2 without [`common`].
pub(super) fn request(traffic: Traffic, path: &str, method: Method, key: &str) -> Vec<u8> {
    if traffic == Traffic::Http2 {
        return authorization(key);
    }
    let (media, length, body) = match (traffic, method) {
        (Traffic::LargeRequest, _) => ("application/octet-stream", LARGE, ""),
        (_, Method::Post) => ("application/json", SHORT.len(), SHORT),
        (_, Method::Get) => ("", 0, ""),
    };
    let (method, entity) = if length > 0 {
        ("POST", format!("Content-Type: {media}\r\nContent-Length: {length}\r\n"))
    } else {
        ("GET", String::new())
    };
    let host = tls::NAME;
    let connection = if traffic == Traffic::Fresh { "Connection: close\r\n" } else { "" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\
         User-Agent: keyward-bench\r\nAccept: */*\r\n{connection}{entity}"
    );
    format!("{head}\r\n{body}").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::message;
    use super::*;

    #[test]
    fn made_up_keys_differ_even_without_regard_to_case() {
        let keys: HashSet<_> = made_up_keys().iter().map(|key| key.to_lowercase()).collect();
        assert_eq!(keys.len(), KEYS);
    }

    #[test]
    fn a_request_is_complete() {
        let by_http1 = |traffic: &&Traffic| **traffic != Traffic::Http2;
        for traffic in Traffic::value_variants().iter().filter(by_http1) {
            for method in [Method::Get, Method::Post] {
                let bytes = request(*traffic, traffic.path(), method, "k");
                let head = message::head(&bytes).unwrap().unwrap();
                let length = bytes.len() + body(*traffic).len();
                assert_eq!(length, head.length + head.content_length.unwrap_or(0));
            }
        }
    }
}
