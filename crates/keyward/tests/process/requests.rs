//! A key request from asking to the claimed key at the gateway, as two people with curl and a mailbox meet it; and the command
//! line of who runs this Keyward.

use std::{fs, process::Command};

use keyward_testkit::{Api, Keyward, Serve, Upstream};
use serde_json::Value;

use crate::KEYWARD;

/// Where the management API is, from the line that says it.
pub(crate) fn managed_at(keyward: &Keyward) -> String {
    keyward.process.line("line that says where it is managed", 0, |line| {
        let ready: Value = serde_json::from_str(line).ok()?;
        let url = ready.get("management")?.as_str()?;
        Some(url.strip_prefix("http://")?.to_owned())
    })
}

#[test]
fn two_people_get_from_a_request_to_a_key_that_only_one_of_them_saw() {
    let upstream = Upstream::json("{}");
    let api = Api::new("inference", upstream.address()).profile("aiaas");
    let folder = tempfile::tempdir().unwrap();
    let mails = folder.path().join("mail");
    let settings = format!(
        "\n[management]\naddress = \"127.0.0.1:0\"\nsign_up = true\n\
         [mail]\nfolder = \"{}\"\nfrom = \"Keyward <keyward@example.com>\"\n",
        mails.display()
    );
    let keyward = Serve::new(KEYWARD).api(api).settings(&settings).start();
    let (approver, claimed) = (folder.path().join("approver"), folder.path().join("claimed"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process/requests.sh");
    let done = Command::new("bash")
        .arg(script)
        .env("MANAGE", managed_at(&keyward))
        .env("GATEWAY", keyward.address.to_string())
        .env("MAIL", &mails)
        .env("APPROVER", &approver)
        .env("CLAIMED", &claimed)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    for told in [
        "making one oneself: 403\n",
        "asked, and the administrator was told\n",
        "approved for less, and who asked was told\n",
        "claimed by the approver: 403\n",
        "claimed once more: 409\n",
        "granted inference:write: 200\n",
        "asked and not granted inference:read: 403\n",
        "asked and not granted analytics:read: 403\n",
        "never asked admin: 403\n",
    ] {
        assert!(said.contains(told), "{told} in\n{said}");
    }

    // Whoever approved was answered ten times, and never with the key; no mail, log or audit entry holds it either.
    let secret = fs::read_to_string(&claimed).unwrap();
    let secret = secret.trim();
    assert!(secret.len() > 20, "a key was claimed");
    let answers = fs::read_to_string(&approver).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 10, "{answers}");
    assert!(answers.contains("HTTP/1.1 403") && answers.contains("HTTP/1.1 409"), "{answers}");
    let mut seen = vec![("the approver", answers), ("the log", keyward.process.output())];
    for entry in fs::read_dir(&mails).unwrap() {
        seen.push(("a mail", fs::read_to_string(entry.unwrap().path()).unwrap()));
    }
    let log = keyward.cli.json("audit --limit 100");
    seen.push(("the audit log", log.to_string()));
    for (who, text) in seen {
        assert!(!text.contains(secret), "{who} saw the key");
    }
    let actions: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    for action in ["key_request.create", "key_request.approve", "key_request.claim"] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    assert!(keyward.cli.run("audit verify").status.success());

    let listed = keyward.cli.json("requests list --state claimed");
    let request = listed["items"][0].clone();
    assert_eq!(request["requester"]["email"], "dev@example.com");
    assert_eq!(request["decision"]["by"]["email"], "adm@example.com");
    let id = request["id"].as_str().unwrap();
    assert_eq!(keyward.cli.json(&format!("requests show {id}")), request);
    let again = keyward.cli.run(&format!("requests approve {id}"));
    assert_eq!(again.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&again.stderr).unwrap();
    assert_eq!(error["error"]["code"], "conflict");
}
