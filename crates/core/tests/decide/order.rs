//! The order of the checks is part of the promise: who has no valid key learns nothing of routes, a key's state is told
//! before what it may do, and what we cannot know is neither refused nor permitted.

use keyward_core::{
    key::KeyState,
    verdict::{Reason, Verdict},
};

use crate::world::{self, Made, STALE_AFTER, World, moment};

#[test]
fn without_a_valid_key_every_path_and_method_answers_alike() {
    let world = World::new();
    let (revoked, expired) = (
        world.key_with("generic", &["admin"], |key, _| key.state = KeyState::Revoked),
        world.key_with("generic", &["admin"], |key, _| {
            key.expires_at = Some(moment("2026-01-01T00:00:00Z"));
        }),
    );
    let unknown = world.well_formed("generic");
    let mut answers = vec![];
    for (method, path) in [
        ("POST", "/v1/generate"),
        ("GET", "/v1/generate"),
        ("GET", "/v1/no/such/path"),
        ("BREW", "/v1/models"),
        ("GET", "/v1/models"),
    ] {
        let ask = || world.request(method, &format!("https://api.example.com{path}"));
        answers.push([
            ask().denied(),
            ask().with_text(&unknown).denied(),
            ask().with_text("junk").denied(),
            ask().with(&revoked).denied(),
            ask().with(&expired).denied(),
        ]);
    }
    let reasons: Vec<_> = answers[0].iter().map(|denial| denial.reason).collect();
    use Reason as R;
    assert_eq!(
        reasons,
        [R::MissingKey, R::UnknownKey, R::MalformedKey, R::RevokedKey, R::ExpiredKey]
    );
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}

#[test]
fn an_unknown_route_is_a_404_only_after_authentication() {
    let world = World::new();
    let nowhere = || world.request("GET", "https://api.example.com/v1/no/such/path");
    assert_eq!(nowhere().refused_for(), Some(Reason::MissingKey));
    assert_eq!(nowhere().with_text("junk").refused_for(), Some(Reason::MalformedKey));
    let made = world.key("generic", &["read"]);
    assert_eq!(nowhere().with(&made).refused_for(), Some(Reason::UnknownRoute));
}

/// One request with every fault; each is mended in turn and the next one is told.
#[test]
fn faults_are_told_in_the_order_of_the_checks() {
    let world = World::new();
    let network = "198.51.100.0/24".parse().unwrap();
    let mut made = world.key_with("freddy", &["models:read"], |key, _| {
        key.state = KeyState::Revoked;
        key.expires_at = Some(moment("2026-01-01T00:00:00Z"));
        key.organization = world::SUSPENDED.parse().unwrap();
        key.allowed_networks = vec![network];
    });
    let body = r#"{"organization_id":"org_other"}"#;
    let url = "https://api.aitronos.com/v1/model/response";
    let plain = world.request("GET", url).body(body).in_the_clear();
    assert_eq!(plain.refused_for(), Some(Reason::InsecureTransport));
    let bare = || world.request("GET", url).body(body);
    let several = bare().with(&made).with(&made);
    assert_eq!(several.refused_for(), Some(Reason::SeveralCredentials));
    assert_eq!(bare().with_text("junk").refused_for(), Some(Reason::MalformedKey));
    assert_eq!(
        bare().with_text(&world.well_formed("freddy")).refused_for(),
        Some(Reason::UnknownKey)
    );

    let put = |made: &Made| world.put(&made.key, std::slice::from_ref(&made.secret));
    assert_eq!(bare().with(&made).refused_for(), Some(Reason::RevokedKey));
    made.key.state = KeyState::Active;
    put(&made);
    assert_eq!(bare().with(&made).refused_for(), Some(Reason::ExpiredKey));
    made.key.expires_at = None;
    put(&made);
    assert_eq!(bare().with(&made).refused_for(), Some(Reason::SuspendedOrganization));
    made.key.organization = world::HOME.parse().unwrap();
    put(&made);
    assert_eq!(bare().with(&made).refused_for(), Some(Reason::ForeignNetwork));
    let ask = || bare().with(&made).from("198.51.100.20");
    assert_eq!(ask().refused_for(), Some(Reason::MethodNotAllowed));
    let mut ask = ask();
    ask.method = "POST".to_owned();
    assert_eq!(ask.refused_for(), Some(Reason::InsufficientPermission));
    made.key.permissions = vec!["responses:write".to_owned()];
    put(&made);
    assert_eq!(ask.refused_for(), Some(Reason::ForeignOrganization));
    assert_eq!(ask.body(r#"{"organization_id":"org_your_org_id"}"#).permitted(), made.key.id);
}

#[test]
fn a_request_in_the_clear_is_refused_and_tells_on_the_key_it_carried() {
    let world = World::new();
    let made = world.key("generic", &["read"]);
    let clear = || world.request("GET", "https://api.example.com/v1/models").in_the_clear();
    let denial = clear().with(&made).denied();
    assert_eq!(denial.reason, Reason::InsecureTransport);
    assert_eq!(denial.known_key, Some(made.key.id), "it is known to whoever listened");
    assert_eq!(denial.key_id, None, "and the answer, in the clear too, does not name it");

    let twin = world.key("twin", &["read"]);
    for foreign in [world.well_formed("generic"), "junk".to_owned(), twin.text] {
        let denial = clear().with_text(&foreign).denied();
        assert_eq!((denial.reason, denial.known_key), (Reason::InsecureTransport, None));
    }
    let nothing = clear().denied();
    assert_eq!((nothing.reason, nothing.known_key), (Reason::InsecureTransport, None));
    // A revoked or expired key was seen as well.
    let revoked = world.key_with("generic", &["read"], |key, _| key.state = KeyState::Revoked);
    assert_eq!(clear().with(&revoked).denied().known_key, Some(revoked.key.id));
}

#[test]
fn an_api_that_takes_requests_in_the_clear_decides_on_them() {
    let world = World::new();
    let made = world.key("own", &["read"]);
    let ask = world.request("GET", "https://own.test/open").with(&made).in_the_clear();
    assert_eq!(ask.permitted(), made.key.id);
}

#[test]
fn a_state_too_old_to_be_trusted_is_an_outage_for_every_request() {
    let world = World::new();
    let made = world.key("generic", &["read"]);
    let revoked = world.key_with("generic", &["read"], |key, _| key.state = KeyState::Revoked);
    let now = moment(world::NOW);
    let models = || world.request("GET", "https://api.example.com/v1/models");
    let at = |mut ask: world::Ask<'_>, age| {
        ask.now = now.plus(age);
        ask.verdict()
    };
    let second = std::time::Duration::from_secs(1);
    let (fresh, stale) = (STALE_AFTER, STALE_AFTER + second);
    assert!(matches!(at(models().with(&made), fresh), Verdict::Permit(_)));
    assert!(matches!(at(models().with(&revoked), fresh), Verdict::Denial(_)));
    for ask in [models(), models().with(&made), models().with(&revoked), models().with_text("junk")]
    {
        let Verdict::Outage(outage) = at(ask, stale) else { panic!("a refusal would be a guess") };
        assert_eq!(outage.age, stale);
    }
    // Once the store answers again, all is as it was; a clock set back is no outage.
    world.snapshot.freshness().confirm(world.snapshot.freshness().revision(), now.plus(stale));
    assert!(matches!(at(models().with(&made), stale), Verdict::Permit(_)));
    assert!(matches!(at(models().with(&made), second), Verdict::Permit(_)));
}
