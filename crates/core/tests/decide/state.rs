//! A known key in each of its states, at each instant, and where it may be used from.

use keyward_core::{
    key::{KeyState, Secret},
    verdict::{Reason, Verdict},
};

use crate::world::{self, Ask, Made, NOW, World, moment};

fn generate<'w>(world: &'w World, made: &Made) -> Ask<'w> {
    let body = r#"{"prompt":"Hello, world!","model":"gpt-4"}"#;
    world.request("POST", "https://api.example.com/v1/generate").body(body).with(made)
}

#[test]
fn a_key_is_refused_by_its_state_with_its_id() {
    let world = World::new();
    for (state, reason) in [
        (KeyState::Active, None),
        (KeyState::Disabled, Some(Reason::DisabledKey)),
        (KeyState::Revoked, Some(Reason::RevokedKey)),
    ] {
        let made = world.key_with("generic", &["read"], |key, _| key.state = state);
        let ask = generate(&world, &made);
        assert_eq!(ask.refused_for(), reason, "{state:?}");
        if reason.is_some() {
            let denial = ask.denied();
            assert_eq!((denial.key_id, denial.known_key), (Some(made.key.id), Some(made.key.id)));
        }
    }
}

#[test]
fn a_revocation_shows_at_once_and_enabling_brings_a_key_back() {
    let world = World::new();
    let mut made = world.key("generic", &["read"]);
    for (state, reason) in [
        (KeyState::Disabled, Some(Reason::DisabledKey)),
        (KeyState::Active, None),
        (KeyState::Revoked, Some(Reason::RevokedKey)),
    ] {
        made.key.state = state;
        world.put(&made.key, std::slice::from_ref(&made.secret));
        assert_eq!(generate(&world, &made).refused_for(), reason, "{state:?}");
    }
}

#[test]
fn a_key_expires_at_its_instant_and_not_before() {
    let world = World::new();
    let at = "2026-03-01T12:30:00Z";
    let made = world.key_with("generic", &["read"], |key, _| key.expires_at = Some(moment(at)));
    // The state was confirmed at each of these moments.
    let ask = |now: &str| {
        world.snapshot.freshness().confirm(world.snapshot.freshness().revision(), moment(now));
        generate(&world, &made).at(now)
    };
    assert_eq!(ask("2026-03-01T12:29:59.999Z").refused_for(), None);
    let denial = ask(at).denied();
    assert_eq!((denial.reason, denial.expired_at), (Reason::ExpiredKey, Some(moment(at))));
    assert_eq!(ask("2027-01-01T00:00:00Z").refused_for(), Some(Reason::ExpiredKey));
}

#[test]
fn a_revoked_key_says_revoked_also_after_its_end() {
    let world = World::new();
    let past = Some(moment("2026-01-01T00:00:00Z"));
    for (state, reason) in [
        (KeyState::Active, Reason::ExpiredKey),
        (KeyState::Disabled, Reason::DisabledKey),
        (KeyState::Revoked, Reason::RevokedKey),
    ] {
        let made = world.key_with("generic", &["read"], |key, _| {
            (key.state, key.expires_at) = (state, past);
        });
        let denial = generate(&world, &made).denied();
        assert_eq!((denial.reason, denial.expired_at), (reason, past));
    }
}

#[test]
fn a_rotated_secret_works_until_its_overlap_ends_and_the_new_one_goes_on() {
    let world = World::new();
    let made = world.key("generic", &["read"]);
    let text = world.well_formed("generic");
    let new = world.secret(&made.key, &text, world.snapshot.peppers().current());
    let in_an_hour = moment("2026-03-01T13:00:00Z");
    let rotated = |end| Secret { expires_at: end, ..made.secret.clone() };
    let old_ask = || generate(&world, &made);
    let new_ask = || {
        generate(&world, &Made { text: text.clone(), key: made.key.clone(), secret: new.clone() })
    };

    world.put(&made.key, &[rotated(Some(in_an_hour)), new.clone()]);
    assert_eq!((old_ask().permitted(), new_ask().permitted()), (made.key.id, made.key.id));
    let Verdict::Permit(permit) = new_ask().verdict() else { panic!() };
    assert_eq!(permit.secret(), new.id, "each secret has its own last use");

    world.put(&made.key, &[rotated(Some(moment(NOW))), new.clone()]);
    assert_eq!(old_ask().refused_for(), Some(Reason::ExpiredKey));
    assert_eq!(old_ask().denied().expired_at, Some(moment(NOW)));
    assert_eq!(new_ask().permitted(), made.key.id);
}

#[test]
fn the_earlier_of_the_key_s_and_the_secret_s_end_counts() {
    let world = World::new();
    let (past, future) = (moment("2026-02-01T00:00:00Z"), moment("2027-01-01T00:00:00Z"));
    for (of_key, of_secret, expired) in [
        (None, None, false),
        (Some(past), None, true),
        (None, Some(past), true),
        (Some(future), Some(past), true),
        (Some(past), Some(future), true),
        (Some(future), Some(future), false),
    ] {
        let made = world.key_with("generic", &["read"], |key, secret| {
            (key.expires_at, secret.expires_at) = (of_key, of_secret);
        });
        let reason = expired.then_some(Reason::ExpiredKey);
        assert_eq!(generate(&world, &made).refused_for(), reason, "{of_key:?} {of_secret:?}");
    }
}

#[test]
fn no_key_of_a_suspended_organization_works_until_it_is_resumed() {
    let world = World::new();
    let made = world.key_with("generic", &["read"], |key, _| {
        key.organization = world::SUSPENDED.parse().unwrap();
    });
    let denial = generate(&world, &made).denied();
    assert_eq!((denial.reason, denial.key_id), (Reason::SuspendedOrganization, Some(made.key.id)));

    let Verdict::Permit(permit) = generate(&world, &world.key("generic", &["read"])).verdict()
    else {
        panic!()
    };
    let directory = world.snapshot.directory();
    let mut home = (*directory.organization(permit.organization()).unwrap()).clone();
    assert_eq!(home.id.as_str(), world::HOME);
    home.id = world::SUSPENDED.parse().unwrap();
    directory.put_organization(home);
    assert_eq!(generate(&world, &made).permitted(), made.key.id);
}

#[test]
fn a_key_is_used_from_its_networks_alone_however_the_address_is_spelt() {
    let world = World::new();
    let made = world.key_with("generic", &["read"], |key, _| {
        key.allowed_networks = ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"]
            .iter()
            .map(|network| network.parse().unwrap())
            .collect();
    });
    for (client, inside) in [
        ("203.0.113.9", true),
        ("::ffff:203.0.113.9", true),
        ("::ffff:cb00:7109", true),
        ("203.0.114.1", false),
        ("::ffff:203.0.114.1", false),
        ("198.51.100.7", true),
        ("198.51.100.8", false),
        ("2001:db8:1::1", true),
        ("2001:db9::1", false),
        ("::1", false),
    ] {
        let reason = (!inside).then_some(Reason::ForeignNetwork);
        assert_eq!(generate(&world, &made).from(client).refused_for(), reason, "{client}");
    }
    let anywhere = world.key("generic", &["read"]);
    assert_eq!(generate(&world, &anywhere).from("192.0.2.1").refused_for(), None);
}

#[test]
fn a_key_known_from_its_records_is_judged_as_the_gateway_judges_it() {
    use keyward_core::{key::Unusable, organization::OrganizationState};
    let world = World::new();
    let ends = [None, Some("2026-03-01T11:59:59Z"), Some(NOW), Some("2026-03-01T12:00:01Z")];
    let mut judged = std::collections::BTreeSet::new();
    for state in [KeyState::Active, KeyState::Disabled, KeyState::Revoked] {
        for (key_ends, secret_ends) in ends.iter().flat_map(|one| ends.map(|two| (*one, two))) {
            for (organization, kept) in [
                (world::HOME, OrganizationState::Active),
                (world::SUSPENDED, OrganizationState::Suspended),
            ] {
                for (network, client) in [
                    (None, "203.0.113.7"),
                    (Some("203.0.113.0/24"), "::ffff:203.0.113.7"),
                    (Some("203.0.113.0/24"), "198.51.100.1"),
                ] {
                    let made = world.key_with("generic", &["read"], |key, secret| {
                        key.state = state;
                        key.organization = organization.parse().unwrap();
                        key.expires_at = key_ends.map(moment);
                        secret.expires_at = secret_ends.map(moment);
                        key.allowed_networks =
                            network.iter().map(|one| one.parse().unwrap()).collect();
                    });
                    let refused = generate(&world, &made).from(client).refused_for();
                    let client = client.parse().unwrap();
                    let unusable =
                        made.key.may_be_used_from(&made.secret, kept, client, moment(NOW)).err();
                    let same = unusable.map(|why| match why {
                        Unusable::Revoked => Reason::RevokedKey,
                        Unusable::Disabled => Reason::DisabledKey,
                        Unusable::Expired => Reason::ExpiredKey,
                        Unusable::Suspended => Reason::SuspendedOrganization,
                        Unusable::ForeignNetwork => Reason::ForeignNetwork,
                    });
                    assert_eq!(same, refused, "{:?}", made.key);
                    judged.insert(format!("{refused:?}"));
                }
            }
        }
    }
    assert_eq!(judged.len(), 6, "{judged:?}");
}
