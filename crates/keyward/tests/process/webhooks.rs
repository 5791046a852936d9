//! Webhooks as their receivers meet them: signed so that the published library verifies it, and told of what happened while no server
//! ran or after one was killed.

use std::{
    process::Command,
    sync::{Arc, Mutex},
};

use keyward_testkit::{Serve, Upstream, places, wait};
use serde_json::Value;

use crate::{KEYWARD, api, make_key, make_organization};

const SETTINGS: &str = "\n[webhooks]\nallowed_networks = [\"127.0.0.0/8\"]\n";

const VERIFY: &str = "import sys, standardwebhooks\n\
    secret, id, at, signature, body = sys.argv[1:]\n\
    headers = {'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature}\n\
    standardwebhooks.Webhook(secret).verify(body, headers)\n";

/// Whether the published library takes it, now.
fn verifies(secret: &str, received: &(Vec<String>, String)) -> bool {
    let (headers, body) = received;
    let mut python = Command::new(places::python());
    python.args(["-c", VERIFY, secret]).args(headers).arg(body);
    python.output().unwrap().status.success()
}

/// What a receiver was sent: the three headers, and the body.
type Received = Arc<Mutex<Vec<(Vec<String>, String)>>>;

#[test]
fn what_happens_is_told_signed_and_outlasts_a_kill() {
    let received = Received::default();
    let keep = received.clone();
    let receiver = Upstream::start(move |mut exchange| {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers = names.map(|name| exchange.head.header(name).unwrap().to_owned());
        let body = String::from_utf8(exchange.body()?).unwrap();
        keep.lock().unwrap().push((headers.to_vec(), body));
        exchange.json(200, "{}")
    });
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).settings(SETTINGS).start();
    make_organization(&keyward.cli);
    let url = format!("http://{}/hook", receiver.address());
    let create = format!("webhooks create --organization acme --url {url} --event key.created");
    let made = keyward.cli.json(&create);
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let sent = |count| {
        let received = received.clone();
        wait::until("the webhook is told", wait::LONG, move || {
            let received = received.lock().unwrap();
            (received.len() >= count).then(|| received[count - 1].clone())
        })
    };
    let (key, key_secret) = make_key(&keyward.cli, "first");
    let first = sent(1);
    let body: Value = serde_json::from_str(&first.1).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["subject"]["id"]),
        (&"key.created".into(), &key.into())
    );
    assert!(!first.1.contains(&key_secret), "{}", first.1);
    assert!(verifies(secret, &first));
    assert!(!verifies(secret, &(first.0, first.1.replace("first", "other"))));

    // Nobody is there to tell of it until the next start.
    let stopped = keyward.kill();
    make_key(&stopped.cli, "second");
    let keyward = stopped.start();
    let second = sent(2);
    assert!(second.1.contains("second") && verifies(secret, &second));

    let delivery = wait::until("it is known to be delivered", wait::LONG, || {
        let listed = keyward.cli.json(&format!("webhooks deliveries {id} --state delivered"));
        let all = listed["items"].as_array().unwrap().clone();
        (all.len() == 2).then(|| all[0]["id"].as_str().unwrap().to_owned())
    });
    keyward.cli.json(&format!("webhooks resend {delivery}"));
    let again = sent(3);
    assert_eq!((&again.0[0], &again.1), (&second.0[0], &second.1), "the same event");
    let shown = keyward.cli.json(&format!("webhooks delivery {delivery}"));
    assert_eq!(shown["payload"]["type"], "key.created");
    let refused = keyward
        .cli
        .run("webhooks create --organization acme --url https://169.254.169.254/latest/meta-data");
    assert_eq!(refused.status.code(), Some(1));
    assert!(!keyward.process.output().contains(secret), "the log holds no secret");
}
