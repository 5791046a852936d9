//! `keyward explain` tells what the gateway would answer, and why.

use insta::assert_snapshot;

use crate::place::{Place, same};

const RUN: &str = "explain --url http://api.test/v1/run --method POST";

#[test]
fn a_request_that_would_pass_is_told_step_by_step() {
    let place = Place::with_organization();
    let (_, secret) = place.key("k");
    let body = r#"--header content-type:application/json --body {"model":"m"}"#;
    let said = place.run_with(&format!("{RUN} --key-stdin {body}"), &format!("{secret}\n"));
    assert_eq!((said.code, &*said.stderr), (0, ""));
    assert!(!said.stdout.contains(&secret));
    assert_snapshot!(same(&said.stdout), @r"
       CHECK         FOUND
    ✓  path          /v1/run can be read one way only
    ✓  api           `main`, on profile `default`
    ✓  freshness     revision 2, confirmed by the store less than a second ago
    ✓  transport     it came in the clear, which this API takes
    ✓  credential    one credential, in `Authorization: Bearer …`
    ✓  format        `kw_` and 52 characters
    ✓  key           key_xxxxxxxxxxxxxxxxxxxxxxxxxx (secret sec_xxxxxxxxxxxxxxxxxxxxxxxxxx)
    ✓  state         active, without an end
    ✓  organization  acme is active
    ✓  network       it may be used from everywhere
    ✓  route         POST /v1/run
    ✓  permission    it has `write`
    ✓  bindings      nothing foreign in model, organization
    ✓  limits        none applies

    The request would be forwarded.
    ");
    let again = place.run_in(&format!("{RUN} {body}"), ("KEYWARD_KEY", &secret));
    assert_eq!(same(&again.stdout), same(&said.stdout));
}

#[test]
fn a_refusal_is_shown_as_its_client_would_see_it() {
    let place = Place::with_organization();
    let (id, _) = place.key("k");
    let body = r#"--header content-type:application/json --body {"model":"a","mod\u0065l":"b"}"#;
    assert_snapshot!(same(&place.done(&format!("{RUN} --key-id {id} {body}"))), @r#"
       CHECK         FOUND
    ✓  path          /v1/run can be read one way only
    ✓  api           `main`, on profile `default`
    ✓  freshness     revision 2, confirmed by the store less than a second ago
    ✓  transport     it came in the clear, which this API takes
    ✓  key           key_xxxxxxxxxxxxxxxxxxxxxxxxxx (secret sec_xxxxxxxxxxxxxxxxxxxxxxxxxx)
    ✓  state         active, without an end
    ✓  organization  acme is active
    ✓  network       it may be used from everywhere
    ✓  route         POST /v1/run
    ✓  permission    it has `write`
    ✗  bindings      Member name `model` is written with escapes; write it in plain characters.

    The request would be refused (invalid_body). Its client would see:

    400 Bad Request
    cache-control: no-store
    content-type: application/json
    x-request-id: req_00000000000000000000000000000000

    {"error":{"type":"invalid_request_error","code":"invalid_body","message":"Member name `model` is written with escapes; write it in plain characters.","param":null,"key_id":"key_xxxxxxxxxxxxxxxxxxxxxxxxxx","request_id":"req_00000000000000000000000000000000"}}

    Note: decided for secret sec_xxxxxxxxxxxxxxxxxxxxxxxxxx (kw_xxxxxxx), without its plaintext: how it is sent was not checked.
    "#);
    place.done(&format!("keys revoke {id}"));
    assert_snapshot!(same(&place.done(&format!("--json {RUN} --key-id {id}"))), @r#"{"steps":[{"check":"path","passed":true,"what":"/v1/run can be read one way only"},{"check":"api","passed":true,"what":"`main`, on profile `default`"},{"check":"freshness","passed":true,"what":"revision 3, confirmed by the store less than a second ago"},{"check":"transport","passed":true,"what":"it came in the clear, which this API takes"},{"check":"key","passed":true,"what":"key_xxxxxxxxxxxxxxxxxxxxxxxxxx (secret sec_xxxxxxxxxxxxxxxxxxxxxxxxxx)"},{"check":"state","passed":false,"what":"The API key was revoked."}],"verdict":"denial","refusal":{"reason":"revoked_key","status":401,"headers":[{"name":"cache-control","value":"no-store"},{"name":"www-authenticate","value":"Bearer realm=\"keyward\", error=\"invalid_token\""},{"name":"content-type","value":"application/json"},{"name":"x-request-id","value":"req_00000000000000000000000000000000"}],"body":"{\"error\":{\"type\":\"authentication_error\",\"code\":\"revoked_key\",\"message\":\"The API key was revoked; use another.\",\"param\":null,\"key_id\":\"key_xxxxxxxxxxxxxxxxxxxxxxxxxx\",\"request_id\":\"req_00000000000000000000000000000000\"}}"},"notes":["decided for secret sec_xxxxxxxxxxxxxxxxxxxxxxxxxx (kw_xxxxxxx), without its plaintext: how it is sent was not checked"]}"#);
}

#[test]
fn limits_that_apply_are_shown_as_they_stand_and_what_has_no_room_is_refused() {
    let place = Place::with_organization();
    let (id, _) = place.key("k");
    place.done(&format!("keys update {id} --limit requests=100/60s --limit gift=0"));
    let models = format!("explain --url http://api.test/v1/models --key-id {id}");
    let said = same(&place.done(&models));
    let (_, limits) = said.split_once("bindings").unwrap();
    assert_snapshot!(limits, @r#"
          the route has none
    ✓  limits        `requests`: 100 left of 100 requests in 60 seconds
    ✗  limits        The credit `gift` has no room for this request.

    The request would be refused (credit_exhausted). Its client would see:

    429 Too Many Requests
    cache-control: no-store
    x-should-retry: false
    content-type: application/json
    ratelimit-policy: "requests";q=100;w=60, "gift";q=0
    ratelimit: "requests";r=100;t=61, "gift";r=0
    x-request-id: req_00000000000000000000000000000000

    {"error":{"type":"rate_limit_error","code":"credit_exhausted","message":"The credit gift is used up; ask the administrator of your organization.","param":null,"key_id":"key_xxxxxxxxxxxxxxxxxxxxxxxxxx","request_id":"req_00000000000000000000000000000000"}}

    Note: decided for secret sec_xxxxxxxxxxxxxxxxxxxxxxxxxx (kw_xxxxxxx), without its plaintext: how it is sent was not checked.

    Note: limits are as they were last saved; what a running gateway counted in the last second, and in the windows of its rates, is not among it.
    "#);
    // What a call of a model may use is estimated from its body, and is more than there will ever be room for.
    let tokens =
        r#"{"limits":[{"name":"t","kind":"quota","unit":"tokens","amount":9,"period":"day"}]}"#;
    place.write("limits.json", tokens);
    let file = place.file("limits.json");
    place.done(&format!("keys update {id} --limits-file {}", file.display()));
    let body = r#"--header content-type:application/json --body {"model":"m"}"#;
    let view = place.json(&format!("{RUN} --key-id {id} {body}"));
    assert_eq!(view["refusal"]["reason"], "exceeds_limit", "{view}");
    assert_eq!(view["steps"].as_array().unwrap().last().unwrap()["check"], "limits");
    let view = place.json(&models);
    assert_eq!(view["verdict"], "permit", "{view}");
}

#[test]
fn every_stage_of_a_request_s_way_can_refuse() {
    let place = Place::with_organization();
    let (id, secret) = place.key("k");
    let reason = |arguments: &str, key: &str| {
        let said = place.run_in(&format!("--json explain {arguments}"), ("KEYWARD_KEY", key));
        assert_eq!(said.code, 0, "{}", said.stderr);
        let view: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let last = view["steps"].as_array().unwrap().last().unwrap().clone();
        let reason = view["refusal"]["reason"].as_str().unwrap_or("none").to_owned();
        format!("{} {reason}", last["check"].as_str().unwrap())
    };
    let cases = [
        ("--url http://api.test/v1/../x", &*secret, "path bad_request"),
        ("--url http://nowhere.test/", &secret, "api unknown_api"),
        ("--api main --path /v1/models", "", "credential missing_key"),
        ("--api main --path /v1/models --header X-Other:1", "kw_short", "format malformed_key"),
        (
            "--api main --path /v1/models --header authorization:Bearer",
            &secret,
            "credential several_credentials",
        ),
        ("--api main --path /v1/models", &secret, "limits none"),
        ("--api main --path /v1/models --method DELETE", &secret, "route method_not_allowed"),
        ("--api main --path /nowhere", &secret, "route unknown_route"),
        ("--api main --path /v1/run --method POST", &secret, "bindings invalid_body"),
        (
            "--api main --path /v1/run?organization=x --method POST --body {\"model\":\"m\"} \
             --header content-type:application/json",
            &secret,
            "bindings foreign_organization",
        ),
        (
            "--api main --path /v1/run --method POST --body {} --header content-type:text/plain",
            &secret,
            "bindings invalid_body",
        ),
        ("--api main --path /v1/run --method POST --body {}", &secret, "bindings invalid_body"),
    ];
    for (arguments, key, expected) in cases {
        assert_eq!(reason(arguments, key), expected, "explain {arguments}");
    }
    let of_other = reason(&format!("--api other --path /speak --key-id {id}"), "");
    assert_eq!(of_other, "key unknown_key");
    place.done("orgs suspend acme");
    let suspended = reason("--api main --path /v1/models", &secret);
    assert_eq!(suspended, "organization suspended_organization");
}

#[test]
fn a_body_is_judged_as_it_is_declared() {
    let place = Place::with_organization();
    let (_, secret) = place.key("k");
    let said = |headers: &str| {
        let arguments = format!(r#"{RUN} --body {{"model":"m"}} {headers}"#);
        place.run_in(arguments.trim_end(), ("KEYWARD_KEY", &secret)).stdout
    };
    let note = "Note: the body came without a Content-Type header";
    let json = "--header content-type:application/json";
    for (headers, told, noted) in [
        (json.to_owned(), "The request would be forwarded.", false),
        (String::new(), "The body is not declared as JSON", true),
        (format!("{json} --header content-encoding:gzip"), "The body is compressed", false),
        (format!("{json} {json}"), "more than one Content-Type header", false),
        (format!("{json};charset*=utf-16"), "declared in another charset", false),
    ] {
        let said = said(&headers);
        assert!(said.contains(told), "{headers}: {said}");
        assert_eq!(said.contains(note), noted, "{headers}: {said}");
    }
}

#[test]
fn what_cannot_be_explained_says_why() {
    let place = Place::with_organization();
    assert_snapshot!(place.refused("explain --api gone --path /"), @r"error: there is no API `gone`: use one of main, other");
    assert_snapshot!(place.refused("explain --url api.test"), @r"error: `api.test` is not an address: write it like https://api.example.com/v1/models");
    assert_eq!(place.run("explain").code, 2);
    assert_eq!(place.run("explain --api main").code, 2);
    let empty = place.run_with("explain --api main --path / --key-stdin", "");
    assert_eq!(empty.code, 1);
    assert!(empty.stderr.contains("nothing came on standard input"), "{}", empty.stderr);
}

#[test]
fn a_key_is_judged_as_gateways_have_it_by_what_its_owner_is_now() {
    let place = Place::with_organization();
    let (id, _) = place.key("k");
    let database = rusqlite::Connection::open(place.file("keyward-data/keyward.db")).unwrap();
    database
        .execute_batch(
            "INSERT INTO users (id, email, name, operator, created_at) \
             VALUES (zeroblob(16), 'ada@example.com', 'Ada', 0, 0); \
             INSERT INTO memberships (organization, user, role, created_at) \
             VALUES ('acme', zeroblob(16), 'developer', 0); \
             UPDATE keys SET owner = zeroblob(16)",
        )
        .unwrap();
    let reason = || {
        let said = place.done(&format!(
            "--json explain --url http://api.test/v1/models --method GET --key-id {id}"
        ));
        let view: serde_json::Value = serde_json::from_str(&said).unwrap();
        view["refusal"]["reason"].as_str().map(str::to_owned)
    };
    assert_eq!(reason(), None);
    database.execute_batch("UPDATE memberships SET role = 'viewer'").unwrap();
    assert_eq!(reason().as_deref(), Some("disabled_key"));
    database.execute_batch("DELETE FROM memberships").unwrap();
    assert_eq!(reason().as_deref(), Some("disabled_key"));
}
