//! `explain` decides as `decide` does, and tells each step.

use std::fmt::Write;

use keyward_core::{
    explain::{self, Explanation},
    key::KeyState,
    verdict::Verdict,
};

use crate::world::{self, Made, World, moment};

/// The steps as a person reads them. Ids are drawn anew for each world and replaced by names.
fn told(explanation: &Explanation, made: &Made) -> String {
    let mut text = String::new();
    for step in &explanation.steps {
        let mark = if step.passed { "ok    " } else { "REFUSE" };
        writeln!(text, "{mark} {:<12} {}", step.check, step.what).unwrap();
    }
    let verdict = match &explanation.verdict {
        Verdict::Permit(_) => "permit".to_owned(),
        Verdict::Denial(denial) => format!("denial: {}", denial.reason.name()),
        Verdict::Outage(_) => "outage".to_owned(),
    };
    writeln!(text, "=> {verdict}").unwrap();
    text.replace(&made.key.id.to_string(), "key_…").replace(&made.secret.id.to_string(), "sec_…")
}

macro_rules! assert_told {
    ($name:literal, $ask:expr, $made:expr) => {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!($name, told(&$ask.explanation(), &$made));
        });
    };
}

#[test]
fn a_permit_is_told_with_every_check() {
    let world = World::new();
    let made = world.key_with("freddy", &["responses:write"], |key, _| {
        key.allowed_networks = vec!["203.0.113.0/24".parse().unwrap()];
        key.expires_at = Some(moment("2027-01-01T00:00:00Z"));
    });
    let ask = world
        .request("POST", "https://api.aitronos.com/v1/model/response")
        .with(&made)
        .body(r#"{"organization_id":"org_your_org_id","model":"gpt-4o","inputs":[]}"#);
    assert_told!("explain_permit", ask, made);
}

#[test]
fn an_unknown_key_is_told_up_to_the_look_up() {
    let world = World::new();
    let twin = world.key("twin", &["read"]);
    let ask = world.request("POST", "https://api.example.com/v1/generate").with(&twin);
    assert_told!("explain_unknown_key", ask, twin);
}

#[test]
fn a_missing_permission_is_told_with_the_route_that_takes_it() {
    let world = World::new();
    let made = world.key("generic", &["read"]);
    let ask = world.request("DELETE", "https://api.example.com/v1/prompts/p1").with(&made);
    assert_told!("explain_missing_permission", ask, made);
}

#[test]
fn a_foreign_model_is_told_last() {
    let world = World::new();
    let made = world.key_with("openai", &["model.request"], |key, _| {
        key.allowed_models = Some(vec!["gpt-4o-mini".to_owned()]);
    });
    let ask = world
        .request("POST", "https://api.openai.com/v1/chat/completions")
        .with(&made)
        .body(r#"{"model":"gpt-4o","messages":[]}"#);
    assert_told!("explain_foreign_model", ask, made);
}

#[test]
fn an_outage_says_how_old_the_state_is() {
    let world = World::new();
    let made = world.key("generic", &["read"]);
    let ask = world
        .request("GET", "https://api.example.com/v1/models")
        .with(&made)
        .at("2026-03-01T12:02:00Z");
    let explanation = ask.explanation();
    let steps: Vec<_> = explanation.steps.iter().map(|step| (step.check, &*step.what)).collect();
    assert_eq!(steps, [("freshness", "the last confirmed state is 2 minutes old")]);
}

#[test]
fn only_the_last_step_refuses() {
    let world = World::new();
    let revoked = world.key_with("generic", &["read"], |key, _| key.state = KeyState::Revoked);
    let good = world.key("generic", &["read"]);
    let ask = || world.request("GET", "https://api.example.com/v1/models");
    for (ask, permitted) in [
        (ask(), false),
        (ask().with_text("junk"), false),
        (ask().with(&revoked), false),
        (ask().in_the_clear(), false),
        (ask().with(&good), true),
    ] {
        let steps = ask.explanation().steps;
        let (last, before) = steps.split_last().unwrap();
        assert!(before.iter().all(|step| step.passed));
        assert_eq!(last.passed, permitted);
        assert!(steps.iter().all(|step| !step.what.is_empty()), "{steps:?}");
    }
}

/// The store keeps digests, not keys: support can still ask why a request with this key would be refused.
#[test]
fn a_key_that_nobody_has_in_the_clear_is_explained_by_its_digest() {
    let world = World::new();
    let made = world.key("generic", &["read"]);
    for (method, path) in [("GET", "/v1/models"), ("POST", "/v1/webhooks"), ("GET", "/v1/nowhere")]
    {
        let url = format!("https://api.example.com{path}");
        let bare = world.request(method, &url);
        let recognized = explain::explain_recognized(
            &world.snapshot,
            &bare.facts(),
            &made.secret.digest,
            bare.body_facts(),
            moment(world::NOW),
        );
        let sent = bare.clone().with(&made).explanation();
        assert_eq!(format!("{:?}", recognized.verdict), format!("{:?}", sent.verdict), "{path}");
        assert!(recognized.steps.iter().all(|step| sent.steps.contains(step)), "{path}");
    }
    let elsewhere = world.request("GET", "https://api.openai.com/v1/models");
    let foreign = explain::explain_recognized(
        &world.snapshot,
        &elsewhere.facts(),
        &made.secret.digest,
        elsewhere.body_facts(),
        moment(world::NOW),
    );
    assert_eq!(foreign.steps.last().map(|step| (step.check, step.passed)), Some(("key", false)));
}

#[test]
fn no_step_shows_the_key() {
    let world = World::new();
    let made = world.key("generic", &["read"]);
    let (well_formed, junk) =
        (world.well_formed("generic"), "kw_thisIsMySecretPassword".to_owned());
    for text in [made.text, well_formed, junk] {
        for path in ["/v1/models", "/v1/webhooks", "/v1/nowhere"] {
            let url = format!("https://api.example.com{path}");
            let explanation = world.request("GET", &url).with_text(&text).explanation();
            let shown = format!("{:?} {:?}", explanation.steps, explanation.verdict);
            assert!(!shown.contains(&text[..12]), "{shown}");
        }
    }
}
