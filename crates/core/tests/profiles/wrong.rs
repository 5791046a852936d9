//! Profiles that are wrong refuse to load, and say where, what, and what would be right.

use keyward_core::member::Role;
use keyward_core::profile::{self, File};

use crate::files;

/// The error of a profile called `mine`, beside the shipped ones.
fn error_of(text: &str) -> String {
    let mut files = files();
    files.insert("mine".to_owned(), File::new("mine.toml", text));
    match profile::compile("mine", &files) {
        Err(error) => error.to_string(),
        Ok(_) => "it loads".to_owned(),
    }
}

/// What stands in the file, and the error.
#[rustfmt::skip]
const CASES: &[(&str, &str)] = &[
    (
        "title = 5",
        "mine.toml:1: invalid type: integer `5`, expected a string; correct this line",
    ),
    (
        r#"title = "a"
titel = "b""#,
        "mine.toml:2: unknown field `titel`, expected one of `title`, `inherits`, `key`, `credential`, `transport`, `issuance`, `permissions`, `presets`, `roles`, `routes`, `refusals`, `request_id`, `limits`, `metering`, `demo`; correct this line",
    ),
    (
        r#"[roles]
developer = ["fly"]"#,
        "mine.toml:2: there is no permission `fly`; use one of read, write, admin",
    ),
    (
        "title = \"a\"\n[limits]\nplans = [{ name = \"Gold\" }]\ndefault_plan = \"Silver\"",
        "mine.toml:2: `default_plan` is `Silver`, and no plan is called that; name one of `plans`",
    ),
    (
        "[limits]\nplans = [{ name = \"Gold\", limits = [{ name = \"a\", kind = \"rate\", amount = -1 }] }]",
        "mine.toml:2: an amount is a whole number, or of money a text like \"12.50\"; correct this line",
    ),
    (
        "[limits]\nplans = [{ name = \"Gold\", limits = [{ name = \"a\", kind = \"concurrency\", amount = 1, apis = [\"main\"] }] }]",
        "mine.toml:1: the limit `a` of plan `Gold` names APIs, which a profile does not know; leave `apis` out: it holds at every API of this profile",
    ),
    (
        "[limits]\nplans = [{ name = \"Gold\" }, { name = \"gold\" }]",
        "mine.toml:1: two plans are called `gold`; keep one of them",
    ),
    (
        "[limits]\nplans = [{ name = \"Gold\", limits = [{ name = \"a\", kind = \"rate\", amount = 1 }] }]",
        "mine.toml:2: the limit `a` is a rate: write `window_seconds`, 1 to 86400; what is longer is a quota; correct this line",
    ),
    (
        "[limits]\nplans = [{ name = \"Gold\", limits = [{ name = \"a\", kind = \"concurrency\", amount = 1 }, { name = \"a\", kind = \"concurrency\", amount = 2 }] }]",
        "mine.toml:1: plan `Gold`: two limits are called `a`: give each a name of its own; mend its limits",
    ),
    (
        "[issuance]\nrotate_after_days = 0",
        "mine.toml:2: `rotate_after_days` is 0; write 1 to 3660",
    ),
    (
        r#"title = "a"

[key"#,
        "mine.toml:3: unclosed table, expected `]`; correct this line",
    ),
    (
        r#"inherits = "opnai""#,
        "mine.toml:1: there is no profile `opnai`; use one of aiaas, anthropic, anunzi, default, freddy, gemini, generic, keyward, mindo, mine, openai",
    ),
    (
        r#"inherits = "mine""#,
        "mine.toml:1: profiles inherit in a circle; let one inherit `default`",
    ),
    (
        "[key]
length = 20",
        "mine.toml:1: keys of this format hold 65 random bits, at least 112 are needed: make `length` 28 or more; see [key]",
    ),
    (
        "[key]
length = 300",
        "mine.toml:1: `length` is 300, more than 256: header limits of common servers would cut it; see [key]",
    ),
    (
        r#"[key]
prefix = "my key""#,
        "mine.toml:1: prefix `my key` may hold letters, digits, `_` and `-` only, 24 at most; see [key]",
    ),
    (
        r#"[key]
alphabet = "hex""#,
        r#"mine.toml:1: `checksum = "crc32"` is written in base 62: use `alphabet = "base62"`; see [key]"#,
    ),
    (
        r#"[key]
alphabet = "base64""#,
        "mine.toml:2: unknown variant `base64`, expected `base62` or `hex`; correct this line",
    ),
    (
        "[credential]
slots = []",
        "mine.toml:2: `slots` is empty; name at least one place for a key",
    ),
    (
        r#"[credential]
slots = [{ header = "X-API-Key", query = "key" }]"#,
        r#"mine.toml:2: this is not one place for a key; write { header = "Authorization", scheme = "Bearer" }, { header = "X-API-Key" }, { query = "key" } or { subprotocol = "prefix" }"#,
    ),
    (
        r#"[credential]
slots = [{ header = "X API Key" }]"#,
        "mine.toml:2: a slot's names are made of letters, digits, `-`, `_` and `.`; mend the name",
    ),
    (
        r#"[credential]
slots = [{ query = "key" }, { query = "key" }]"#,
        "mine.toml:2: slot `?key=…` stands twice; keep one",
    ),
    (
        r#"[credential]
realm = 'a"b'"#,
        "mine.toml:2: `realm` has characters that a challenge cannot hold; write it in plain ASCII without quotes and backslashes",
    ),
    (
        r#"[transport]
https = "maybe""#,
        "mine.toml:2: unknown variant `maybe`, expected `required` or `optional`; correct this line",
    ),
    (
        r#"permissions = [{ name = "a b", description = "" }]"#,
        "mine.toml:1: `a b` cannot name a permission: write it in ASCII without spaces, quotes and backslashes; mend the list",
    ),
    (
        r#"
permissions = [{ name = "a", description = "", implies = ["b"] }]"#,
        "mine.toml:2: permission `a` implies `b`, which is not in the vocabulary: a; mend the list",
    ),
    (
        r#"routes = [{ methods = [], path = "/a" }]"#,
        "mine.toml:1: a route without methods matches nothing; name one or more",
    ),
    (
        r#"routes = [{ methods = ["GET"], path = "a" }]"#,
        "mine.toml:1: path pattern `a`: it must begin with `/`; mend `path`",
    ),
    (
        r#"routes = [{ methods = ["GET"], path = "/a", permission = "reed" }]"#,
        "mine.toml:1: there is no permission `reed`; use one of read, write, admin",
    ),
    (
        r#"routes = [{ methods = ["POST"], path = "/a", bindings = [{ kind = "model" }] }]"#,
        "mine.toml:1: a binding stands in exactly one place; give one of `body` (a JSON pointer), `query` or `path` (a parameter)",
    ),
    (
        r#"[refusals.reason.mising_key]
message = "a""#,
        "mine.toml:1: `mising_key` is not a reason for a refusal; use one of bad_request, request_timeout, uri_too_long, head_too_large, unknown_api, insecure_transport, missing_key, several_credentials, malformed_key, unknown_key, revoked_key, disabled_key, expired_key, suspended_organization, foreign_network, unknown_route, method_not_allowed, insufficient_permission, body_too_large, invalid_body, missing_field, foreign_organization, foreign_model_id, model_not_allowed, unpriced_model, unknown_use, rate_limited, concurrency_limited, quota_exhausted, budget_exhausted, credit_exhausted, exceeds_limit, internal, bad_gateway, unavailable, gateway_timeout",
    ),
    (
        r#"[refusals.status.200]
message = "a""#,
        "mine.toml:1: `200` is not the status of a refusal; use a number from 400 to 599",
    ),
    (
        "[refusals.reason.missing_key]
status = 200",
        "mine.toml:1: refusal `missing_key`: `200` is not the status of a refusal; use a number from 400 to 599",
    ),
    (
        r#"[refusals.reason.missing_key]
mesage = "a""#,
        "mine.toml:1: `mesage` in [refusals.reason.missing_key] is shown by no refusal; correct its spelling, write {{mesage}} into the envelope, or remove it",
    ),
    (
        r#"[refusals]
envelope = '{"a":"{{mesage}}"}'"#,
        "mine.toml:2: refusal `bad_request`: hole `{{mesage}}` has no value here: define `mesage` beside the message, or use one of status, title, reason, detail, request_id, timestamp, header, key_id, expired_at, required, field, value, allowed, retry_after, limit, method, path; mend the envelope, or the words in [refusals.reason.bad_request], [refusals.status.400] or [refusals.all]",
    ),
    (
        r#"[refusals]
envelope = '{"a":"{{message}"}'"#,
        "mine.toml:2: refusal `bad_request`: a hole `{{` is not closed by `}}`; mend the envelope, or the words in [refusals.reason.bad_request], [refusals.status.400] or [refusals.all]",
    ),
    (
        r#"[refusals]
envelope = '{"a":{{message}}'"#,
        r#"mine.toml:2: refusal `bad_request`: the body is not JSON once its holes are filled (EOF while parsing an object at line 1 column 20): {"a":{{message}}; mend the envelope, or the words in [refusals.reason.bad_request], [refusals.status.400] or [refusals.all]"#,
    ),
    (
        r#"title = "a"
[refusals]
envelope = '{"a":"{{message}}","id":"{{key_id}}"}'"#,
        "mine.toml:3: refusal `bad_request`: `{{key_id}}` stands inside a string, but this refusal does not always know it; write {{key_id}} without quotes, so that it can be null, or leave it out",
    ),
    (
        r#"[refusals.reason.unknown_key]
message = "{{code}}"
code = "{{message}}""#,
        "mine.toml:1: refusal `unknown_key`: hole `{{code}}` contains itself; mend the envelope, or the words in [refusals.reason.unknown_key], [refusals.status.401] or [refusals.all]",
    ),
    (
        r#"[refusals.all]
headers = { content-type = "text/plain" }"#,
        "mine.toml:1: refusal `bad_request`: header `content-type` is written by the gateway itself; mend `headers`",
    ),
    (
        r#"[refusals.all]
headers = { "x y" = "1" }"#,
        "mine.toml:1: refusal `bad_request`: `x y` is no header's name; mend `headers`",
    ),
    (
        r#"[refusals]
content_type = "text/html""#,
        "mine.toml:2: refusals are JSON, and `text/html` is not; use application/json or a type that ends in +json",
    ),
    (
        r#"[request_id]
header = "request id""#,
        "mine.toml:1: `request id` is no header's name; mend `header` in [request_id]",
    ),
    (
        r#"[limits]
requests = { limit = "a b", remaining = "c", reset = "d" }"#,
        "mine.toml:1: `a b` is no header's name; mend the name in [limits]",
    ),
    (
        r#"[metering]
response = [{ input = "usage" }]"#,
        "mine.toml:1: `usage` does not point at a value: write it like `/usage/input_tokens`, in at most 8 plain names, `*` for each element of an array; mend [metering]",
    ),
];

#[test]
fn every_mistake_is_told_with_its_line_and_its_remedy() {
    for (text, expected) in CASES {
        assert_eq!(error_of(text), *expected, "\n{text}");
    }
}

#[test]
fn a_mistake_that_is_inherited_is_told_in_the_file_that_makes_it() {
    let mut files = files();
    files.insert("base".to_owned(), File::new("base.toml", "\n[key]\nlength = 20"));
    files.insert("mine".to_owned(), File::new("mine.toml", "inherits = \"base\""));
    let error = profile::compile("mine", &files).unwrap_err();
    assert_eq!((&*error.file, error.line), ("base.toml", 2));
}

#[test]
fn a_profile_without_the_default_says_which_there_are() {
    let files = [("mine".to_owned(), File::new("mine.toml", ""))].into();
    let error = profile::compile("mine", &files).unwrap_err();
    assert_eq!(error.to_string(), "mine.toml:1: there is no profile `default`; use one of mine");
}

#[test]
fn presets_are_not_inherited_past_a_vocabulary_of_ones_own() {
    let own = "permissions = [{ name = \"only\", description = \"\" }]";
    let mut files = files();
    files.insert("mine".to_owned(), File::new("mine.toml", own));
    assert!(profile::compile("mine", &files).unwrap().presets.is_empty());
    files.insert("mine".to_owned(), File::new("mine.toml", ""));
    assert_eq!(profile::compile("mine", &files).unwrap().presets.len(), 4);
}

#[test]
fn ceilings_hold_with_what_permissions_imply_and_are_of_one_vocabulary() {
    let mut files = files();
    let own = "[roles]\nadministrator = [\"write\"]";
    files.insert("mine".to_owned(), File::new("mine.toml", own));
    let mine = profile::compile("mine", &files).unwrap();
    let names = |role| mine.ceiling(role).map(|set| mine.vocabulary.names(set).collect::<Vec<_>>());
    assert_eq!(names(Role::Viewer), Some(vec![]));
    assert_eq!(names(Role::Administrator), Some(vec!["read", "write"]));
    assert_eq!((names(Role::Developer), names(Role::Owner)), (None, None), "it states its own");
    let own = "permissions = [{ name = \"only\", description = \"\" }]";
    files.insert("mine".to_owned(), File::new("mine.toml", own));
    assert_eq!(profile::compile("mine", &files).unwrap().ceiling(Role::Developer), None);
    files.insert("mine".to_owned(), File::new("mine.toml", ""));
    let mine = profile::compile("mine", &files).unwrap();
    assert_eq!(mine.ceiling(Role::Developer), mine.vocabulary.get("write"));
}
