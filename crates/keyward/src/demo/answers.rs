//! Which answer of a profile's demo a request gets, with its holes filled.

use keyward_core::{
    metering::Metered,
    permission::PermissionSet,
    profile::{Demo, DemoAnswer},
    route::{LimitsTold, Method, ParamName, PathPattern, Route, RouteMatch, Routes},
    time::Timestamp,
};
use serde_json::Value;

use super::counts::Counts;

/// Where a request names the model it asks for, and what an answer says where it names none.
const MODEL: &str = "model";

/// The answers of one profile.
pub(super) struct Answers {
    routes: Routes,
    answers: Vec<DemoAnswer>,
}

/// What fills the holes of an answer.
pub(super) struct Facts<'f> {
    /// The path that was asked for.
    pub(super) path: &'f str,
    /// The request's JSON body; null where there was none.
    pub(super) body: &'f Value,
    /// Random, and the same at every place of one answer.
    pub(super) id: &'f str,
    /// The moment.
    pub(super) now: Timestamp,
    /// What it says that was used.
    pub(super) counts: Counts,
}

/// Where in a stream an event stands, and which word it holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    n: usize,
    word: &'static str,
}

/// The events of an answer's stream, filled; with the one that tells usage where the request asks for it.
pub(super) fn events(answer: &DemoAnswer, pattern: &PathPattern, facts: &Facts<'_>) -> Vec<String> {
    let asks = facts.body.pointer("/stream_options/include_usage").and_then(Value::as_bool);
    let usage = answer.usage_event.iter().filter(|_| asks == Some(true));
    let before_last = answer.events.len().saturating_sub(1);
    let (first, last) = answer.events.split_at_checked(before_last).unwrap_or_default();
    let mut filled = Vec::new();
    for event in first.iter().chain(usage).chain(last) {
        let words: Vec<_> = match event.contains("{{word}}") {
            true => facts.counts.words().collect(),
            false => vec![""],
        };
        for word in words {
            let place = Place { n: filled.len(), word };
            filled.push(fill(event, pattern, facts, place));
        }
    }
    filled
}

impl Answers {
    pub(super) fn new(demo: &Demo) -> Self {
        let route = |answer: &DemoAnswer| {
            let method: Method = answer.method.parse().ok()?;
            Some(Route {
                methods: [method].into_iter().collect(),
                pattern: answer.path.parse().ok()?,
                requires: PermissionSet::EMPTY,
                requires_name: "".into(),
                bindings: vec![],
                body_limit: None,
                metered: Metered::No,
                limits_told: LimitsTold::Ours,
            })
        };
        let routes = demo.answers.iter().filter_map(route).collect();
        Self { routes: Routes::new(routes), answers: demo.answers.clone() }
    }

    /// The answer for a method and path, found as the gateway finds routes.
    pub(super) fn find(&self, method: &str, path: &str) -> Option<(&DemoAnswer, &PathPattern)> {
        let RouteMatch::Found(route) = self.routes.find(method.parse().ok(), path) else {
            return None;
        };
        let answer = self.answers.iter().find(|answer| {
            let same_method = answer.method.parse().is_ok_and(|own| route.methods.contains(own));
            answer.path == route.pattern.as_str() && same_method
        })?;
        Some((answer, &route.pattern))
    }
}

/// Fills the holes. A moment inside a JSON string is written as text, outside as a number.
pub(super) fn fill(
    template: &str,
    pattern: &PathPattern,
    facts: &Facts<'_>,
    place: Place,
) -> String {
    let mut filled = String::with_capacity(template.len() + 64);
    let mut rest = template;
    let mut in_string = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else { break };
        in_string = in_string_after(before, in_string);
        filled.push_str(before);
        match name.trim() {
            MODEL => filled.push_str(&escaped(model(pattern, facts))),
            "id" => filled.push_str(facts.id),
            "now" if in_string => filled.push_str(&facts.now.to_string()),
            "now" => filled.push_str(&facts.now.as_secs().to_string()),
            "n" => filled.push_str(&place.n.to_string()),
            "word" => filled.push_str(place.word),
            "text" => filled.extend(facts.counts.words()),
            name => match facts.counts.named(name) {
                Some(count) => filled.push_str(&count.to_string()),
                None => filled.push_str(name),
            },
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn model<'f>(pattern: &PathPattern, facts: &Facts<'f>) -> &'f str {
    let named = facts.body.get(MODEL).and_then(Value::as_str);
    named.or_else(|| pattern.param(facts.path, &ParamName::new(MODEL))).unwrap_or("demo")
}

fn in_string_after(text: &str, mut in_string: bool) -> bool {
    let mut escape = false;
    for byte in text.bytes() {
        match byte {
            _ if escape => escape = false,
            b'\\' if in_string => escape = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    in_string
}

/// As it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::profiles::Profiles;

    fn filled(template: &str, path: &str, body: &Value) -> String {
        let pattern = "/v1/models/{model}".parse().unwrap();
        let now = Timestamp::from_secs(1_800_000_000);
        let counts = Counts::of(body);
        let facts = Facts { path, body, id: "abc", now, counts };
        fill(template, &pattern, &facts, Place::default())
    }

    #[test]
    fn holes_are_filled_from_the_request() {
        let template = r#"{"id":"x_{{id}}","model":"{{model}}","at":"{{now}}","created":{{now}}}"#;
        assert_eq!(
            filled(template, "/", &json!({"model": "a\"b"})),
            r#"{"id":"x_abc","model":"a\"b","at":"2027-01-15T08:00:00Z","created":1800000000}"#
        );
        assert_eq!(filled("{{model}}", "/v1/models/m7", &Value::Null), "m7");
        assert_eq!(filled("{{model}}", "/v2", &Value::Null), "demo");
    }

    #[test]
    fn every_answer_of_every_profile_is_json_once_it_is_filled() {
        let profiles = Profiles::built_in();
        let mut answers = 0;
        for name in profiles.names() {
            let Some(demo) = profiles.compile(name).unwrap().demo else { continue };
            for answer in &demo.answers {
                let filled = filled(&answer.body, "/", &Value::Null);
                if let Err(error) = serde_json::from_str::<Value>(&filled) {
                    panic!("{name} {} {}: {error}", answer.method, answer.path);
                }
                answers += 1;
            }
            let path = demo.example.path.split('?').next().unwrap();
            let found = Answers::new(&demo).find(&demo.example.method, path).is_some();
            assert!(found, "{name}: its example has no answer");
        }
        assert!(answers > 20);
    }
}
