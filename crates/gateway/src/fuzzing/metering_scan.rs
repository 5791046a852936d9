//! What is read of usage, from answers and from requests.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use keyward_core::{
    metering::{Asks, Body, Estimate, Form, Metered, Metering, Reader, Used, estimate::estimate},
    profile::{File, compile},
};

use super::{
    cuts::Cuts,
    naive::{Json, Name},
};
use crate::meter::{Passed, filter::Filter};

/// Where usage stands by the profile that everybody begins with.
pub(super) static METERING: LazyLock<Arc<Metering>> = LazyLock::new(|| {
    let file = File::new("default.toml", include_str!("../../../../profiles/default.toml"));
    let files = BTreeMap::from([("default".to_owned(), file)]);
    compile("default", &files).unwrap().metering
});

pub(super) const FORMS: [Form; 3] = [Form::Json, Form::Events, Form::Lines];

/// Four bytes say how it comes, the rest is an answer, and a request.
///
/// An answer tells the same however it is cut, and what is taken out of a stream is the same. A request that is made to ask for its usage
/// is as it was, but for that.
pub fn metering_scan(input: &[u8]) {
    let Some((cuts, answer)) = Cuts::split(input) else { return };
    for form in FORMS {
        assert_eq!(used(form, answer, cuts), used(form, answer, Cuts::NONE), "by how it is cut");
    }
    assert_eq!(filtered(answer, cuts), filtered(answer, Cuts::NONE), "by how it is cut");
    estimate(&METERING, "/v1/chat/completions", Metered::Both, Body::Whole(answer), None);
    if let (Asks::Now(edited), false) = (METERING.ask_for_usage(answer), Json::is_deep(answer)) {
        assert_eq!(METERING.ask_for_usage(&edited), Asks::Already);
        assert_eq!(without_asking(&edited), without_asking(answer));
    }
}

/// What an answer tells in all, with its last bytes and without; and what was written.
fn used(form: Form, answer: &[u8], cuts: Cuts) -> ([Used; 2], u64) {
    let mut reader = Reader::new(form);
    let mut before = 0;
    for arrived in cuts.arrivals(answer.len()) {
        reader.read(&METERING, &answer[before..arrived]);
        before = arrived;
    }
    let estimate =
        Estimate { read: 1000, written: 7, metered: Metered::Both, ..Estimate::default() };
    let written = reader.written();
    let used = [false, true].map(|is_whole| {
        let mut reader = reader.clone();
        reader.end(&METERING, is_whole);
        reader.used(&estimate)
    });
    (used, written)
}

/// What a client gets of a stream whose usage it did not ask for.
fn filtered(stream: &[u8], cuts: Cuts) -> Vec<u8> {
    let (mut filter, mut reader) = (Filter::default(), Reader::new(Form::Events));
    let (mut before, mut out) = (0, Vec::new());
    for arrived in cuts.arrivals(stream.len()) {
        let piece = &stream[before..arrived];
        match filter.pass(&mut reader, &METERING, piece).0 {
            Passed::AsItIs => out.extend_from_slice(piece),
            Passed::Instead(instead) => out.extend_from_slice(&instead),
        }
        before = arrived;
    }
    out.extend(filter.rest().unwrap_or_default());
    out
}

/// A request's members without the one that asks for usage.
fn without_asking(body: &[u8]) -> Vec<(Name, Json)> {
    let Some(Json::Object(mut members)) = Json::read(std::str::from_utf8(body).unwrap()) else {
        panic!("it is no object");
    };
    for (_, value) in members.iter_mut().filter(|(name, _)| name.text == "stream_options") {
        if let Json::Object(options) = value {
            options.retain(|(name, _)| name.text != "include_usage");
        }
    }
    let says_nothing =
        |value: &Json| *value == Json::Object(vec![]) || *value == Json::Plain("null".to_owned());
    members.retain(|(name, value)| name.text != "stream_options" || !says_nothing(value));
    members
}
