//! Exactly one credential, in the API's place and format, known to this API. What is wrong with it is told, and what is
//! presented is told apart by a fingerprint, never by another API's ids.

use keyward_core::{
    key::{PepperVersion, Secret},
    verdict::Reason,
};

use crate::world::World;

const GENERATE: &str = "https://api.example.com/v1/generate";
const BODY: &str = r#"{"prompt":"Hello, world!","model":"gpt-4"}"#;

#[test]
fn each_api_takes_its_key_from_its_own_place() {
    let world = World::new();
    for (api, url, permission, header, prefix) in [
        (
            "anunzi",
            "https://api.anunzi.net/v2/assistants",
            "assistants:read",
            "authorization",
            "Bearer ",
        ),
        ("freddy", "https://api.aitronos.com/v1/models", "models:read", "X-API-Key", ""),
        (
            "mindo",
            "https://api.mindosoftware.com/api/v1/business-accounts/",
            "business-accounts:read",
            "x-api-key",
            "",
        ),
        (
            "openai",
            "https://api.openai.com/v1/models",
            "api.model.read",
            "Authorization",
            "bearer ",
        ),
        ("anthropic", "https://api.anthropic.com/v1/models", "models:read", "X-Api-Key", ""),
        (
            "anthropic",
            "https://api.anthropic.com/v1/models",
            "models:read",
            "Authorization",
            "Bearer ",
        ),
    ] {
        let made = world.key(api, &[permission]);
        let ask = world.request("GET", url).header(header, &format!("{prefix}{}", made.text));
        assert_eq!(ask.permitted(), made.key.id, "{api} {header}");
    }
}

#[test]
fn a_key_in_another_place_was_not_sent() {
    let world = World::new();
    let made = world.key("freddy", &["models:read"]);
    let models = || world.request("GET", "https://api.aitronos.com/v1/models");
    let bearer = models().header("Authorization", &format!("Bearer {}", made.text));
    assert_eq!(bearer.refused_for(), Some(Reason::MissingKey));
    let mut query = models();
    query.query = Some(format!("X-API-Key={}", made.text));
    assert_eq!(query.refused_for(), Some(Reason::MissingKey));
}

#[test]
fn what_was_sent_instead_of_one_good_key_is_told_apart() {
    let world = World::new();
    let good = world.key("generic", &["read"]).text;
    let unknown = world.well_formed("generic");
    let mistyped = good.replace(&good[10..11], if &good[10..11] == "x" { "y" } else { "x" });
    let cases: &[(&[&str], Reason)] = &[
        (&[], Reason::MissingKey),
        (&[""], Reason::MissingKey),
        (&["Bearer"], Reason::MissingKey),
        (&["Bearer YOUR_API_KEY"], Reason::MalformedKey),
        (&[&format!("Bearer {mistyped}")], Reason::MalformedKey),
        (&[&format!("Bearer {good}x")], Reason::MalformedKey),
        (&[&format!("Bearer \"{good}\"")], Reason::MalformedKey),
        (&["Basic dXNlcjpwYXNz"], Reason::MalformedKey),
        (&[&good], Reason::MalformedKey),
        (&[&format!("Bearer {unknown}")], Reason::UnknownKey),
        (&[&format!("Bearer {good}"), &format!("Bearer {good}")], Reason::SeveralCredentials),
        (&[&format!("Bearer {good}"), &format!("Bearer {unknown}")], Reason::SeveralCredentials),
        (&[&format!("Bearer {unknown}"), &format!("Bearer {good}")], Reason::SeveralCredentials),
        (&[&format!("Bearer {good}, Bearer {good}")], Reason::SeveralCredentials),
        (&[&format!("Bearer {good}"), "Basic dXNlcjpwYXNz"], Reason::SeveralCredentials),
    ];
    for (values, reason) in cases {
        let ask = world.request("POST", GENERATE).body(BODY);
        let ask = values.iter().fold(ask, |ask, value| ask.header("Authorization", value));
        assert_eq!(ask.refused_for(), Some(*reason), "{values:?}");
    }
}

#[test]
fn two_slots_of_one_api_take_one_key_between_them() {
    let world = World::new();
    let made = world.key("anthropic", &["models:read"]);
    let models = || world.request("GET", "https://api.anthropic.com/v1/models");
    let bearer = format!("Bearer {}", made.text);
    let both = models().header("X-Api-Key", &made.text).header("Authorization", &bearer);
    assert_eq!(both.refused_for(), Some(Reason::SeveralCredentials));
    let swapped = models().header("Authorization", &bearer).header("X-Api-Key", &made.text);
    assert_eq!(swapped.refused_for(), Some(Reason::SeveralCredentials));
    let foreign = models().header("X-Api-Key", &made.text).header("Authorization", "Basic eA==");
    assert_eq!(foreign.refused_for(), Some(Reason::SeveralCredentials));
}

#[test]
fn a_key_of_another_api_is_unknown_and_its_id_is_not_told() {
    let world = World::new();
    let twin = world.key("twin", &["read"]);
    let own = world.request("POST", "https://twin.test/v1/generate").body(BODY).with(&twin);
    assert_eq!(own.permitted(), twin.key.id);

    let denial = world.request("POST", GENERATE).body(BODY).with(&twin).denied();
    assert_eq!(denial.reason, Reason::UnknownKey);
    let fingerprint = world.snapshot.peppers().current().fingerprint(twin.text.as_bytes());
    assert_eq!(denial.key_id, Some(fingerprint));
    assert_ne!(denial.key_id, Some(twin.key.id));
    assert_eq!(denial.known_key, None, "its usage counts to nobody");
}

#[test]
fn two_wrong_keys_have_two_fingerprints_and_one_key_always_the_same() {
    let world = World::new();
    let (one, two) = (world.well_formed("generic"), world.well_formed("generic"));
    let shown = |key: &str| world.request("POST", GENERATE).with_text(key).denied().key_id.unwrap();
    assert_eq!(shown(&one), shown(&one));
    assert_ne!(shown(&one), shown(&two));
    assert_ne!(shown("not a key at all"), shown(&one), "malformed ones have fingerprints too");
    assert_ne!(shown("nonsense"), shown("rubbish"));
    // In the shape of a real id, so that the answer does not say whether the key exists.
    let known = world.key("generic", &["read"]).key.id.to_string();
    assert_eq!(shown(&one).to_string().len(), known.len());
}

#[test]
fn a_key_digested_under_an_older_pepper_is_known_and_one_under_a_lost_pepper_is_not() {
    let world = World::new();
    let older = world.snapshot.peppers().newest_first().nth(1).unwrap().clone();
    assert_eq!(older.version(), PepperVersion(1));
    let made = world.key("generic", &["read"]);
    let rehashed: Secret = world.secret(&made.key, &world.well_formed("generic"), &older);
    let text = world.well_formed("generic");
    let secret = Secret { digest: older.digest(text.as_bytes()), ..rehashed };
    world.put(&made.key, &[secret]);
    let ask = world.request("POST", GENERATE).body(BODY).with_text(&text);
    assert_eq!(ask.permitted(), made.key.id);

    let lost = keyward_core::key::Pepper::new(PepperVersion(9), &[9; 32]).unwrap();
    let text = world.well_formed("generic");
    world.put(&made.key, &[world.secret(&made.key, &text, &lost)]);
    let ask = world.request("POST", GENERATE).body(BODY).with_text(&text);
    assert_eq!(ask.refused_for(), Some(Reason::UnknownKey));
}
