//! Which method and path asks for what: deny by default, and the most specific route decides.

use keyward_core::verdict::Reason;

use crate::world::World;

#[test]
fn what_no_route_names_is_not_there_for_a_valid_key() {
    let world = World::new();
    let admin = world.key("generic", &["admin"]);
    for (method, path) in [
        ("GET", "/v1/admin"),
        ("POST", "/v1/generate/"),
        ("POST", "/v1/generate/x"),
        ("POST", "/v1/Generate"),
        ("GET", "/v1"),
        ("GET", "/v1/prompts/"),
        ("GET", "/v1/prompts/a/b"),
    ] {
        let ask = world.request(method, &format!("https://api.example.com{path}")).with(&admin);
        assert_eq!(ask.refused_for(), Some(Reason::UnknownRoute), "{method} {path}");
    }
}

#[test]
fn another_method_is_told_which_would_be_right() {
    let world = World::new();
    let admin = world.key("generic", &["admin"]);
    for (method, path, allowed) in [
        ("GET", "/v1/generate", "POST"),
        ("DELETE", "/v1/prompts", "GET, HEAD, POST"),
        ("POST", "/v1/prompts/a", "GET, HEAD, PUT, PATCH, DELETE"),
        ("OPTIONS", "/v1/models", "GET, HEAD"),
        // Not one that can be routed at all.
        ("PROPFIND", "/v1/models", "GET, HEAD"),
    ] {
        let ask = world.request(method, &format!("https://api.example.com{path}")).with(&admin);
        let denial = ask.denied();
        assert_eq!(denial.reason, Reason::MethodNotAllowed, "{method} {path}");
        assert_eq!(denial.allowed.as_deref(), Some(allowed), "{method} {path}");
    }
}

#[test]
fn head_goes_where_get_goes() {
    let world = World::new();
    let made = world.key("generic", &["read"]);
    let ask = |method, path: &str| {
        world.request(method, &format!("https://api.example.com{path}")).with(&made).refused_for()
    };
    assert_eq!(ask("HEAD", "/v1/models"), None);
    assert_eq!(ask("HEAD", "/v1/generate"), Some(Reason::MethodNotAllowed));
    assert_eq!(ask("HEAD", "/v1/webhooks"), Some(Reason::InsufficientPermission));
}

#[test]
fn each_permission_opens_its_routes_and_no_others() {
    let world = World::new();
    let routes = [
        ("POST", "/v1/generate", "read"),
        ("GET", "/v1/models", "read"),
        ("POST", "/v1/prompts", "write"),
        ("PATCH", "/v1/prompts/a", "write"),
        ("DELETE", "/v1/prompts/a", "admin"),
        ("POST", "/v1/webhooks", "webhook"),
        ("DELETE", "/v1/webhooks/a", "webhook"),
    ];
    let granted: [&[&str]; 6] =
        [&[], &["read"], &["write"], &["webhook"], &["read", "write", "webhook"], &["admin"]];
    for permissions in granted {
        let made = world.key("generic", permissions);
        for (method, path, required) in routes {
            let ask = world
                .request(method, &format!("https://api.example.com{path}"))
                .body(r#"{"model":"gpt-4"}"#)
                .with(&made);
            // `admin` implies the others; nothing else implies anything here.
            if permissions.contains(&required) || permissions.contains(&"admin") {
                assert_eq!(ask.permitted(), made.key.id, "{permissions:?} {method} {path}");
            } else {
                let denial = ask.denied();
                assert_eq!(denial.reason, Reason::InsufficientPermission, "{permissions:?} {path}");
                assert_eq!(denial.required.as_deref(), Some(required));
            }
        }
    }
}

#[test]
fn a_permission_that_left_the_vocabulary_grants_nothing() {
    let world = World::new();
    let made = world.key("generic", &["generate", "READ", "read "]);
    let ask = world.request("GET", "https://api.example.com/v1/models").with(&made);
    assert_eq!(ask.refused_for(), Some(Reason::InsufficientPermission));
}

#[test]
fn permissions_of_one_api_are_nothing_to_another() {
    // The bit of `webhook` in one vocabulary is that of `admin` in another: a key opens only the API it was made for.
    let world = World::new();
    let made = world.key("generic", &["admin"]);
    let ask = world.request("GET", "https://api.example.com/v1/analytics/usage").with(&made);
    assert_eq!(ask.refused_for(), Some(Reason::UnknownKey));
}

#[test]
fn a_route_without_permission_is_for_every_valid_key_and_only_for_these() {
    let world = World::new();
    let nothing = world.key("own", &[]);
    let open = || world.request("GET", "https://own.test/open");
    assert_eq!(open().with(&nothing).permitted(), nothing.key.id);
    assert_eq!(open().refused_for(), Some(Reason::MissingKey));
}

#[test]
fn a_wide_route_does_not_open_a_narrow_one() {
    let world = World::new();
    let reader = world.key("own", &["read"]);
    let ask = |method: &str, path: &str| {
        world.request(method, &format!("https://own.test{path}")).with(&reader).refused_for()
    };
    assert_eq!(ask("GET", "/items/a"), None);
    assert_eq!(ask("GET", "/items/special"), Some(Reason::InsufficientPermission));
    assert_eq!(ask("POST", "/items/special"), Some(Reason::MethodNotAllowed));
    for disguise in ["/items/Special", "/items/special/", "/items/special%20"] {
        assert_eq!(ask("GET", disguise), Some(Reason::UnknownRoute), "{disguise}");
    }

    // The fallback of openai's profile needs a permission of its own, and the named routes keep theirs.
    let inference = world.key("openai", &["model.request"]);
    let all = world.key("openai", &["api.all"]);
    let threads = || world.request("GET", "https://api.openai.com/v1/threads/t/messages");
    assert_eq!(threads().with(&inference).refused_for(), Some(Reason::InsufficientPermission));
    assert_eq!(threads().with(&all).permitted(), all.key.id);
    let wrong = world.request("GET", "https://api.openai.com/v1/chat/completions").with(&all);
    assert_eq!(wrong.refused_for(), Some(Reason::MethodNotAllowed));
    let outside = world.request("GET", "https://api.openai.com/dashboard").with(&all);
    assert_eq!(outside.refused_for(), Some(Reason::UnknownRoute));
}
