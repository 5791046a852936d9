//! What is read from answers and written into requests, held against a JSON parser and against every way to cut bytes.

mod requests;

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::*;

const OPENING: &str = r#"
text = ["/choices/*/delta/content", "/delta/text"]
response = [
  { input = ["/usage/in", "/usage/from_cache"], output = "/usage/out", cached = "/usage/from_cache", reasoning = "/usage/details/thought" },
  { input = "/usage/prompt", output = "/usage/completion" },
]
stream = [
  { input = ["/usage/in", "/usage/from_cache"], output = "/usage/out", cached = "/usage/from_cache" },
  { event = "begin", input = ["/message/usage/in", "/message/usage/from_cache"] },
  { event = "end", output = "/usage/total" },
]
stream_error = "event: error\ndata: {{body}}"
include_usage = { member = "/stream_options/include_usage", unless = "/choices/*", routes = ["/v1/chat"] }
[request]
stream = "/stream"
background = "/background"
most_output = [
  "/max_tokens", "/generation/most", "/generation_/most",
  { pointer = "/longest", routes = ["/v1/chat"] }, { pointer = "/most", routes = ["/v1/other"] },
]
choices = ["/n"]
prompts = ["/prompt"]
inline = [
  { data = "/image" },
  { data = "/messages/*/content/*/url" },
  { data = "/messages/*/content/*/source/data", kind = "media_type" },
]
"#;

fn metering(text: &str) -> Metering {
    toml::from_str::<MeteringSource>(text).unwrap().compile().unwrap()
}

fn tokens(input: u64, cached: u64, output: u64) -> Tokens {
    Tokens { input, cached, output, ..Tokens::default() }
}

/// What a reader makes of pieces.
fn used(form: Form, pieces: &[&[u8]]) -> Used {
    let metering = metering(OPENING);
    let mut reader = Reader::new(form);
    for piece in pieces {
        reader.read(&metering, piece);
    }
    reader.end(&metering, true);
    reader.used(&Estimate { read: 1000, metered: Metered::Both, ..Estimate::default() })
}

fn told(form: Form, text: &str) -> Tokens {
    let used = used(form, &[text.as_bytes()]);
    assert!(!used.estimated, "{text}: {used:?}");
    used.tokens
}

#[test]
fn counts_of_an_answer_are_added_up_as_the_profile_says() {
    let answer = r#"{"id":"a","usage":{"in":5,"from_cache":7,"out":3,"details":{"thought":2}}}"#;
    let expected = Tokens { reasoning: 2, ..tokens(12, 7, 3) };
    assert_eq!(told(Form::Json, answer), expected);
    assert_eq!(told(Form::Json, r#"{"usage":{"prompt":5,"completion":0}}"#), tokens(5, 0, 0));
    // Embeddings write nothing, and say nothing of it.
    assert_eq!(told(Form::Json, r#"{"usage":{"prompt":5}}"#), tokens(5, 0, 0));
    // Names may be written with escapes.
    let escaped = r#"{"us\u0061ge":{"in":1,"f\u0072om_cache":2,"out":3}}"#;
    assert_eq!(told(Form::Json, escaped), tokens(3, 2, 3));
}

#[test]
fn what_is_no_whole_number_is_no_count() {
    for number in
        ["-1", "1.0", "1e3", "\"1\"", "null", "true", "[1]", "{\"a\":1}", "99999999999999999999"]
    {
        let answer = format!(r#"{{"usage":{{"in":{number},"out":3}}}}"#);
        let used = used(Form::Json, &[answer.as_bytes()]);
        assert_eq!((used.tokens, used.estimated), (tokens(1000, 0, 3), true), "{number}");
    }
}

#[test]
fn no_answer_is_believed_to_have_used_more_than_any_could() {
    let most = u64::from(u32::MAX);
    for (told_out, out) in [(most, most), (most + 1, most), (u64::MAX, most)] {
        let answer = format!(
            r#"{{"usage":{{"in":{},"from_cache":{told_out},"out":{told_out}}}}}"#,
            u64::MAX
        );
        assert_eq!(told(Form::Json, &answer), tokens(2 * most, out, out));
    }
}

#[test]
fn in_a_stream_a_later_count_replaces_an_earlier_one() {
    let stream = "event: begin\ndata: {\"message\":{\"usage\":{\"in\":5,\"from_cache\":7}}}\n\n\
                  event: ping\ndata: {\"usage\":{\"total\":99}}\n\n\
                  event: end\ndata: {\"usage\":{\"total\":3}}\n\n\
                  event: end\ndata: {\"usage\":{\"total\":8}}\n\n";
    assert_eq!(told(Form::Events, stream), tokens(12, 0, 8));
}

#[test]
fn events_are_read_however_their_lines_end_and_whatever_stands_between() {
    let plain = "data: {\"usage\":{\"in\":1,\"from_cache\":2,\"out\":3}}\n\n";
    let streams = [
        plain.to_owned(),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        format!("\u{feff}{plain}"),
        format!(": comment\nid: 7\nretry: 1\nunknown\n\n\n{plain}"),
        plain.replace("data: ", "data:"),
        // Lines of data are joined.
        plain.replace(",\"out", ",\ndata: \"out"),
        format!("{plain}data: [DONE]\n\n"),
    ];
    for stream in &streams {
        assert_eq!(told(Form::Events, stream), tokens(3, 2, 3), "{stream:?}");
    }
    // An event that is not ended is none.
    let cut = used(Form::Events, &[plain.trim_end().as_bytes()]);
    assert_eq!((cut.tokens, cut.estimated), (tokens(1000, 0, 0), true));
}

#[test]
fn of_a_list_or_of_lines_the_last_counts() {
    let list = r#"[{"usage":{"in":1,"from_cache":0,"out":1}}
,
{"usage":{"in":1,"from_cache":0,"out":4}}]"#;
    assert_eq!(told(Form::Json, list), tokens(1, 0, 4));
    let lines = "{\"usage\":{\"in\":1,\"out\":1}}\nbroken {\"\n{\"usage\":{\"in\":1,\"out\":5}}";
    assert_eq!(told(Form::Lines, lines), tokens(1, 0, 5));
}

#[test]
fn a_stream_that_breaks_off_is_estimated_by_what_has_passed() {
    let delta =
        |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":{text:?}}}}}]}}\n\n");
    let stream = [delta(""), delta("a"), delta("b"), delta("c")].concat();
    let cut = used(Form::Events, &[stream.as_bytes()]);
    assert_eq!((cut.tokens, cut.estimated), (tokens(1000, 0, 3), true));
    // A piece may hold more than one token.
    let long = used(Form::Events, &[delta(&"x".repeat(41)).as_bytes()]);
    assert_eq!(long.tokens.output, 11);
    // What was read has been told by then.
    let begin = "event: begin\ndata: {\"message\":{\"usage\":{\"in\":5}}}\n\n".to_owned();
    let cut = used(Form::Events, &[(begin + &stream).as_bytes()]);
    assert_eq!((cut.tokens, cut.estimated), (tokens(5, 0, 3), true));
}

#[test]
fn what_was_told_midway_is_no_less_than_what_has_passed() {
    let metering = metering(OPENING);
    let word = |out: &str| {
        let choice = r#"{"choices":[{"delta":{"content":"w"}}],"usage":"#;
        format!("data: {choice}{out}}}\n\n")
    };
    let several = word(r#"{"in":9,"out":1}"#).repeat(16);
    let last = "data: {\"choices\":[],\"usage\":{\"in\":9,\"out\":3}}\n\n";
    for (stream, is_whole, output, estimated) in [
        (several.clone(), false, 16, true),
        // As far as it came to its end, what it tells counts.
        (several.clone(), true, 1, false),
        // What comes when all is written is no less.
        (several.clone() + last, false, 3, false),
        (several + last + &word("null").repeat(2), false, 18, true),
        (word(r#"{"in":9,"out":70}"#), false, 70, false),
    ] {
        let mut reader = Reader::new(Form::Events);
        reader.read(&metering, stream.as_bytes());
        reader.end(&metering, is_whole);
        let used = reader.used(&Estimate { metered: Metered::Both, ..Estimate::default() });
        assert_eq!((used.tokens.output, used.estimated), (output, estimated), "{stream}");
    }
}

#[test]
fn an_answer_that_tells_nothing_was_written_before_it_came() {
    let metering = metering(OPENING);
    let shown = "data: {\"delta\":{\"text\":\"eight ch\"}}\n\n";
    for (form, text, is_whole, output) in [
        (Form::Json, r#"{"choices":[]}"#, true, 40),
        (Form::Json, r#"{"choices":["#, false, 40),
        (Form::Json, "", true, 40),
        (Form::Json, "[{}]", true, 40),
        (Form::Json, r#"[{"delta":{"text":"eight ch"}}]"#, true, 2),
        (Form::Events, shown, true, 2),
        (Form::Events, shown, false, 2),
        (Form::Events, "data: {}\n\n", true, 40),
        // Who leaves before anything is shown leaves before it is written.
        (Form::Events, "data: {}\n\n", false, 0),
    ] {
        let mut reader = Reader::new(form);
        reader.read(&metering, text.as_bytes());
        reader.end(&metering, is_whole);
        let used = |metered| {
            reader.used(&Estimate { read: 9, written: 40, metered, ..Estimate::default() })
        };
        let expected = Used { tokens: tokens(9, 0, output), estimated: true };
        assert_eq!(used(Metered::Both), expected, "{form:?} {text}");
        assert_eq!(used(Metered::Told), Used::default());
    }
}

#[test]
fn what_is_no_call_of_a_model_uses_nothing_that_is_not_told() {
    let metering = metering(OPENING);
    let used = |metered, text: &str| {
        let mut reader = Reader::new(Form::Json);
        reader.read(&metering, text.as_bytes());
        reader.end(&metering, true);
        reader.used(&Estimate { read: 9, metered, ..Estimate::default() })
    };
    let answer = r#"{"usage":{"in":5,"out":3}}"#;
    assert_eq!(used(Metered::No, answer), Used::default());
    assert_eq!(used(Metered::Told, answer).tokens, tokens(5, 0, 3));
    assert_eq!(used(Metered::Told, "{}"), Used::default());
    assert_eq!(used(Metered::Input, "{}"), Used { tokens: tokens(9, 0, 0), estimated: true });
}

#[test]
fn a_reader_that_begins_again_knows_nothing_of_what_it_read_before() {
    let metering = metering(OPENING);
    let json = r#"{"i\u0064":[{"a":"}"}],"usage":{"in":5,"from_cache":7,"out":3}}"#;
    let events = "event: begin\ndata: {\"message\":{\"usage\":{\"in\":5}}}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    let forms = [(Form::Json, json), (Form::Events, events), (Form::Lines, json)];
    let mut reader = Reader::new(Form::Json);
    for (form, text) in forms {
        for cut in 0..text.len() {
            for (next, other) in forms {
                reader.begin(form);
                reader.read(&metering, &text.as_bytes()[..cut]);
                reader.begin(next);
                let mut fresh = Reader::new(next);
                for one in [&mut reader, &mut fresh] {
                    one.read(&metering, other.as_bytes());
                    one.end(&metering, true);
                }
                let used = |one: &Reader| {
                    let estimate =
                        Estimate { read: 9, metered: Metered::Both, ..Estimate::default() };
                    (one.used(&estimate), one.written())
                };
                assert_eq!(used(&reader), used(&fresh), "{:?} then {other}", &text[..cut]);
            }
        }
    }
}

#[test]
fn only_the_event_that_was_asked_for_is_extra() {
    let metering = metering(OPENING);
    let is_extra = |event: &str| {
        let (read, end) = Reader::new(Form::Events).read_event(&metering, event.as_bytes());
        assert_eq!(read, event.len());
        end.unwrap().is_extra
    };
    assert!(is_extra("data: {\"choices\":[],\"usage\":{\"in\":1,\"out\":2}}\n\n"));
    assert!(!is_extra("data: {\"choices\":[{}],\"usage\":{\"in\":1,\"out\":2}}\n\n"));
    assert!(!is_extra("data: {\"choices\":[],\"usage\":null}\n\n"));
    assert!(!is_extra("data: [DONE]\n\n"));
    assert!(!is_extra(": comment\n\n"));
}

#[test]
fn a_stream_can_be_ended_behind_an_event_and_in_the_profile_s_form() {
    let metering = metering(OPENING);
    let ended = metering.stream_error("{\"error\":\n {}}\n");
    assert_eq!(ended.as_deref(), Some("event: error\ndata: {\"error\":  {}}\n\n"));
    assert_eq!(Metering::default().stream_error("{}"), None);
    let mut reader = Reader::new(Form::Events);
    for (piece, whole) in [
        ("", None),
        ("data: {}\n\n", Some(10)),
        ("da", None),
        ("ta: ", None),
        ("{}\n", None),
        ("\n", Some(1)),
        ("data: {}\r\n\r\ndata: {}\n\ndata", Some(22)),
    ] {
        assert_eq!(reader.read(&metering, piece.as_bytes()), whole, "{piece:?}");
    }
    assert_eq!(Reader::new(Form::Json).read(&metering, b"{}\n\n"), None);
    for wrong in
        ["data: {}", "event: {{body}}", "data: {{body}} {{body}}", "data: {{body}}\n\ndata: 1"]
    {
        let source = format!("stream_error = {}", toml::Value::from(wrong));
        let source: MeteringSource = toml::from_str(&source).unwrap();
        assert!(source.compile().is_err(), "{wrong}");
    }
}

/// Any JSON in which counts may stand where they are looked for.
fn answers() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "usage",
        "in",
        "from_cache",
        "out",
        "details",
        "thought",
        "choices",
        "delta",
        "content",
        "text",
        "",
        "a\"b\\",
        "é\u{1F600}",
        "a name that is longer than any that a pointer could have, by far",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[\"\\\\\\n{}\\[\\],:u0]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((name.clone(), inner), 0..6)
                .prop_map(|members| members.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()),
        ]
    })
}

/// The same bytes in pieces.
fn cut<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

#[test]
fn what_ends_a_word_is_read_alike_at_the_front_of_a_piece() {
    for text in [
        r#"n}{"usage":{"in":2}}"#,
        r#"[5]{"usage":{"in":2}}"#,
        r#"[5][{"usage":{"in":2}}]"#,
        r#"1]{"usage":{"in":2}}"#,
        r#"{"usage":{"in":2}}]5}{"usage":{"in":3}}"#,
    ] {
        for form in [Form::Json, Form::Events, Form::Lines] {
            let text = if form == Form::Events { format!("data: {text}\n\n") } else { text.into() };
            let whole = used(form, &[text.as_bytes()]);
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(used(form, &bytes), whole, "{form:?}: {text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_same_numbers_are_found_as_in_the_parsed_answer(
        answer in vec(("usage|other", answers()), 0..4),
        pretty: bool,
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let answer: Value = answer.into_iter().collect();
        let text = if pretty { serde_json::to_string_pretty(&answer) } else { serde_json::to_string(&answer) };
        let text = text.unwrap();
        let mut values = scan::Values::default();
        let mut tree = Tree::default();
        let pointers = ["/usage/in", "/usage/from_cache", "/usage/out", "/usage/details/thought", "/usage/in/out", "/usage"];
        let slots: Vec<_> = pointers.iter().map(|p| tree.number(&p.parse().unwrap()).unwrap()).collect();
        let text_slot = ["/usage/text", "/usage/choices/*/delta"];
        text_slot.iter().for_each(|p| tree.text(&p.parse().unwrap()).unwrap());
        let mut scanner = scan::Scanner::default();
        let mut ended = false;
        for mut piece in cut(text.as_bytes(), &cuts) {
            while !piece.is_empty() {
                let (read, ends) = scanner.read(&tree, &mut values, piece);
                ended |= ends;
                piece = &piece[read..];
            }
        }
        prop_assert!(ended, "{}", text);
        for (pointer, slot) in pointers.iter().zip(slots) {
            prop_assert_eq!(values.number(slot), answer.pointer(pointer).and_then(Value::as_u64), "{} in {}", pointer, text);
        }
        let plain = |value: Option<&Value>| value.and_then(Value::as_str).map_or(0, |text| {
            // Escapes make the figure an estimate.
            if text.bytes().any(|b| b < 32 || b == b'"' || b == b'\\' || b == 127) { usize::MAX } else { text.len() }
        });
        let each = answer.pointer("/usage/choices").and_then(Value::as_array).into_iter().flatten();
        let expected = each.map(|one| plain(one.get("delta"))).chain([plain(answer.pointer("/usage/text"))]);
        let expected: Option<usize> = expected.map(|n| Some(n).filter(|n| *n != usize::MAX)).sum();
        if let Some(expected) = expected {
            prop_assert_eq!(values.text, expected as u64, "{}", text);
        }
    }

    #[test]
    fn a_stream_says_the_same_however_it_is_cut(
        events in vec((prop::sample::select(vec!["", "begin", "end", "ping"]), answers()), 0..6),
        ending in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let event = |(name, data): &(&str, Value)| {
            format!("event: {name}{ending}data: {data}{ending}{ending}")
        };
        let text: String = events.iter().map(event).collect();
        let whole = used(Form::Events, &[text.as_bytes()]);
        prop_assert_eq!(used(Form::Events, &cut(text.as_bytes(), &cuts)), whole);
    }

    #[test]
    fn no_bytes_make_a_reader_fail(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..300),
            vec(prop::sample::select(br#"{}[]",:\u0 usagein1e-.tdatev"#.to_vec()), 0..300),
            vec(prop::sample::select(b"{}[]\",:\\\r\n data:event: 1u".to_vec()), 0..300),
        ],
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        for form in [Form::Json, Form::Events, Form::Lines] {
            let whole = used(form, &[&bytes]);
            prop_assert_eq!(used(form, &cut(&bytes, &cuts)), whole);
        }
        estimate::estimate(&metering(OPENING), "/v1/chat", Metered::Both, Body::Whole(&bytes), None);
    }
}
