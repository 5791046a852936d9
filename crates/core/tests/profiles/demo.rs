//! What the demo shows of each profile is whole: every route has an answer, every answer a route, and all are what real
//! clients parse. (That the vendors' SDKs do is tested with these SDKs.)

use keyward_core::{
    metering::{Estimate, Form, Metered, Metering, Reader, Used},
    policy::{Api, Policy},
    profile::{Demo, DemoAnswer, Profile},
    route::{Method, PathPattern, RouteMatch, Routes},
};
use serde_json::Value;
use std::sync::Arc;

use crate::{SHIPPED, compiled};

fn shown() -> impl Iterator<Item = (Profile, Demo)> {
    SHIPPED.into_iter().map(compiled).filter_map(|profile| {
        let demo = profile.demo.clone()?;
        Some((profile, demo))
    })
}

/// The text with its placeholders filled as the built-in upstream fills them.
fn filled(text: &str) -> String {
    let holes = [
        ("model", "gpt-4"),
        ("id", "0a1b2c"),
        ("now", "1772366400"),
        ("n", "3"),
        ("text", "Hello! How"),
        ("word", " How"),
        ("read", "9"),
        ("cached", "3"),
        ("cache_written", "1"),
        ("uncached", "5"),
        ("written", "4"),
        ("reasoning", "1"),
        ("text_tokens", "3"),
        ("total", "13"),
    ];
    holes.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{{name}}}}}"), value)
    })
}

#[test]
fn all_but_the_default_can_be_shown_at_a_host_of_their_own() {
    let names: Vec<_> = shown().map(|(profile, _)| profile.name.to_string()).collect();
    assert_eq!(names, SHIPPED.into_iter().filter(|n| *n != "default").collect::<Vec<_>>());
    for (profile, demo) in shown() {
        let local = format!("{}.localhost", profile.name);
        assert!(demo.hosts.contains(&local), "{local}");
        assert_eq!(demo.hosts.len(), 2, "{local}");
    }
}

#[test]
fn every_route_has_an_answer_and_every_answer_a_route() {
    for (profile, demo) in shown() {
        for route in &profile.routes {
            for method in route.methods.iter().filter(|method| *method != Method::Head) {
                let answered = demo.answers.iter().any(|answer| {
                    answer.method == method.as_str() && answer.path == route.pattern.as_str()
                });
                assert!(
                    answered,
                    "{}: {} {}",
                    profile.name,
                    method.as_str(),
                    route.pattern.as_str()
                );
            }
        }
        for answer in &demo.answers {
            let routed = profile.routes.iter().any(|route| {
                let method = answer.method.parse::<Method>().unwrap();
                route.pattern.as_str() == answer.path && route.methods.contains(method)
            });
            assert!(routed, "{}: {} {}", profile.name, answer.method, answer.path);
        }
    }
}

/// The first that matches is given: a wide pattern must not stand before a narrow one.
#[test]
fn every_answer_can_be_reached() {
    for (profile, demo) in shown() {
        for answer in &demo.answers {
            let pattern: PathPattern = answer.path.parse().unwrap();
            let path = answer.path.replace(['{', '}'], "").replace("...", "");
            assert!(pattern.matches(&path), "{path}");
            let first = demo.answers.iter().find(|other| {
                other.method == answer.method
                    && other.path.parse::<PathPattern>().unwrap().matches(&path)
            });
            assert_eq!(first.unwrap().path, answer.path, "{}", profile.name);
        }
    }
}

#[test]
fn answers_and_events_are_json_once_filled() {
    for (profile, demo) in shown() {
        for answer in &demo.answers {
            let place = format!("{} {} {}", profile.name, answer.method, answer.path);
            let body = filled(&answer.body);
            assert!(serde_json::from_str::<Value>(&body).is_ok(), "{place}: {body}");
            assert!(!body.contains("{{"), "{place}: {body}");
            for event in answer.events.iter().chain(&answer.usage_event) {
                check_event(&place, &filled(event));
            }
        }
    }
}

fn check_event(place: &str, event: &str) {
    let mut data = None;
    let mut named = None;
    for line in event.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => named = Some(name.to_owned()),
            Some(("data", text)) => data = Some(text.to_owned()),
            _ => panic!("{place}: `{line}`"),
        }
    }
    let data = data.unwrap_or_else(|| panic!("{place}: no data"));
    if data == "[DONE]" {
        return;
    }
    let json: Value =
        serde_json::from_str(&data).unwrap_or_else(|e| panic!("{place}: {data}: {e}"));
    if let Some(name) = named {
        assert_eq!(json["type"], name.as_str(), "{place}");
    }
}

#[test]
fn the_example_is_routed_and_its_permission_held_by_the_demo_s_key() {
    for (profile, demo) in shown() {
        let path = demo.example.path.split('?').next().unwrap();
        let method = demo.example.method.parse().unwrap();
        let routes = Routes::new(profile.routes.clone());
        let RouteMatch::Found(route) = routes.find(Some(method), path) else {
            panic!("{}: {path}", profile.name)
        };
        let granted = profile.vocabulary.grant(demo.permissions.iter().map(String::as_str));
        assert!(granted.covers(route.requires), "{}", profile.name);
        if let Some(body) = &demo.example.body {
            assert!(serde_json::from_str::<Value>(body).is_ok(), "{body}");
        }
    }
}

#[test]
fn all_stand_together_on_one_port_and_the_longer_prefix_wins() {
    let mut apis = vec![];
    for (profile, demo) in shown() {
        let name: keyward_core::id::ApiName = profile.name.parse().unwrap();
        apis.push(Api {
            number: name.number(),
            name,
            routes: Routes::new(profile.routes.clone()),
            hosts: demo.hosts.iter().map(|host| host.as_str().into()).collect(),
            prefixes: demo.prefixes.iter().map(|prefix| prefix.as_str().into()).collect(),
            upstream: 0,
            https: profile.https,
            ask_for_usage: true,
            profile: Arc::new(profile),
            limits: vec![],
        });
    }
    let policy = Policy::new(apis, vec![], Arc::new(compiled("default")), None).unwrap();
    let at = |host, path| policy.find(host, path).map(|api| api.name.to_string());
    for (host, path, api) in [
        ("api.example.com", "/v1/generate", Some("generic")),
        ("api.example.com:8443", "/v1/inference", Some("aiaas")),
        ("API.example.com", "/v1/inference/models", Some("aiaas")),
        ("api.example.com.", "/v1/inference/models", Some("aiaas")),
        ("API.example.com.:8443", "/v1/generate", Some("generic")),
        ("api.example.com..", "/v1/generate", None),
        ("api.example.com", "/v1/inferences", Some("generic")),
        ("api.example.com", "/v1/analytics/usage", Some("aiaas")),
        ("api.example.com", "/v2/generate", None),
        ("api.anunzi.net", "/v2/assistants", Some("anunzi")),
        ("api.aitronos.com", "/v1/model/response", Some("freddy")),
        ("api.mindosoftware.com", "/api/v1/business-accounts/", Some("mindo")),
        ("api.openai.com", "/v1/chat/completions", Some("openai")),
        ("api.anthropic.com", "/v1/messages", Some("anthropic")),
        ("generativelanguage.googleapis.com", "/v1/models", Some("gemini")),
        ("freddy.localhost:8443", "/v1/models", Some("freddy")),
        ("localhost", "/v1/models", None),
    ] {
        assert_eq!(at(host, path).as_deref(), api, "{host}{path}");
    }
}

fn answer_to<'d>(demo: &'d Demo, method: &str, path: &str) -> &'d DemoAnswer {
    demo.answers.iter().find(|answer| answer.method == method && answer.path == path).unwrap()
}

#[test]
fn the_guides_examples_find_what_they_read() {
    for (profile, demo) in shown() {
        match &*profile.name {
            "freddy" => {
                assert_eq!(demo.organization.id, "org_your_org_id");
                let answer = answer_to(&demo, "POST", "/v1/model/response");
                let body: Value = serde_json::from_str(&filled(&answer.body)).unwrap();
                assert!(body["response"][0]["text"].is_string());
            }
            "anunzi" => assert_eq!(demo.organization.model_ids, ["151531531x15361351"]),
            _ => {}
        }
    }
}

/// Metering reads what these answers say, so that a stand-in upstream is metered like the real one.
#[test]
fn usage_stands_where_metering_looks_for_it() {
    for (name, path) in [
        ("openai", "/v1/chat/completions"),
        ("openai", "/v1/responses"),
        ("anthropic", "/v1/messages"),
        ("freddy", "/v1/model/response"),
        ("gemini", "/v1beta/models/{model}:streamGenerateContent"),
        ("gemini", "/v1/models/{model}:streamGenerateContent"),
    ] {
        let profile = compiled(name);
        let [whole, streamed] = used(&profile.metering, &profile, path);
        for Used { tokens, estimated } in [whole, streamed] {
            assert!(!estimated, "{name} {path}: {tokens:?}");
            assert!(tokens.input > 0 && tokens.output > 0, "{name} {path}: {tokens:?}");
        }
        assert_eq!(whole.tokens.input, streamed.tokens.input, "{name} {path}");
    }
}

/// What metering finds in a profile's answer to this path, whole and streamed.
fn used(metering: &Metering, profile: &Profile, path: &str) -> [Used; 2] {
    let demo = profile.demo.clone().unwrap();
    let answer = answer_to(&demo, "POST", path);
    let estimate = Estimate { metered: Metered::Both, read: 77, ..Estimate::default() };
    let events = answer.events.iter().chain(&answer.usage_event);
    let events = events.map(|event| format!("{}\n\n", filled(event))).collect();
    [(Form::Json, vec![filled(&answer.body)]), (Form::Events, events)].map(|(form, pieces)| {
        let mut reader = Reader::new(form);
        for piece in &pieces {
            reader.read(metering, piece.as_bytes());
        }
        reader.end(metering, true);
        reader.used(&estimate)
    })
}

/// Who brings an API and no profile is metered like the vendors whose form it speaks.
#[test]
fn what_every_profile_inherits_finds_the_same_usage_as_the_vendors_profiles() {
    let inherited = compiled("default").metering;
    for (name, path) in [
        ("openai", "/v1/chat/completions"),
        ("openai", "/v1/responses"),
        ("openai", "/v1/embeddings"),
        ("anthropic", "/v1/messages"),
    ] {
        let profile = compiled(name);
        let told = used(&profile.metering, &profile, path);
        assert_eq!(used(&inherited, &profile, path), told, "{name} {path}");
        assert!(told.iter().any(|used| used.tokens.input > 0), "{name} {path}: {told:?}");
    }
}
