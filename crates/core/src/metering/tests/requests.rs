//! What is estimated of requests, and how their bodies are made to ask.

use serde_json::json;

use super::*;

/// What is estimated of a body of the route that calls a model.
fn estimated(metering: &Metering, metered: Metered, body: &[u8], most: Option<u64>) -> Estimate {
    estimate::estimate(metering, "/v1/chat", metered, Body::Whole(body), most)
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
    let written =
        |body: &str| estimated(&metering, Metered::Both, body.as_bytes(), Some(100)).written;
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
        ("{\"max_token\u{17f}\":700}", 700),
        ("{\"generat\u{131}on\":{\"most\":700}}", 700),
        ("{\"generat\u{130}on\":{\"most\":700}}", 700),
        ("{\"max_to\u{212a}en\u{e9}\":700}", 100),
        ("{\"\u{e9}\":700,\"max_tokens\":7}", 7),
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
    let not_utf8 = estimated(&metering, Metered::Both, b"{\"max_tokens\":7,\"\xff\":1}", None);
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
        let of = estimated(&metering, Metered::Input, body.as_bytes(), None);
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
        let of = estimated(&metering, Metered::Input, body.as_bytes(), None);
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
        let of = estimated(&metering, Metered::Both, body.as_bytes(), None);
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

/// A member as it is written, and its value.
type Member = (&'static str, Said);

/// A value of a member that says how much is written, or leads to one.
#[derive(Clone, Debug)]
enum Said {
    Scalar(String),
    Object(Vec<Member>),
}

impl Said {
    fn write(&self) -> String {
        match self {
            Self::Scalar(text) => text.clone(),
            Self::Object(members) => object(members),
        }
    }
}

fn object(members: &[Member]) -> String {
    let members = members.iter().map(|(name, said)| format!("\"{name}\":{}", said.write()));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let scalar = || {
        prop_oneof![
            4 => (0..300_u32).prop_map(|number| number.to_string()),
            1 => (0..300_u32).prop_map(|number| format!("{number}.5")),
            1 => (0..300_u32).prop_map(|number| format!("{number}e0")),
            1 => (0..300_u32).prop_map(|number| format!("\"{number}\"")),
            1 => (0..300_i32).prop_map(|number| format!("-{number}")),
            2 => Just("null".to_owned()),
            1 => prop::sample::select(vec!["true", "[1]", "\"x\""]).prop_map(str::to_owned),
        ]
        .prop_map(Said::Scalar)
    };
    let inner = prop::sample::select(vec!["most", "most", "Most", "m\\u006fst"]);
    let inner = vec((inner, scalar()), 0..3).prop_map(Said::Object);
    let plain =
        || prop::sample::select(vec!["max_tokens", "max_tokens", "MAX_tokens", "max_to\\u006bens"]);
    let leading =
        || prop::sample::select(vec!["generation", "generation", "Generation", "generation_"]);
    let plain = vec((plain(), scalar()), 0..4);
    let leading = vec((leading(), prop_oneof![1 => scalar(), 4 => inner]), 0..4);
    (plain, leading, 0..3).prop_map(|(plain, leading, which)| match which {
        0 => plain,
        1 => leading,
        _ => plain.into_iter().chain(leading).collect(),
    })
}

/// A way to read a body.
#[derive(Clone, Copy, Debug)]
struct ReadsAs {
    first: bool,
    folds_case: bool,
    unescapes: bool,
    takes_any_number: bool,
}

impl ReadsAs {
    fn all() -> impl Iterator<Item = Self> {
        (0..16).map(|bits| Self {
            first: bits & 1 != 0,
            folds_case: bits & 2 != 0,
            unescapes: bits & 4 != 0,
            takes_any_number: bits & 8 != 0,
        })
    }

    fn find<'m>(self, members: &'m [Member], wanted: &str) -> Option<&'m Said> {
        let is_wanted = |(name, _): &&Member| {
            let name = match self.unescapes {
                true => name.replace("\\u006f", "o").replace("\\u006b", "k"),
                false => (*name).to_owned(),
            };
            if self.folds_case { name.eq_ignore_ascii_case(wanted) } else { name == wanted }
        };
        let mut found = members.iter().filter(is_wanted).map(|(_, said)| said);
        if self.first { found.next() } else { found.next_back() }
    }

    fn number(self, said: &Said) -> Option<u64> {
        let Said::Scalar(text) = said else { return None };
        let text = if self.takes_any_number { text.trim_matches('"') } else { text };
        let number = text.parse::<u64>().ok();
        let any = text.parse::<f64>().ok().filter(|_| self.takes_any_number);
        number.or(any.map(|number| number.ceil() as u64)).filter(|number| *number > 0)
    }

    /// The most that this reader would write.
    fn most(self, members: &[Member]) -> Option<u64> {
        let outer = self.find(members, "max_tokens").and_then(|said| self.number(said));
        let inner = ["generation", "generation_"].map(|name| match self.find(members, name) {
            Some(Said::Object(members)) => self.number(self.find(members, "most")?),
            _ => None,
        });
        inner.into_iter().chain([outer]).flatten().max()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_reader_writes_more_than_is_estimated_and_what_all_agree_on_is_taken(body in members()) {
        let metering = metering(OPENING);
        let text = object(&body);
        let whole = Body::Whole(text.as_bytes());
        let of = estimate::estimate(&metering, "/v1/chat", Metered::Both, whole, Some(100));
        for reader in ReadsAs::all() {
            let writes = reader.most(&body).unwrap_or(100);
            prop_assert!(writes <= of.written, "{:?} writes {} for {}", reader, writes, text);
        }
        let said = match &body[..] {
            [("max_tokens", Said::Scalar(number))] => number.parse::<u64>().ok().filter(|number| *number > 0),
            _ => None,
        };
        if let Some(said) = said {
            prop_assert_eq!(of.written, said, "{}", text);
        }
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
