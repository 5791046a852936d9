//! Mail through a real mail server: an invitation and a key request arrive, what fails is tried again, what cannot be sent is
//! told in the log, and no request waits for any of it.

use std::process::Command;

use keyward_testkit::{
    Api, Keyward, MailServer, Management, Serve, Upstream, certificates::Certificates,
    management::PASSWORD, wait,
};
use serde_json::{Value, json};

use crate::KEYWARD;

/// A Keyward that sends mail here, with `ada` logged in as the owner of an organization.
struct World {
    keyward: Keyward,
    manage: String,
    ada: String,
    organization: String,
    _upstream: Upstream,
}

fn world(mail: &str) -> World {
    world_in(&[], mail)
}

/// With these environment variables.
fn world_in(environment: &[(&str, &str)], mail: &str) -> World {
    let settings = format!(
        "[mail]\nfrom = \"Keyward <keyward@example.com>\"\nlink = \"https://keys.example.com/\"\n{mail}\n"
    );
    World::start(environment, &settings)
}

impl World {
    fn start(environment: &[(&str, &str)], mail: &str) -> Self {
        let upstream = Upstream::json("{}");
        let serve = Serve::new(KEYWARD)
            .api(Api::new("inference", upstream.address()).profile("aiaas"))
            .settings("\n[management]\naddress = \"127.0.0.1:0\"\nsign_up = true\n")
            .settings(mail)
            .environment("MAIL_PASSWORD", "hush hush");
        let keyward = environment
            .iter()
            .fold(serve, |serve, (name, value)| serve.environment(name, value))
            .start();
        let manage = Management::of(&keyward).url();
        let mut world = Self {
            keyward,
            manage,
            ada: String::new(),
            organization: String::new(),
            _upstream: upstream,
        };
        let made = world.post(
            "",
            "/v1/signup",
            &json!({ "email": "ada@example.com", "name": "Ada", "password": PASSWORD, "organization": "Acme" }),
        );
        world.organization = made["organization"]["id"].as_str().unwrap().to_owned();
        world.ada = world.log_in("ada");
        world
    }

    fn post(&self, token: &str, path: &str, body: &Value) -> Value {
        let shown = format!("Authorization: Bearer {token}");
        let header = ["--header", &shown];
        let done = Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body", "--max-time", "5"])
            .args(if token.is_empty() { &[][..] } else { &header[..] })
            .args(["--json", &body.to_string(), &format!("{}{path}", self.manage)])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{path}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    fn log_in(&self, name: &str) -> String {
        let body = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        self.post("", "/v1/sessions", &body)["token"].as_str().unwrap().to_owned()
    }

    fn invite(&self, name: &str) -> Value {
        let path = format!("/v1/organizations/{}/invitations", self.organization);
        let body = json!({ "email": format!("{name}@example.com"), "role": "developer" });
        self.post(&self.ada, &path, &body)
    }
}

fn server(mail: &MailServer) -> String {
    format!("server = \"smtp://{}\"", mail.address())
}

/// The token in a mail's text.
fn token(text: &str) -> &str {
    let from = text.find("kwinv_").expect("a token");
    text[from..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap()
}

#[test]
fn an_invitation_and_a_request_arrive_at_a_mail_server() {
    let mail = MailServer::start();
    let login = format!(
        "server = \"smtp://ops%40example.com@{}\"\npassword = \"env:MAIL_PASSWORD\"",
        mail.address()
    );
    let world = world(&login);
    let invited = world.invite("dev");
    assert_eq!(invited["token"], Value::Null, "it is in the mail alone");
    let received = mail.mail("dev@example.com", "Invitation to Acme");
    assert_eq!(received.from, "keyward@example.com");
    // `\0ops@example.com\0hush hush` in base 64 (RFC 4616).
    assert_eq!(received.login.as_deref(), Some("PLAIN AG9wc0BleGFtcGxlLmNvbQBodXNoIGh1c2g="));
    assert!(received.text.contains("\nAuto-Submitted: auto-generated\n"), "{}", received.text);
    let body = received.body();
    assert!(body.starts_with("Ada invites you to Acme, as developer.\n"), "{body}");
    assert!(body.contains("curl https://keys.example.com/v1/invitations/accept"), "{body}");
    let accept = json!({ "token": token(&body), "name": "Dev", "password": PASSWORD });
    world.post("", "/v1/invitations/accept", &accept);

    let dev = world.log_in("dev");
    let path = format!("/v1/organizations/{}/key-requests", world.organization);
    let ask = json!({
        "api": "inference", "name": "nightly", "permissions": ["inference:write"],
        "reason": "jobs\n.\nQUIT", "lifetime_seconds": 86_400,
    });
    let asked = world.post(&dev, &path, &ask);
    let told = mail.mail("ada@example.com", "Key request: nightly").body();
    let id = asked["id"].as_str().unwrap();
    assert!(told.starts_with("Dev (dev@example.com) asks for a key in Acme.\n"), "{told}");
    assert!(told.contains(&format!("https://keys.example.com/v1/key-requests/{id}\n")), "{told}");
    assert!(told.contains("    > jobs\n    > .\n    > QUIT\n"), "{told}");

    // The machine's command line tells by mail as well.
    let environment = [("MAIL_PASSWORD", "hush hush")];
    let denied = Command::new(KEYWARD)
        .env_clear()
        .envs(environment)
        .arg("--config")
        .arg(world.keyward.config())
        .args(["requests", "deny", id, "--reason", "not this week"])
        .output()
        .unwrap();
    assert!(denied.status.success(), "{}", String::from_utf8_lossy(&denied.stderr));
    assert!(mail.mail("dev@example.com", "Key denied").body().contains("> not this week"));
    // Without the password it decides all the same, and says that nobody was told.
    let asked = world.post(&dev, &path, &ask);
    let id = asked["id"].as_str().unwrap();
    let silent = world.keyward.cli.run(&format!("requests approve {id} --lifetime 1h"));
    assert!(silent.status.success());
    let warned = String::from_utf8_lossy(&silent.stderr).into_owned();
    assert!(warned.contains("nobody is told by mail: mail: the environment variable"), "{warned}");
    mail.mail("ada@example.com", id);
    let subjects = mail.received().into_iter().map(|one| one.text);
    assert_eq!(subjects.filter(|text| text.contains("Subject: Key approved")).count(), 0);
    let output = world.keyward.process.output();
    assert!(!output.contains("kwinv_") && !output.contains("hush"), "{output}");
}

#[test]
fn what_fails_for_now_is_tried_again_and_what_fails_for_good_is_not() {
    let mail = MailServer::answering(|number| match number {
        0 => "451 come back later",
        1 => "250 taken",
        _ => "554 never",
    });
    let world = world(&server(&mail));
    world.invite("dev");
    mail.mail("dev@example.com", "Invitation to Acme");
    assert_eq!(mail.offered(), 2);
    let output = world.keyward.process.output();
    assert!(
        output.contains("tried again in 1 s") && output.contains("come back later"),
        "{output}"
    );
    world.invite("new");
    let output = wait::until("the log says so", wait::LONG, || {
        let output = world.keyward.process.output();
        output.contains("never").then_some(output)
    });
    assert!(
        output.contains("a mail is not sent") && output.contains("new@example.com"),
        "{output}"
    );
    assert!(!output.contains("kwinv_"), "{output}");
    assert_eq!(mail.offered(), 3);
}

#[test]
fn a_mail_server_that_is_not_there_holds_nobody_up_and_what_waits_at_the_end_is_told() {
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let world = world(&format!("server = \"smtp://{address}\""));
    for name in ["one", "two", "three", "four", "five"] {
        world.invite(name);
    }
    let World { keyward, .. } = world;
    let (status, output) = terminated(keyward);
    assert!(status, "{output}");
    for name in ["one", "two", "three", "four", "five"] {
        let line = output.lines().find(|line| {
            line.contains("Keyward ends before") && line.contains(&format!("{name}@example.com"))
        });
        assert!(line.is_some(), "{name} in {output}");
    }
}

/// Ends it, and gives whether it ended well and all it said.
fn terminated(mut keyward: Keyward) -> (bool, String) {
    let status = keyward.process.terminate();
    (status.success(), keyward.process.output())
}

#[test]
fn a_mail_server_with_tls_gets_mail_if_somebody_vouches_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path(), &["localhost"]);
    let mail = MailServer::with_tls(&certificates);
    let server = format!("server = \"smtps://localhost:{}\"", mail.address().port());
    let known = world_in(&[("SSL_CERT_FILE", certificates.ca.to_str().unwrap())], &server);
    known.invite("dev");
    mail.mail("dev@example.com", "Invitation to Acme");

    let unknown = world(&server);
    unknown.invite("new");
    let output = wait::until("the log says so", wait::LONG, || {
        let output = unknown.keyward.process.output();
        output.contains("could not be sent").then_some(output)
    });
    assert!(output.contains("UnknownIssuer"), "{output}");
    assert!(!output.contains("kwinv_"), "{output}");
    assert_eq!(mail.offered(), 1);
}

#[test]
fn a_mail_server_without_the_tls_that_was_asked_for_gets_nothing() {
    // Speaks no TLS at all: with `smtps` nothing is said in the clear, the greeting of the client neither.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let first = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = [0; 1];
        std::io::Read::read_exact(&mut stream, &mut first).unwrap();
        std::io::Write::write_all(&mut stream, b"220 mail.test\r\n").unwrap();
        first[0]
    });
    let world = world(&format!("server = \"smtps://{address}\""));
    world.invite("dev");
    assert_eq!(first.join().unwrap(), 22, "a TLS handshake (RFC 8446, section 5.1)");
    let output = wait::until("the log says so", wait::LONG, || {
        let output = world.keyward.process.output();
        output.contains("could not be sent").then_some(output)
    });
    assert!(!output.contains("kwinv_"), "{output}");
}

#[test]
fn without_mail_the_log_says_what_would_have_gone_to_whom() {
    let world = World::start(&[], "");
    let invited = world.invite("dev");
    let token = invited["token"].as_str().expect("the answer holds it");
    let named = |line: &str| line.contains("dev@example.com").then(|| line.to_owned());
    let line = world.keyward.process.line("line that names whom", 0, named);
    assert!(line.contains("no mail is configured") && line.contains("invitation"), "{line}");
    let output = world.keyward.process.output();
    assert!(!output.contains(token), "{output}");
}
