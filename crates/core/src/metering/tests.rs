//! What is read from answers and written into requests, held against a JSON parser and against every way to cut bytes.

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

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
    pieces.iter().for_each(|piece| reader.read(&metering, piece));
    reader.end(&metering);
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
fn what_is_no_call_of_a_model_uses_nothing_that_is_not_told() {
    let metering = metering(OPENING);
    let used = |metered, text: &str| {
        let mut reader = Reader::new(Form::Json);
        reader.read(&metering, text.as_bytes());
        reader.end(&metering);
        reader.used(&Estimate { read: 9, metered, ..Estimate::default() })
    };
    let answer = r#"{"usage":{"in":5,"out":3}}"#;
    assert_eq!(used(Metered::No, answer), Used::default());
    assert_eq!(used(Metered::Told, answer).tokens, tokens(5, 0, 3));
    assert_eq!(used(Metered::Told, "{}"), Used::default());
    assert_eq!(used(Metered::Input, "{}"), Used { tokens: tokens(9, 0, 0), estimated: true });
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
fn a_stream_can_be_ended_between_events_and_in_the_profile_s_form() {
    let metering = metering(OPENING);
    let ended = metering.stream_error("{\"error\":\n {}}\n");
    assert_eq!(ended.as_deref(), Some("event: error\ndata: {\"error\":  {}}\n\n"));
    assert_eq!(Metering::default().stream_error("{}"), None);
    let mut reader = Reader::new(Form::Events);
    for (piece, between) in [
        ("", true),
        ("data: {}\n\n", true),
        ("da", false),
        ("ta: ", false),
        ("{}\n", false),
        ("\n", true),
    ] {
        reader.read(&metering, piece.as_bytes());
        assert_eq!(reader.is_between_events(), between, "{piece:?}");
    }
    assert!(!Reader::new(Form::Json).is_between_events());
    for wrong in
        ["data: {}", "event: {{body}}", "data: {{body}} {{body}}", "data: {{body}}\n\ndata: 1"]
    {
        let source = format!("stream_error = {}", toml::Value::from(wrong));
        let source: MeteringSource = toml::from_str(&source).unwrap();
        assert!(source.compile().is_err(), "{wrong}");
    }
}

#[test]
fn an_estimate_is_no_less_than_what_the_body_can_be() {
    let metering = metering(OPENING);
    let of = |body: &str, most| {
        estimate::estimate(&metering, "/v1/chat", Metered::Both, Body::Whole(body.as_bytes()), most)
    };
    let body = r#"{"stream":true,"max_tokens":70,"n":3,"generation":{"most":90}}"#;
    let estimated = of(body, Some(8));
    assert_eq!((estimated.read, estimated.written), (body.len() as u64, 270));
    assert!(estimated.streams && estimated.may_stream);
    assert_eq!(of("{}", Some(8)).written, 8);
    assert_eq!(of("{}", None).written, 4096);
    assert!(!of(r#"{"stream":false}"#, None).streams);
    assert_eq!(
        estimate::estimate(&metering, "/v1/chat", Metered::Input, Body::Whole(b"{}"), None).written,
        0
    );
    assert_eq!(
        estimate::estimate(&metering, "/v1/chat", Metered::Told, Body::Whole(b"{}"), None).tokens(),
        Tokens::default()
    );
}

#[test]
fn a_number_counts_as_said_only_where_every_reader_finds_the_same() {
    let metering = metering(OPENING);
    let written = |body: &str| {
        estimate::estimate(
            &metering,
            "/v1/chat",
            Metered::Both,
            Body::Whole(body.as_bytes()),
            Some(100),
        )
        .written
    };
    let most = u64::from(u32::MAX);
    for (body, expected) in [
        (r#"{"max_tokens":7}"#, 7),
        (r#" {"a":[1,{"max_tokens":9}],"max_tokens" : 7 , "b":{}}"#, 7),
        (r#"{"max_tokens":7,"generation":{"most":9}}"#, 9),
        (r#"{"max_tokens":7,"generation":null}"#, 100),
        (r#"{"max_tokens":null,"generation":{"most":9}}"#, 9),
        (r#"{"max_tokens":700}"#, 700),
        (r#"{"max_tokens":99999999999}"#, most),
        (r#"{"longest":7}"#, 7),
        // Nothing is said.
        ("{}", 100),
        // The route's upstream may not know it, and throw it away.
        (r#"{"most":7}"#, 100),
        (r#"{"most":7,"longest":7}"#, 100),
        (r#"{"most":700,"longest":7}"#, 700),
        (r#"{"most":null,"longest":7}"#, 7),
        (r#"{"max_tokens":null}"#, 100),
        (r#"{"generation":{"max_tokens":7}}"#, 100),
        (r#"{"max_tokens":[7]}"#, 100),
        (r#"{"max_tokens":{"most":7}}"#, 100),
        (r#"{"max_tokens":"seven"}"#, 100),
        (r#"[{"max_tokens":7}]"#, 100),
        ("", 100),
        // It stands twice: for some the first counts, for some the last.
        (r#"{"max_tokens":7,"max_tokens":7}"#, 100),
        (r#"{"max_tokens":7,"max_tokens":700}"#, 700),
        (r#"{"max_tokens":700,"max_tokens":7}"#, 700),
        (r#"{"max_tokens":7,"max_tokens":null}"#, 100),
        (r#"{"generation":{"most":7},"generation":{}}"#, 100),
        (r#"{"generation":{"most":700},"generation":{"most":7}}"#, 700),
        // Another spelling of what leads to it says nothing.
        (r#"{"generation":{"most":7},"generation_":{}}"#, 100),
        (r#"{"generation":{"most":7},"generation_":5}"#, 100),
        // Some readers fold case, some unescape names, some do neither.
        (r#"{"Max_Tokens":7}"#, 100),
        (r#"{"MAX_TOKENS":700,"max_tokens":7}"#, 700),
        ("{\"max_to\u{212a}ens\":700}", 700),
        (r#"{"max_\u0074okens":7}"#, 100),
        (r#"{"max_\u0074okens":700,"max_tokens":7}"#, 700),
        // Some take no number, some another one.
        (r#"{"max_tokens":0}"#, 100),
        (r#"{"max_tokens":-700}"#, 100),
        (r#"{"max_tokens":7.0}"#, 100),
        (r#"{"max_tokens":700.5}"#, 701),
        (r#"{"max_tokens":7e2}"#, 700),
        (r#"{"max_tokens":1e300}"#, most),
        (r#"{"max_tokens":18446744073709551616}"#, most),
        (r#"{"max_tokens":"7"}"#, 100),
        (r#"{"max_tokens":" 700 "}"#, 700),
        (r#"{"max_tokens":"7e2"}"#, 700),
        (r#"{"max_tokens":"1_000"}"#, most),
        (r#"{"max_tokens":"0xfff"}"#, most),
        (r#"{"max_tokens":true}"#, 100),
        // What is no JSON is read by some all the same.
        (r#"{"max_tokens":7"#, 100),
        (r#"{"max_tokens":700,}"#, 700),
        (r#"{"max_tokens":7} {"max_tokens":700}"#, 100),
        // Each choice is written.
        (r#"{"max_tokens":7,"n":3}"#, 21),
        (r#"{"max_tokens":7,"n":null}"#, 7),
        (r#"{"max_tokens":7,"n":0}"#, 7),
        (r#"{"max_tokens":7,"n":"3"}"#, 21),
        (r#"{"max_tokens":7,"n":3,"n":1}"#, 21),
        (r#"{"max_tokens":7,"N":3}"#, 21),
        (r#"{"max_tokens":99999999999,"n":99999999999}"#, most),
        // Each of several texts is answered; numbers are one text's tokens.
        (r#"{"max_tokens":7,"prompt":"a"}"#, 7),
        (r#"{"max_tokens":7,"prompt":[]}"#, 7),
        (r#"{"max_tokens":7,"prompt":["a"]}"#, 7),
        (r#"{"max_tokens":7,"prompt":["a", "b", "c"],"n":2}"#, 42),
        (r#"{"max_tokens":7,"prompt":[[1,2],[3]]}"#, 14),
        (r#"{"max_tokens":7,"prompt":[1,2,3]}"#, 7),
        (r#"{"max_tokens":7,"prompt":["a","b"],"prompt":"a"}"#, 14),
    ] {
        assert_eq!(written(body), expected, "{body}");
    }
    assert_eq!(written("{\"max_tokens\":7,\"\u{ff}\":1}"), 7);
    let not_utf8 = estimate::estimate(
        &metering,
        "/v1/chat",
        Metered::Both,
        Body::Whole(b"{\"max_tokens\":7,\"\xff\":1}"),
        None,
    );
    assert_eq!(not_utf8.written, 4096);
}

#[test]
fn what_looks_like_an_image_counts_flat_only_where_every_reader_takes_it_for_one() {
    let metering = metering(OPENING);
    let long = "hello/world_".repeat(1000);
    let image = format!("data:image/png;base64,{long}");
    // How many count flat, and how many bytes then do not.
    for (body, flat, bytes) in [
        (json!({ "image": image }), 1, image.len()),
        // It is read from elsewhere.
        (json!({"image": "https://here.test/an-image"}), 1, 0),
        (json!({"messages": [{"content": [{"url": "file-abc"}, {"url": "file-abc"}]}]}), 2, 0),
        // A file that is no image, data without its kind, and text.
        (json!({"image": format!("data:application/pdf;base64,{long}")}), 0, 0),
        (json!({"messages": [{"content": [{"source": {"data": long}}]}]}), 0, 0),
        (
            json!({"messages": [{"content": [{"source": {"data": long, "media_type": "text/plain"}}]}]}),
            0,
            0,
        ),
        (json!({"messages": [{"content": image}]}), 0, 0),
        (
            json!({"messages": [{"content": [{"text": image, "source": {"media_type": "image/png"}}]}]}),
            0,
            0,
        ),
        (json!({"prompt": format!("a;base64,{long}")}), 0, 0),
        (json!({"image": {"url": image}}), 0, 0),
        (json!([{"image": image}]), 0, 0),
    ] {
        let body = body.to_string();
        let of = estimate::estimate(
            &metering,
            "/v1/chat",
            Metered::Input,
            Body::Whole(body.as_bytes()),
            None,
        );
        assert_eq!(of.read, (body.len() - bytes + flat * 2000) as u64, "{body}");
    }
    // Another reader takes another member.
    for (body, flat) in [
        (format!(r#"{{"image":"{image}","image":"x"}}"#), 1),
        (format!(r#"{{"image":"x","image":"{image}"}}"#), 1),
        (format!(r#"{{"Image":"{image}"}}"#), 1),
        (
            format!(
                r#"{{"messages":[{{"content":[{{"source":{{"data":"{long}","media_type":"image/png","media_type":"text/plain"}}}}]}}]}}"#
            ),
            0,
        ),
        (format!(r#"{{"image":"{image}"}} "#) + "x", 0),
    ] {
        let of = estimate::estimate(
            &metering,
            "/v1/chat",
            Metered::Input,
            Body::Whole(body.as_bytes()),
            None,
        );
        assert_eq!(of.read, (body.len() + flat * 2000) as u64, "{body}");
    }
}

#[test]
fn what_is_used_in_the_background_is_unknown() {
    let metering = metering(OPENING);
    for (value, unknown) in [
        ("true", true),
        ("\"true\"", true),
        ("1", true),
        ("[0]", true),
        ("{}", true),
        ("false", false),
        ("null", false),
    ] {
        let body = format!(r#"{{"background":{value}}}"#);
        let of = |metered| {
            let body = Body::Whole(body.as_bytes());
            estimate::estimate(&metering, "/v1/chat", metered, body, None).unknown
        };
        assert_eq!(of(Metered::Both), unknown.then_some(Unknown::Background), "{value}");
        assert_eq!(of(Metered::Told), None);
    }
}

#[test]
fn a_stream_is_asked_for_surely_perhaps_or_not() {
    let metering = metering(OPENING);
    for (body, surely, perhaps) in [
        (r#"{"stream":true}"#, true, true),
        ("{}", false, false),
        (r#"{"stream":false}"#, false, false),
        (r#"{"stream":null}"#, false, false),
        (r#"{"stream":true,"stream":false}"#, false, true),
        (r#"{"stream":false,"stream":true}"#, false, true),
        (r#"{"Stream":true}"#, false, true),
        (r#"{"stre\u0061m":true}"#, false, true),
        (r#"{"stream":"true"}"#, false, true),
        (r#"{"stream":1}"#, false, true),
        (r#"{"stream":true"#, false, true),
    ] {
        let of = estimate::estimate(
            &metering,
            "/v1/chat",
            Metered::Both,
            Body::Whole(body.as_bytes()),
            None,
        );
        assert_eq!((of.streams, of.may_stream), (surely, perhaps), "{body}");
    }
}

#[test]
fn a_body_is_edited_only_where_it_asks_for_a_stream_without_usage() {
    let metering = metering(OPENING);
    let cases = [
        (r#"{"stream":true}"#, Some(r#"{"stream_options":{"include_usage":true},"stream":true}"#)),
        (r#" { "a":1}"#, Some(r#" {"stream_options":{"include_usage":true}, "a":1}"#)),
        (r#"{}"#, Some(r#"{"stream_options":{"include_usage":true}}"#)),
        (r#"{"stream_options": null }"#, Some(r#"{"stream_options": {"include_usage":true} }"#)),
        (r#"{"stream_options":{}}"#, Some(r#"{"stream_options":{"include_usage":true}}"#)),
        (
            r#"{"a":0,"stream_options":{"x":1}}"#,
            Some(r#"{"a":0,"stream_options":{"include_usage":true,"x":1}}"#),
        ),
        (
            r#"{"stream_options":{"x":1,"include_usage":false}}"#,
            Some(r#"{"stream_options":{"x":1,"include_usage":true}}"#),
        ),
        (r#"{"stream_options":{"include_usage":true}}"#, Some("already")),
        // An escaped name is the one it stands for.
        (
            r#"{"stream_option\u0073":null}"#,
            Some(r#"{"stream_option\u0073":{"include_usage":true}}"#),
        ),
        (
            r#"{"stream_options":{"include\u005fusage":false}}"#,
            Some(r#"{"stream_options":{"include\u005fusage":true}}"#),
        ),
        (r#"{"\u0061":1}"#, Some(r#"{"stream_options":{"include_usage":true},"\u0061":1}"#)),
        (r#"{"stream_option\u0073":{"include_usage":true}}"#, Some("already")),
        // It cannot be known what readers make of these.
        (r#"{"stream_options":null,"stream_option\u0073":null}"#, None),
        (r#"{"stream_options":{"include_usage":7}}"#, None),
        (r#"{"stream_options":{"include_usage":false,"include_usage":false}}"#, None),
        (r#"{"stream_options":[]}"#, None),
        (r#"{"stream_options":null,"stream_options":null}"#, None),
        (r#"{"Stream_Options":null}"#, None),
        (r#"{"Stre\u0061m_Options":null}"#, None),
        ("[]", None),
        ("{", None),
        ("{} {}", None),
    ];
    for (body, expected) in cases {
        let expected = match expected {
            None => Asks::Unclear,
            Some("already") => Asks::Already,
            Some(edited) => Asks::Now(edited.into()),
        };
        assert_eq!(metering.ask_for_usage(body.as_bytes()), expected, "{body}");
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

    #[test]
    fn text_counts_by_its_bytes_and_images_flat_wherever_they_stand(
        messages in vec(vec((0..4_u8, "[A-Za-z0-9+/_-]{0,40}", 1..60_usize), 0..4), 0..4),
    ) {
        let metering = metering(OPENING);
        let (mut images, mut bytes) = (0, 0);
        let messages: Vec<Value> = messages.into_iter().map(|parts| {
            let parts: Vec<Value> = parts.into_iter().map(|(form, text, times)| {
                let text = text.repeat(times);
                let image = format!("data:image/png;base64,{text}");
                match form {
                    0 => json!({"type": "text", "text": text}),
                    1 => json!({"type": "text", "text": image}),
                    2 => {
                        (images, bytes) = (images + 1, bytes + image.len());
                        json!({"type": "image", "url": image})
                    }
                    _ => {
                        (images, bytes) = (images + 1, bytes + text.len());
                        json!({"source": {"data": text, "media_type": "image/png"}})
                    }
                }
            }).collect();
            json!({"role": "user", "content": parts})
        }).chain([json!({"role": "system", "content": "text"})]).collect();
        let body = json!({ "messages": messages }).to_string();
        let of = estimate::estimate(&metering, "/v1/chat", Metered::Input, Body::Whole(body.as_bytes()), None);
        prop_assert_eq!(of.read, (body.len() - bytes + 2000 * images) as u64);
    }

    #[test]
    fn an_edit_changes_nothing_but_the_one_member(body in answers(), options in answers(), put: bool) {
        let metering = metering(OPENING);
        let mut body = body;
        if put && let Some(object) = body.as_object_mut() {
            object.insert("stream_options".to_owned(), options);
        }
        let text = body.to_string();
        let Asks::Now(edited) = metering.ask_for_usage(text.as_bytes()) else { return Ok(()) };
        let edited: Value = serde_json::from_slice(&edited).unwrap();
        prop_assert_eq!(&edited["stream_options"]["include_usage"], &json!(true));
        let stripped = |mut value: Value| {
            let object = value.as_object_mut().unwrap();
            let options = object.remove("stream_options").unwrap_or_default();
            let mut options = options.as_object().cloned().unwrap_or_default();
            options.remove("include_usage");
            (value, options)
        };
        let body: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(stripped(edited), stripped(body));
    }
}
