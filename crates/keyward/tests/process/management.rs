//! The management API as its users meet it: a script that uses nothing but curl.

use keyward_testkit::{Management, Serve, Upstream};

use crate::{KEYWARD, api, script};

#[test]
fn a_script_with_nothing_but_curl_gets_from_the_console_to_a_revoked_key() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD)
        .api(api(upstream.address()))
        .settings("\n[management]\naddress = \"127.0.0.1:0\"\nsign_up = true\n")
        .start();
    let setup = keyward.process.line("setup token", 0, |line| {
        line.trim().starts_with("kwset_").then(|| line.trim().to_owned())
    });
    let (manage, gateway) = (Management::of(&keyward).url(), format!("http://{}", keyward.address));
    let variables =
        [("MANAGE", manage.as_ref()), ("GATEWAY", gateway.as_ref()), ("SETUP", setup.as_ref())];
    let told = [
        "the gateway says 200\n",
        "rotated; the gateway says 200 to the old secret and 200 to the new",
        "the old secret was last used from 127.0.0.1, 2 times, of these 1 since it was replaced\n",
        "not retired: secret_in_use; the gateway says 200 to the old secret\n",
        "retired; the gateway says 401 to the old secret and 200 to the new",
        "revoked; the receipt says everywhere, at 20",
        "Z; the gateway says 401\n",
        "made by a program, once; asked again, it is told the same",
        "the gateway says 401 to the management key",
        "refused: the key was revoked: use another",
        "the audit log holds no secret, and says: key.revoke key.revoke key.create key.create key.revoke secret.retire \
         key.rotate key.create invitation.accept invitation.create organization.sign_up\n",
    ];
    script::run("management.sh", &variables, &told);
    // Who did what stands in the audit log, which is whole.
    let log = keyward.cli.json("audit --limit 100");
    let actions: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    for action in [
        "setup.offer",
        "setup.complete",
        "organization.sign_up",
        "session.start",
        "invitation.create",
        "invitation.accept",
        "key.create",
        "key.rotate",
        "secret.retire",
        "key.revoke",
    ] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    let by_a_program = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["actor"]["kind"] == "key" && one["action"] == "key.revoke");
    assert_eq!(by_a_program.unwrap()["actor"]["name"], "provisioning");
    assert!(keyward.cli.run("audit verify").status.success());
    let (status, stopped) = keyward.terminate();
    assert!(status.success());
    // Set up once, no token is shown again.
    let again = stopped.start();
    let output = again.process.output();
    assert!(!output.contains("kwset_"), "{output}");
}
