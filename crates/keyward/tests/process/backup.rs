//! A backup of a server at work, and a restore once it has ended.

use keyward_testkit::{Serve, Upstream, wait};

use crate::{KEYWARD, api, make_key, make_organization, refused, status};

#[test]
fn a_backup_of_a_server_at_work_brings_back_what_was_there() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let (old_id, old) = make_key(&keyward.cli, "old");
    accepted_write(&keyward, &old);
    let file = keyward.data().with_file_name("backup");
    let backup = keyward.cli.json(&format!("backup {}", file.display()));
    assert!(backup["not_in_it"][0].as_str().unwrap().ends_with("/pepper"));
    assert!(!keyward.cli.run(&format!("backup {}", file.display())).status.success());
    keyward.cli.json(&format!("backup {} --force", file.display()));

    keyward.cli.json(&format!("keys revoke {old_id}"));
    let (_, new) = make_key(&keyward.cli, "new");
    accepted_write(&keyward, &new);
    refused(&keyward, &old);
    let restore = format!("restore {}", file.display());
    let output = keyward.cli.run(&restore);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("stop it first"), "{told}");

    let (_, stopped) = keyward.terminate();
    let restored = stopped.cli.json(&restore);
    assert_eq!(restored["changes_undone"], 2, "{restored}");
    assert_eq!(restored["ended_keys_alive_again"], 1, "{restored}");
    assert!(std::fs::metadata(restored["kept_at"].as_str().unwrap()).is_ok());
    let keyward = stopped.start();
    accepted_write(&keyward, &old);
    assert_eq!(status(&keyward, "/read/x", &new), 401, "made since");
    let proof = keyward.cli.json("audit verify");
    assert_eq!(proof["head"], restored["audit_head"]);
}

/// Waits until a key that may write is known.
fn accepted_write(keyward: &keyward_testkit::Keyward, secret: &str) {
    wait::until("the key is known", wait::LONG, || {
        (status(keyward, "/read/x", secret) != 401).then_some(())
    });
}
