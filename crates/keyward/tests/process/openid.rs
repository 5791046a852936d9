//! A login with an account elsewhere: a provider that others wrote, in a process of its own, and the management API over TLS.

use std::process::Command;

use keyward_testkit::{Serve, Upstream, certificates::Certificates, places, process::Process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{KEYWARD, api, script};

/// Starts the provider, and gives its issuer with it.
fn provider() -> (Process, String) {
    let bob =
        json!({ "sub": "b-1", "email": "bob@example.com", "email_verified": true, "name": "Bob" });
    let eve = json!({ "sub": "eve", "email": "eve@example.com", "email_verified": true });
    let mut command = Command::new(places::python());
    command.args(["-m", "oidc_provider_mock", "--port", "0"]);
    command.args(["--user-claims", &bob.to_string(), "--user-claims", &eve.to_string()]);
    let process = Process::start("the provider", &mut command);
    let issuer = process.line("line that says where it listens", 0, |line| {
        let (_, rest) = line.split_once("running on http://127.0.0.1:")?;
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("http://127.0.0.1:{port}"))
    });
    (process, issuer)
}

#[test]
fn who_was_invited_logs_in_with_an_account_elsewhere_and_works_by_a_cookie() {
    let (_provider, issuer) = provider();
    let folder = TempDir::new().unwrap();
    let made = Certificates::make(folder.path(), &["localhost"]);
    let upstream = Upstream::json("{}");
    let settings = format!(
        "\n[management]\naddress = \"127.0.0.1:0\"\nsign_up = true\n\
         tls = {{ certificate = \"{}\", key = \"{}\" }}\n\n\
         [[management.openid]]\nname = \"company\"\nissuer = \"{issuer}\"\nclient_id = \"keyward\"\n\
         client_secret = \"env:OPENID_SECRET\"\n",
        made.certificate.display(),
        made.key.display(),
    );
    let keyward = Serve::new(KEYWARD)
        .api(api(upstream.address()))
        .settings(&settings)
        .environment("OPENID_SECRET", "s3cret-of-the-client")
        .start();
    let manage = keyward.process.line("line that says where it is managed", 0, |line| {
        let ready: Value = serde_json::from_str(line).ok()?;
        let port = ready.get("management")?.as_str()?.strip_prefix("https://127.0.0.1:")?;
        Some(format!("https://localhost:{port}"))
    });
    let jar = folder.path().join("jar");
    let variables = [("MANAGE", manage.as_ref()), ("CA", made.ca.as_ref()), ("JAR", jar.as_ref())];
    let told = [
        "came back: 303 https://localhost",
        "is bob@example.com, developer\n",
        "once more: 403\n",
        "from nowhere: foreign_origin\n",
        "from elsewhere: foreign_origin\n",
        "from here: ci\n",
        "a stranger: login_refused\n",
        "out: 401 0\n",
        "hsts: max-age=31536000\n",
    ];
    script::run("openid.sh", &variables, &told);
    let log = keyward.cli.json("audit --limit 100");
    let actions: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    assert!(actions.contains(&"invitation.accept"), "{actions:?}");
    assert!(!log.to_string().contains("s3cret-of-the-client"));
    // Each request has its record, with the template of its path and no token.
    let output = keyward.process.output();
    assert!(output.contains("/v1/sessions/openid/{provider}/callback"), "{output}");
    for secret in ["kwses_", "code=", "s3cret-of-the-client", "correct horse"] {
        assert!(!output.contains(secret), "{secret} in {output}");
    }
}
