//! Every refusal of every profile, as it is sent: one snapshot a profile.

use std::fmt::Write;

use keyward_core::verdict::Reason;
use serde_json::Value;

use crate::{SHIPPED, answer, compiled, denial, header};

#[test]
fn every_profile_words_every_reason_as_locked() {
    for name in SHIPPED {
        let profile = compiled(name);
        let mut all = String::new();
        for reason in Reason::ALL {
            let answer = answer(&profile, &denial(*reason), false);
            writeln!(all, "{} {}", answer.status, reason.name()).unwrap();
            for (name, value) in &answer.headers {
                // These two are on every refusal and tested apart.
                if name != "cache-control" && name != "content-type" {
                    writeln!(all, "    {name}: {value}").unwrap();
                }
            }
            writeln!(all, "    {}", answer.body).unwrap();
        }
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("refusals_{name}"), all);
        });
    }
}

#[test]
fn every_refusal_is_json_that_no_cache_keeps_and_never_empty() {
    for name in SHIPPED {
        let profile = compiled(name);
        for reason in Reason::ALL {
            let answer = answer(&profile, &denial(*reason), false);
            let place = format!("{name} {}", reason.name());
            let body: Value = serde_json::from_str(&answer.body).expect(&place);
            assert!(body.as_object().is_some_and(|members| !members.is_empty()), "{place}");
            assert_eq!(header(&answer, "content-type"), ["application/json"], "{place}");
            assert_eq!(header(&answer, "cache-control"), ["no-store"], "{place}");
            assert_eq!(answer.status, profile.refusals.status(*reason), "{place}");
            assert!(!answer.body.contains("{{"), "{place}: {}", answer.body);
        }
    }
}

#[test]
fn whatever_is_unknown_is_left_out_and_the_body_stays_json() {
    for name in SHIPPED {
        let profile = compiled(name);
        for reason in Reason::ALL {
            let mut bare = denial(*reason);
            bare.key_id = None;
            bare.expired_at = None;
            bare.required = None;
            bare.field = None;
            bare.value = None;
            bare.allowed = None;
            bare.retry_after = None;
            let answer = answer(&profile, &bare, false);
            assert!(serde_json::from_str::<Value>(&answer.body).is_ok(), "{}", answer.body);
        }
    }
}

#[test]
fn what_a_client_sent_cannot_leave_its_place_in_a_body_or_a_header() {
    let nasty = "\"},\"x\":{\"\\\r\nset-cookie: a=b\u{0}\u{2028}";
    for name in SHIPPED {
        let profile = compiled(name);
        for reason in Reason::ALL {
            let mut evil = denial(*reason);
            evil.detail = nasty.to_owned().into();
            evil.field = evil.field.map(|_| nasty.into());
            evil.value = evil.value.map(|_| nasty.into());
            let (evil, tame) =
                (answer(&profile, &evil, false), answer(&profile, &denial(*reason), false));
            assert_eq!(members(&evil.body), members(&tame.body), "{name} {}", reason.name());
            let split = |(_, value): &(String, String)| value.contains(['\r', '\n', '\0']);
            assert!(!evil.headers.iter().any(split), "{:?}", evil.headers);
        }
    }
}

/// The names of all members, at every depth.
fn members(body: &str) -> Vec<String> {
    fn gather(value: &Value, path: &str, names: &mut Vec<String>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            names.push(format!("{path}/{name}"));
            gather(value, &format!("{path}/{name}"), names);
        }
    }
    let mut names = vec![];
    gather(&serde_json::from_str(body).unwrap(), "", &mut names);
    names
}

#[test]
fn problem_json_says_the_same_and_keeps_the_profile_s_own_members() {
    for name in SHIPPED {
        let profile = compiled(name);
        for reason in Reason::ALL {
            let place = format!("{name} {}", reason.name());
            let plain = answer(&profile, &denial(*reason), false);
            let problem = answer(&profile, &denial(*reason), true);
            assert_eq!(header(&problem, "content-type"), ["application/problem+json"], "{place}");
            assert_eq!(problem.status, plain.status, "{place}");
            let body: Value = serde_json::from_str(&problem.body).unwrap();
            assert_eq!(body["type"], "about:blank", "{place}");
            assert_eq!(body["status"], plain.status, "{place}");
            assert_eq!(body["instance"], "/v1/things", "{place}");
            for text in ["title", "detail"] {
                assert!(
                    body[text].as_str().is_some_and(|text| !text.is_empty()),
                    "{place}: {text}"
                );
            }
            let own: Value = serde_json::from_str(&plain.body).unwrap();
            for (member, value) in own.as_object().unwrap() {
                let kept = member == "type" || body[member] == *value;
                assert!(kept, "{place}: {member}");
            }
        }
    }
}

#[test]
fn a_401_says_how_to_authenticate_and_what_was_wrong_only_where_something_came() {
    for name in SHIPPED {
        let profile = compiled(name);
        for reason in Reason::ALL.iter().filter(|reason| profile.refusals.status(**reason) == 401) {
            let answer = answer(&profile, &denial(*reason), false);
            let challenges = header(&answer, "www-authenticate");
            assert_eq!(challenges.len(), profile.slots.len(), "{name} {}", reason.name());
            for challenge in challenges.iter().filter(|challenge| challenge.starts_with("Bearer")) {
                let told = challenge.contains("error=\"invalid_token\"");
                assert_eq!(told, *reason != Reason::MissingKey, "{name}: {challenge}");
            }
        }
    }
}

#[test]
fn a_missing_scope_is_named_in_the_challenge() {
    let answer = answer(&compiled("aiaas"), &denial(Reason::InsufficientPermission), false);
    assert_eq!(
        header(&answer, "www-authenticate"),
        [r#"Bearer realm="keyward", error="insufficient_scope", scope="inference:write""#]
    );
}

#[test]
fn waiting_is_told_in_whole_seconds_rounded_up_and_never_zero() {
    for name in SHIPPED {
        let profile = compiled(name);
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_999, "60")] {
            let mut limited = denial(Reason::RateLimited);
            limited.retry_after = Some(std::time::Duration::from_millis(millis));
            assert_eq!(header(&answer(&profile, &limited, false), "retry-after"), [seconds]);
        }
    }
}

#[test]
fn sdks_are_told_not_to_retry_exactly_where_waiting_will_not_help() {
    for name in ["openai", "anthropic"] {
        let profile = compiled(name);
        for reason in Reason::ALL {
            let answer = answer(&profile, &denial(*reason), false);
            let used_up = matches!(
                reason,
                Reason::QuotaExhausted
                    | Reason::BudgetExhausted
                    | Reason::CreditExhausted
                    | Reason::ExceedsLimit
            );
            let hopeless = used_up || answer.status < 500 && !matches!(answer.status, 408 | 429);
            let told = header(&answer, "x-should-retry") == ["false"];
            assert_eq!(told, hopeless, "{name} {}", reason.name());
        }
    }
}
