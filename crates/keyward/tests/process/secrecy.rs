//! A plaintext key exists in one answer and nowhere else.

use std::path::PathBuf;

use keyward_testkit::{
    Api, Connection, Keyward, Serve, Upstream,
    keyward::text,
    process::Process,
    search::{self, Search},
    wait,
};

use crate::{KEYWARD, accepted, api, bearer, connect, make_key, make_organization, refused};

/// The default profile's prefix: no secret.
const PREFIX: usize = "kw_".len();
/// Every request is logged. A proxy that is not there speaks HTTPS for the API that demands it.
const SETTINGS: &str = "
[gateway]
log_requests = true
trusted_proxies = [\"192.0.2.1\"]
";
const UPSTREAM_CREDENTIAL: &str = "upstream-credential-7Qz2Vn9LxTf4Rw8K";

#[test]
fn a_key_stands_in_the_clear_only_in_the_answer_that_made_it() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD)
        .environment("KEYWARD_LOG", "debug")
        .settings(SETTINGS)
        .api(api(upstream.address()).with_credential())
        .api(Api::new("strict", upstream.address()).prefix("/strict").https("required").route(
            "GET",
            "/strict/x",
            "read",
        ))
        .api(
            Api::new("other", upstream.address()).prefix("/other").route("GET", "/other/x", "read"),
        )
        .start();
    make_organization(&keyward.cli);
    let mut search = Search::default();
    let set = keyward.cli.run_with_input("upstreams set-credential main", UPSTREAM_CREDENTIAL);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));

    // Made, used, rotated, used; disabled, revoked.
    let (id, first) = make_key(&keyward.cli, "used");
    let rotated = keyward.cli.json(&format!("keys rotate {id} --overlap 24h"));
    let second = text(&rotated, "secret");
    let (disabled_id, disabled) = make_key(&keyward.cli, "disabled");
    let (revoked_id, revoked) = make_key(&keyward.cli, "revoked");
    for secret in [&first, &second, &disabled, &revoked] {
        search.add(secret, PREFIX);
        accepted(&keyward, secret);
    }
    keyward.cli.json(&format!("keys disable {disabled_id}"));
    keyward.cli.json(&format!("keys revoke {revoked_id}"));
    refused(&keyward, &disabled);
    refused(&keyward, &revoked);
    // It was used after it was replaced.
    let retire = format!("keys retire {id} {} --force", text(&rotated["secrets"][0], "id"));
    keyward.cli.json(&retire);
    refused(&keyward, &first);

    wrong_uses(&keyward, &second);
    exposed(&keyward, &mut search);
    outputs_are_clean(&keyward, &search, &second, &id);

    let folder = keyward.data();
    let (found, files) = search.find_in_files(&folder);
    assert_eq!(found, None, "while it runs: a key in a file");
    let is_log = |file: &PathBuf| file.to_string_lossy().ends_with("-wal");
    assert!(search::files_below(&folder).iter().any(is_log), "{files} files, and no WAL");
    log_is_clean(&search, &keyward.process);
    let received = upstream.received();
    let holds = |text: &str| received.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&id), "the upstream is told which key it was");
    assert!(holds(UPSTREAM_CREDENTIAL), "the upstream is called with its own credential");
    assert_eq!(search.find(&received), None, "a key in what the upstream received");

    // Of the upstream's credential, neither file nor log knows.
    search.add(UPSTREAM_CREDENTIAL, 0);
    log_is_clean(&search, &keyward.process);
    assert_eq!(search.find_in_files(&folder).0, None, "the upstream's credential in a file");
    let (_, stopped) = keyward.terminate();
    assert_eq!(search.find_in_files(&stopped.data()).0, None, "after its end: a key in a file");
    println!(
        "{} secrets looked for in {files} files, the log, and {} bytes at the upstream",
        search.secrets(),
        received.len()
    );
}

/// A key that comes in the clear where HTTPS is demanded: its id is noted, and nothing else of it.
fn exposed(keyward: &Keyward, search: &mut Search) {
    let (id, secret) =
        keyward.cli.create_key("--api strict --organization acme --name exposed --permission read");
    search.add(&secret, PREFIX);
    wait::until("the exposure is in the audit log", wait::LONG, || {
        assert_eq!(crate::status(keyward, "/strict/x", &secret), 403);
        let entries = keyward.cli.json("audit");
        let mut entries = entries["items"].as_array().expect("entries").iter();
        entries.any(|one| one["action"] == "key.expose" && one["subject"]["id"] == id).then_some(())
    });
}

/// What the command line prints of keys that were made before.
fn outputs_are_clean(keyward: &Keyward, search: &Search, secret: &str, id: &str) {
    assert!(search.find(secret.as_bytes()).is_some(), "the search finds what is there");
    for command in ["keys list", &format!("keys show {id}"), "audit --limit 1000"] {
        let output = keyward.cli.run(command);
        assert!(output.status.success(), "{command}");
        assert_eq!(search.find(&output.stdout), None, "a key in the output of {command}");
    }
    let explain = "explain --api main --path /read/x --insecure --key-stdin";
    let output = keyward.cli.run_with_input(explain, secret);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("permit"), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(search.find(&output.stdout), None, "a key in an explanation");
    assert_eq!(search.find(&output.stderr), None, "a key in the errors of an explanation");
}

fn log_is_clean(search: &Search, process: &Process) {
    let log = process.output();
    assert!(log.lines().count() > 5, "it was to log every request:\n{log}");
    if let Some((_, at)) = search.find(log.as_bytes()) {
        let line = log[..at].lines().count();
        panic!("a key in line {line} of the log");
    }
}

/// The status it is answered with, the target, the headers.
type WrongUse<'r> = (u16, &'r str, Vec<(&'r str, &'r str)>);

/// Ways in which a key comes where it does not belong. Each is refused, and none may be remembered.
fn wrong_uses(keyward: &Keyward, secret: &str) {
    let bearer = bearer(secret);
    let basic = format!("Basic {}", search::base64(&format!("user:{secret}")));
    let cut = format!("Bearer {}", &secret[..secret.len() - 1]);
    let two = format!("{bearer}, {bearer}");
    let query = format!("/read/x?api_key={secret}");
    let uses: [WrongUse<'_>; 9] = [
        (401, "/other/x", vec![("Authorization", &bearer)]),
        (404, "/nowhere", vec![("Authorization", &bearer)]),
        (400, "/read/x", vec![("Authorization", &bearer), ("Authorization", &bearer)]),
        (400, "/read/x", vec![("Authorization", &two)]),
        (401, "/read/x", vec![("Authorization", &basic)]),
        (401, "/read/x", vec![("Authorization", secret)]),
        (401, "/read/x", vec![("Authorization", &cut)]),
        (401, "/read/x", vec![("X-API-Key", secret)]),
        (401, &query, vec![]),
    ];
    for (status, target, headers) in uses {
        let answer = connect(keyward).get(target, &headers).unwrap();
        assert_eq!(answer.status(), status, "{}", answer.body.replace(secret, "<the key>"));
        assert!(!answer.body.contains(&secret[PREFIX..]), "the refusal shows the key");
    }
    // In a request that is no HTTP.
    let mut connection: Connection = connect(keyward);
    connection.send_head("GET", "/read/x", &[("Authorization ", &bearer)]).unwrap();
    assert_eq!(connection.answer().unwrap().status(), 400);
}
