//! The management API of a running Keyward, asked as a program asks it: JSON over one connection each.

use std::{io::Write as _, net::SocketAddr};

use serde_json::{Value, json};

use crate::{
    keyward::{Api, Keyward, Serve},
    upstream::Upstream,
    wire::Connection,
};

/// Good enough for everybody in tests.
pub const PASSWORD: &str = "correct horse battery";

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Management {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Management {
    /// The settings that make `serve` listen for it, on a free port.
    pub const SETTINGS: &'static str = "\n[management]\naddress = \"127.0.0.1:0\"\nsign_up = true\nrequests_per_minute = 1000000\n";

    /// Where a Keyward with these settings said it listens.
    pub fn of(keyward: &Keyward) -> Self {
        let address = keyward.process.line("line that says where it is managed", 0, |line| {
            let ready: Value = serde_json::from_str(line).ok()?;
            ready.get("management")?.as_str()?.strip_prefix("http://")?.parse().ok()
        });
        Self { address }
    }

    /// Its address as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The status and the body, `null` if there is none.
    pub fn ask(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len().to_string();
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Content-Length", length.as_str())];
        if !token.is_empty() {
            headers.push(("Authorization", &bearer));
        }
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        let mut connection = Connection::open(self.address, "localhost").expect("it listens");
        connection.send_head(method, path, &headers).expect("it reads");
        connection.stream().write_all(body.as_bytes()).expect("it reads");
        let answer = connection.answer().expect("it answers");
        (answer.status(), serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }

    /// What must succeed, as a person with a session or, without a token, as nobody.
    pub fn done(&self, token: &str, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(token, method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Makes the first operator, `ops@example.com`, with the token that the console showed.
    pub fn set_up(&self, keyward: &Keyward) {
        let token = keyward.process.line("setup token", 0, |line| {
            line.trim().starts_with("kwset_").then(|| line.trim().to_owned())
        });
        let body = json!({ "token": token, "email": "ops@example.com", "name": "Ops", "password": PASSWORD });
        self.done("", "POST", "/v1/setup", &body);
    }

    /// Signs up `name@example.com`, who owns a new organization, and gives its id.
    pub fn sign_up(&self, name: &str) -> String {
        let email = format!("{name}@example.com");
        let body =
            json!({ "email": email, "name": name, "password": PASSWORD, "organization": name });
        let made = self.done("", "POST", "/v1/signup", &body);
        made["organization"]["id"].as_str().expect("an id").to_owned()
    }

    /// A session of `name@example.com`.
    pub fn log_in(&self, name: &str) -> String {
        let body = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        let started = self.done("", "POST", "/v1/sessions", &body);
        started["token"].as_str().expect("a token").to_owned()
    }
}

/// A Keyward that is run by `ops@example.com`, and nobody else is known to.
pub struct Managed {
    /// Its process.
    pub keyward: Keyward,
    /// Its management API.
    pub management: Management,
    /// What stands behind its APIs.
    pub upstream: Upstream,
}

impl Managed {
    /// Serves two APIs: `main` on the default profile, to `read` and to `write`; and at a host of its own `inference`, on a profile
    /// whose keys are asked for.
    pub fn start(binary: &str, profile: &str) -> Self {
        let upstream = Upstream::json("{}");
        let main = Api::new("main", upstream.address())
            .route("GET", "/read", "read")
            .route("POST", "/write", "write");
        let asked = Api::new("inference", upstream.address()).profile(profile).host("asked.test");
        let keyward =
            Serve::new(binary).api(main).api(asked).settings(Management::SETTINGS).start();
        let management = Management::of(&keyward);
        management.set_up(&keyward);
        Self { keyward, management, upstream }
    }
}
