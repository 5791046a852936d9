//! Request fields that must belong to the key: organization, model id, model, wherever they stand, and read as every
//! reader behind us would read them.

use keyward_core::{
    decide::{self, Body, Identity, Progress},
    verdict::{Reason, Verdict},
};

use crate::world::{self, Ask, Made, World};

const INVALID: Option<Reason> = Some(Reason::InvalidBody);
const MISSING: Option<Reason> = Some(Reason::MissingField);
const FOREIGN_ID: Option<Reason> = Some(Reason::ForeignModelId);
const NOT_ALLOWED: Option<Reason> = Some(Reason::ModelNotAllowed);

#[test]
fn anunzi_demands_a_model_id_of_the_own_client_in_the_body() {
    let world = World::new();
    let made = world.key("anunzi", &["assistants:write"]);
    for (body, reason) in [
        (r#"{"model_id":"151531531x15361351","name":"Test Assistant"}"#, None),
        (r#"{"name":"Test Assistant"}"#, MISSING),
        (r"{}", MISSING),
        (r#"{"model_id":null}"#, MISSING),
        (r#"{"model_id":151531531}"#, MISSING),
        (r#"{"model_id":["151531531x15361351"]}"#, MISSING),
        (r#"{"model_id":{"model_id":"151531531x15361351"}}"#, MISSING),
        (r#"{"data":{"model_id":"151531531x15361351"}}"#, MISSING),
        (r#"{"model_id":"999999999x99999999"}"#, FOREIGN_ID),
        (r#"{"model_id":""}"#, FOREIGN_ID),
        (r#"{"model_id":"151531531X15361351"}"#, FOREIGN_ID),
        (r#"{"model_id":"151531531x15361351 "}"#, FOREIGN_ID),
        (r#"[{"model_id":"151531531x15361351"}]"#, INVALID),
        (r#"{"model_id":"151531531x15361351""#, INVALID),
        ("", INVALID),
        ("model_id=151531531x15361351", INVALID),
    ] {
        let ask = world.request("POST", "https://api.anunzi.net/v2/assistants").with(&made);
        assert_eq!(ask.body(body).refused_for(), reason, "{body}");
    }
    let without = world.request("POST", "https://api.anunzi.net/v2/assistants").with(&made);
    assert_eq!(without.refused_for(), INVALID, "no body at all");
}

#[test]
fn anunzi_takes_a_model_id_in_the_query_where_one_is_given() {
    let world = World::new();
    let made = world.key("anunzi", &["assistants:read", "calls:read"]);
    for (target, reason) in [
        ("assistants", None),
        ("assistants?", None),
        ("assistants?limit=1", None),
        ("assistants?model_id=151531531x15361351", None),
        ("assistants?model_id=151531531%7815361351", None),
        ("assistants?model_id=999999999x99999999", FOREIGN_ID),
        ("assistants?model_id=", FOREIGN_ID),
        ("assistants?model_id", FOREIGN_ID),
        ("assistants?model_id=151531531x15361351&model_id=999999999x99999999", INVALID),
        ("assistants?model_id=151531531x15361351&model%5fid=999999999x99999999", INVALID),
        ("assistants?limit=1;model_id=999999999x99999999", INVALID),
        // Listing calls demands it.
        ("calls", MISSING),
        ("calls?model_id=151531531x15361351", None),
        ("calls?model_id=999999999x99999999", FOREIGN_ID),
    ] {
        let ask = world.request("GET", &format!("https://api.anunzi.net/v2/{target}")).with(&made);
        assert_eq!(ask.refused_for(), reason, "{target}");
    }
}

#[test]
fn anunzi_takes_a_model_id_in_the_path() {
    let world = World::new();
    let made = world.key("anunzi", &["assistants:write"]);
    for (id, reason) in [
        ("151531531x15361351", None),
        ("999999999x99999999", FOREIGN_ID),
        // Encoded in a path, it could be read in two ways.
        ("151531531%C3%A4", MISSING),
    ] {
        let url = format!("https://api.anunzi.net/v2/assistants/{id}");
        for method in ["GET", "DELETE"] {
            assert_eq!(world.request(method, &url).with(&made).refused_for(), reason, "{id}");
        }
    }
}

#[test]
fn a_model_id_belongs_to_one_client() {
    let world = World::new();
    let other = world.key_with("anunzi", &["assistants:write"], |key, _| {
        key.organization = world::OTHER.parse().unwrap();
    });
    let ask = |id: &str| {
        let body = format!(r#"{{"model_id":"{id}"}}"#);
        world.request("POST", "https://api.anunzi.net/v2/assistants").with(&other).body(&body)
    };
    assert_eq!(ask(world::OTHER_MODEL_ID).refused_for(), None);
    let denial = ask(world::HOME_MODEL_ID).denied();
    assert_eq!(denial.reason, Reason::ForeignModelId);
    assert_eq!(
        (denial.field.as_deref(), denial.value.as_deref()),
        (Some("model_id"), Some(world::HOME_MODEL_ID))
    );
}

fn freddy<'w>(world: &'w World, made: &Made, body: &str) -> Ask<'w> {
    world.request("POST", "https://api.aitronos.com/v1/model/response").with(made).body(body)
}

#[test]
fn freddy_demands_the_key_s_own_organization() {
    let world = World::new();
    let made = world.key("freddy", &["responses:write"]);
    let foreign = Some(Reason::ForeignOrganization);
    for (body, reason) in [
        (
            r#"{"organization_id":"org_your_org_id","model":"gpt-4o","inputs":[{"role":"user","content":"Hello!"}]}"#,
            None,
        ),
        (r#"{"inputs":[],"organization_id":"org_your_org_id"}"#, None),
        (r#"{"organization_id":"org_other","model":"gpt-4o"}"#, foreign),
        (r#"{"organization_id":"ORG_YOUR_ORG_ID"}"#, foreign),
        (r#"{"organization_id":""}"#, foreign),
        (r#"{"model":"gpt-4o"}"#, MISSING),
        (r#"{"organization_id":7}"#, MISSING),
        (r#"{"inputs":[{"organization_id":"org_your_org_id"}]}"#, MISSING),
        (r#"{"organization_id":"org_your_org_id","organization_id":"org_other"}"#, INVALID),
        (r#"{"organization_id":"org_your_org_id","Organization_Id":"org_other"}"#, INVALID),
        (r#"{"organization_id":"org_your_org_id"} {"organization_id":"org_other"}"#, INVALID),
    ] {
        assert_eq!(freddy(&world, &made, body).refused_for(), reason, "{body}");
    }
}

#[test]
fn freddy_binds_the_organization_in_the_query_where_one_is_given() {
    let world = World::new();
    let made = world.key("freddy", &["models:read"]);
    for (query, reason) in [
        ("", None),
        ("?organization_id=org_your_org_id", None),
        ("?organization_id=org_other", Some(Reason::ForeignOrganization)),
    ] {
        let url = format!("https://api.aitronos.com/v1/models{query}");
        assert_eq!(world.request("GET", &url).with(&made).refused_for(), reason, "{query}");
    }
}

fn generate<'w>(world: &'w World, made: &Made, body: &str) -> Ask<'w> {
    world.request("POST", "https://api.example.com/v1/generate").with(made).body(body)
}

#[test]
fn a_key_without_a_list_may_ask_for_every_model_and_one_with_a_list_for_these() {
    let world = World::new();
    let free = world.key("generic", &["read"]);
    let one = world.key_with("generic", &["read"], |key, _| {
        key.allowed_models = Some(vec!["allowed".to_owned()]);
    });
    let none = world.key_with("generic", &["read"], |key, _| key.allowed_models = Some(vec![]));
    for (model, of_free, of_one, of_none) in [
        ("allowed", None, None, NOT_ALLOWED),
        ("forbidden", None, NOT_ALLOWED, NOT_ALLOWED),
        ("allowed-too", None, NOT_ALLOWED, NOT_ALLOWED),
        ("Allowed", None, NOT_ALLOWED, NOT_ALLOWED),
        ("", None, NOT_ALLOWED, NOT_ALLOWED),
    ] {
        let body = format!(r#"{{"prompt":"x","model":"{model}"}}"#);
        let asked = |made| generate(&world, made, &body).refused_for();
        assert_eq!(
            (asked(&free), asked(&one), asked(&none)),
            (of_free, of_one, of_none),
            "{model}"
        );
    }
    // The guide does not demand a model; but what the upstream chooses where none is named may be any.
    assert_eq!(generate(&world, &free, r#"{"prompt":"x"}"#).refused_for(), None);
    assert_eq!(generate(&world, &one, r#"{"prompt":"x"}"#).refused_for(), MISSING);
}

#[test]
fn a_key_confined_to_models_does_not_get_around_its_list_where_no_model_is_named() {
    let world = World::new();
    let confined = world.key_with("openai", &["api.all"], |key, _| {
        key.allowed_models = Some(vec!["gpt-4o".to_owned()]);
    });
    let free = world.key("openai", &["api.all"]);
    let ask = |made, method, path| {
        world.request(method, &format!("https://api.openai.com{path}")).with(made).refused_for()
    };
    for (method, path, of_confined) in [
        ("POST", "/v1/batches", NOT_ALLOWED),
        ("POST", "/v1/audio/transcriptions", NOT_ALLOWED),
        ("GET", "/v1/models", None),
        ("GET", "/v1/batches", None),
    ] {
        assert_eq!(ask(&free, method, path), None, "{method} {path}");
        assert_eq!(ask(&confined, method, path), of_confined, "{method} {path}");
    }
    // Behind a change of protocol any model could be called.
    let upgrading = |made| {
        let request = world.request("GET", "https://api.openai.com/v1/models").with(made);
        request.header("Upgrade", "websocket").refused_for()
    };
    assert_eq!((upgrading(&free), upgrading(&confined)), (None, NOT_ALLOWED));
}

#[test]
fn key_and_organization_must_both_allow_a_model() {
    let world = World::new();
    let of = |models: Option<&[&str]>| {
        world.key_with("generic", &["read"], |key, _| {
            key.organization = world::NARROW.parse().unwrap();
            key.allowed_models = models.map(|all| all.iter().map(|m| (*m).to_owned()).collect());
        })
    };
    let (any, some) = (of(None), of(Some(&["gpt-4", "gpt-4o"])));
    for (model, by_any, by_some) in [
        ("gpt-4", None, None),
        ("gpt-4o-mini", None, NOT_ALLOWED),
        ("gpt-4o", NOT_ALLOWED, NOT_ALLOWED),
    ] {
        let body = format!(r#"{{"model":"{model}"}}"#);
        assert_eq!(generate(&world, &any, &body).refused_for(), by_any, "{model}");
        assert_eq!(generate(&world, &some, &body).refused_for(), by_some, "{model}");
    }
}

/// CVE-2026-49468 and its kin: where two readers could see two models, the request is refused, whichever is allowed.
#[test]
fn a_body_that_two_readers_could_read_differently_is_refused() {
    let world = World::new();
    let made = world.key_with("generic", &["read"], |key, _| {
        key.allowed_models = Some(vec!["allowed".to_owned()]);
    });
    for (body, reason) in [
        (r#"{"model":"allowed"}"#, None),
        (r#"{"model":"allowed","model":"forbidden"}"#, INVALID),
        (r#"{"model":"forbidden","model":"allowed"}"#, INVALID),
        (r#"{"model":"allowed","model":"allowed"}"#, INVALID),
        (r#"{"mod\u0065l":"forbidden"}"#, INVALID),
        (r#"{"mod\u0065l":"allowed"}"#, INVALID),
        (r#"{"model":"allowed","mod\u0065l":"forbidden"}"#, INVALID),
        (r#"{"model":"allowed","Model":"forbidden"}"#, INVALID),
        (r#"{"MODEL":"forbidden"}"#, INVALID),
        ("{\"model\":\"allowed\",\"mode\u{2113}\":\"forbidden\"}", None),
        (r#"{"model":"allowed"}{"model":"forbidden"}"#, INVALID),
        ("{\"model\":\"allowed\"}\n{\"model\":\"forbidden\"}", INVALID),
        (r#"{"model":"allowed"} trailing"#, INVALID),
        (r#"{"model":"allowed",}"#, INVALID),
        (r#"{"model":["allowed"]}"#, MISSING),
        (r#"{"model":{"name":"allowed"}}"#, MISSING),
        (r#"{"model":true}"#, MISSING),
        (r#"{"model":null}"#, MISSING),
        // A value written with escapes means the same to every reader.
        (r#"{"model":"allow\u0065d"}"#, None),
        (r#"{"model":"forbidd\u0065n"}"#, NOT_ALLOWED),
        (r#"{"prompt":"{\"model\":\"forbidden\"}","model":"allowed"}"#, None),
        (r#"{"prompt":{"model":"forbidden"},"model":"allowed"}"#, None),
    ] {
        assert_eq!(generate(&world, &made, body).refused_for(), reason, "{body}");
    }
    let mut not_utf8 = generate(&world, &made, "");
    not_utf8.body = Some(b"{\"model\":\"allowed\",\"x\":\"\xff\"}".to_vec());
    assert_eq!(not_utf8.refused_for(), INVALID);
}

#[test]
fn a_model_is_bound_in_the_path_the_query_and_inside_objects_too() {
    let world = World::new();
    let confined = |api: &str, permission: &str| {
        world.key_with(api, &[permission], |key, _| {
            key.allowed_models = Some(vec!["gpt-4o".to_owned()]);
        })
    };
    let openai = confined("openai", "api.all");
    for (url, reason) in [
        ("https://api.openai.com/v1/models/gpt-4o", None),
        ("https://api.openai.com/v1/models/gpt-4", NOT_ALLOWED),
        ("https://api.openai.com/v1/realtime?model=gpt-4o", None),
        ("https://api.openai.com/v1/realtime?model=gpt-4", NOT_ALLOWED),
        ("https://api.openai.com/v1/realtime?model=gpt-4o&model=gpt-4", INVALID),
    ] {
        assert_eq!(world.request("GET", url).with(&openai).refused_for(), reason, "{url}");
    }
    for path in ["chat/completions", "responses", "embeddings", "completions", "images/generations"]
    {
        let url = format!("https://api.openai.com/v1/{path}");
        let ask = |body| world.request("POST", &url).with(&openai).body(body).refused_for();
        assert_eq!(ask(r#"{"model":"gpt-4o"}"#), None, "{path}");
        assert_eq!(ask(r#"{"model":"gpt-4"}"#), NOT_ALLOWED, "{path}");
    }
    let own = confined("own", "read");
    for (body, reason) in [
        (r#"{"options":{"model":"gpt-4o"}}"#, None),
        (r#"{"options":{"model":"gpt-4"}}"#, NOT_ALLOWED),
        (r#"{"options":{}}"#, MISSING),
        (r#"{"model":"gpt-4o"}"#, MISSING),
        (r#"{"options":"gpt-4o"}"#, INVALID),
        (r#"{"options":{"model":"gpt-4o"},"options":{"model":"gpt-4"}}"#, INVALID),
        (r#"{"options":{"model":"gpt-4o","model":"gpt-4"}}"#, INVALID),
        (r#"{"options":{"model":"gpt-4o"},"Options":{"model":"gpt-4"}}"#, INVALID),
    ] {
        let ask = world.request("POST", "https://own.test/deep").with(&own).body(body);
        assert_eq!(ask.refused_for(), reason, "{body}");
    }
}

#[test]
fn an_organization_is_bound_in_the_path() {
    let world = World::new();
    let made = world.key("own", &["read"]);
    let ask = |org: &str| world.request("GET", &format!("https://own.test/orgs/{org}")).with(&made);
    assert_eq!(ask(world::HOME).refused_for(), None);
    assert_eq!(ask(world::OTHER).refused_for(), Some(Reason::ForeignOrganization));
}

#[test]
fn the_body_is_asked_for_only_when_all_before_it_holds_and_the_route_reads_it() {
    let world = World::new();
    let progress = |ask: &Ask<'_>, body: Body<'_>| {
        let facts = ask.facts();
        let Identity::Known(caller) = decide::identify(&world.snapshot, &facts).unwrap() else {
            panic!("nothing was imported")
        };
        decide::authorize(&world.snapshot, &facts, &caller, body, ask.now)
    };
    let url = "https://api.example.com/v1/generate";
    let good = world.request("POST", url).with(&world.key("generic", &["read"]));
    assert!(matches!(progress(&good, Body::NotRead), Progress::BodyWanted));
    let json = Body::Json(br#"{"model":"gpt-4"}"#);
    assert!(matches!(progress(&good, json), Progress::Decided(Verdict::Permit(_))));
    let refused = progress(&good, Body::Unreadable("The body is compressed; send it plainly."));
    let Progress::Decided(Verdict::Denial(denial)) = refused else { panic!("{refused:?}") };
    assert_eq!(denial.reason, Reason::InvalidBody);
    assert_eq!(denial.detail, "The body is compressed; send it plainly.");

    let powerless = world.request("POST", url).with(&world.key("generic", &["write"]));
    assert!(matches!(progress(&powerless, Body::NotRead), Progress::Decided(Verdict::Denial(_))));
    let bodiless = world
        .request("GET", "https://api.example.com/v1/models")
        .with(&world.key("generic", &["read"]));
    assert!(matches!(progress(&bodiless, Body::NotRead), Progress::Decided(Verdict::Permit(_))));
    // Where nothing is bound in the body, what it holds is the upstream's affair.
    let unread = Body::Unreadable("whatever");
    assert!(matches!(progress(&bodiless, unread), Progress::Decided(Verdict::Permit(_))));
}

#[test]
fn a_permit_says_which_model_the_request_names() {
    let world = World::new();
    let openai = world.key("openai", &["api.all"]);
    let gemini = world.key("gemini", &["models.generate"]);
    let model = |ask: Ask<'_>| match ask.verdict() {
        Verdict::Permit(permit) => permit.model().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    let chat = |body| {
        let ask = world.request("POST", "https://api.openai.com/v1/chat/completions");
        model(ask.with(&openai).body(body))
    };
    assert_eq!(chat(r#"{"model":"gpt-4\u006f"}"#).as_deref(), Some("gpt-4o"));
    assert_eq!(chat("{}"), None);
    let files = world.request("GET", "https://api.openai.com/v1/files").with(&openai);
    assert_eq!(model(files), None);
    let path =
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent";
    let run = world.request("POST", path).with(&gemini);
    assert_eq!(model(run).as_deref(), Some("gemini-2.5-pro"));
}
