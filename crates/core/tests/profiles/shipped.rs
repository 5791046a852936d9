//! The shipped profiles load, and each has what a profile has to say.

use std::convert::Infallible;

use keyward_core::{
    metering::Metered,
    profile,
    route::{Method, Routes},
};

use crate::{SHIPPED, compiled, files};

#[test]
fn every_file_loads_and_is_one_of_the_nine_or_our_own() {
    let files = files();
    let others = files.keys().filter(|name| *name != keyward_core::rights::MANAGEMENT);
    assert_eq!(others.collect::<Vec<_>>(), SHIPPED);
    for name in files.keys() {
        profile::compile(name, &files).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn where_a_profile_counts_tokens_each_call_is_one_that_can_be_counted_or_closed_to_limits() {
    // The others read answers as the default one does; money is refused where their calls name no model.
    for name in ["anthropic", "freddy", "gemini", "openai"] {
        let profile = compiled(name);
        for route in profile.routes.iter() {
            let pattern = route.pattern.as_str();
            assert_ne!(route.metered, Metered::Told, "{name} {pattern}: of which model?");
            let reads = route.methods.contains(Method::Get);
            let is_free = route.metered == Metered::No || pattern == "/v1/realtime";
            assert!(!reads || is_free, "{name} {pattern}");
        }
    }
    let profile = compiled("openai");
    let closed = |method, path: &str| {
        let of = |found: &&keyward_core::route::Route| {
            found.methods.contains(method) && found.pattern.as_str() == path
        };
        profile.routes.iter().find(of).unwrap().metered == Metered::Unknown
    };
    assert!(closed(Method::Post, "/v1/audio/speech"), "its answer is sound, and tells nothing");
    assert!(closed(Method::Post, "/v1/{endpoint...}"));
    assert!(!closed(Method::Get, "/v1/{endpoint...}"));
}

#[test]
fn minted_keys_pass_the_own_format_and_no_other_prefix_claims_them() {
    for name in SHIPPED {
        let format = compiled(name).key_format;
        let mut byte = 0_u8;
        let fill = |bytes: &mut [u8]| {
            for b in bytes {
                byte = byte.wrapping_mul(167).wrapping_add(89);
                *b = byte;
            }
            Ok::<(), Infallible>(())
        };
        let key = format.mint(fill).unwrap();
        assert_eq!(format.check(key.expose().as_bytes()), Ok(()), "{name}");
        assert_eq!(key.expose().len(), format.length(), "{name}");
    }
}

#[test]
fn every_permission_is_described_and_every_preset_grants_something() {
    for name in SHIPPED {
        let profile = compiled(name);
        assert!(!profile.title.is_empty());
        assert!(profile.vocabulary.iter().count() > 0, "{name}");
        for permission in profile.vocabulary.iter() {
            assert!(!permission.description.is_empty(), "{name}: {}", permission.name);
        }
        assert!(!profile.presets.is_empty(), "{name}");
        for preset in &profile.presets {
            assert!(!preset.permissions.is_empty(), "{name}: {}", preset.name);
            assert!(profile.preset(&preset.name.to_uppercase()).is_some(), "case does not matter");
        }
    }
}

/// Deny by default: what no route names is not there, on every profile, and the default has no routes at all.
#[test]
fn no_profile_lets_an_unknown_path_through_by_a_permission_that_every_key_has() {
    assert!(compiled("default").routes.is_empty());
    for name in SHIPPED {
        for route in Routes::new(compiled(name).routes).iter() {
            assert!(!route.requires_name.is_empty(), "{name}: {}", route.pattern.as_str());
        }
    }
}
