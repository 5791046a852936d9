//! A key request from asking to the claimed key at the gateway, as two people with curl and a mailbox meet it; and the command
//! line of who runs this Keyward.

use std::fs;

use keyward_testkit::{Api, Management, Serve, Upstream};
use serde_json::Value;

use crate::{KEYWARD, script};

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
    let (manage, gateway) = (Management::of(&keyward).url(), format!("http://{}", keyward.address));
    let variables = [
        ("MANAGE", manage.as_ref()),
        ("GATEWAY", gateway.as_ref()),
        ("MAIL", mails.as_ref()),
        ("APPROVER", approver.as_ref()),
        ("CLAIMED", claimed.as_ref()),
    ];
    let told = [
        "making one oneself: 403\n",
        "asked, and the administrator was told\n",
        "approved for less, and who asked was told\n",
        "claimed by the approver: 403\n",
        "claimed once more: 409\n",
        "granted inference:write: 200\n",
        "asked and not granted inference:read: 403\n",
        "asked and not granted analytics:read: 403\n",
        "never asked admin: 403\n",
    ];
    script::run("requests.sh", &variables, &told);

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
