//! An answer that comes compressed.

use std::rc::Rc;

use keyward_core::metering::Estimate;

use super::{
    cuts::Cuts,
    metering_scan::{FORMS, METERING},
};
use crate::meter::coding::Coded;

const CODINGS: [&str; 7] =
    ["gzip", "deflate", "br", "zstd", "br, zstd", "deflate, gzip", "identity, x-gzip"];

/// Four bytes say how it comes, one in which codings and form, the rest is an answer that is compressed, or is not.
///
/// Decoders are others' code, fed by whoever writes an answer: they give up, and nothing else.
pub fn answer_coding(input: &[u8]) {
    let Some((cuts, rest)) = Cuts::split(input) else { return };
    let Some((flags, answer)) = rest.split_first() else { return };
    let codings = CODINGS[usize::from(flags >> 2) % CODINGS.len()];
    let form = FORMS[usize::from(flags & 3) % FORMS.len()];
    let metering = Rc::new(METERING.clone());
    let Some(mut coded) = Coded::new(form, std::iter::once(codings.as_bytes()), &metering) else {
        panic!("{codings} are known");
    };
    let mut before = 0;
    for arrived in cuts.arrivals(answer.len()) {
        if let Err(bytes) = coded.read(&answer[before..arrived]) {
            assert_eq!(bytes, arrived as u64, "so many came");
            return;
        }
        before = arrived;
    }
    let _ = coded.end(&Estimate::default(), true);
}
