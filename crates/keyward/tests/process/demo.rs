//! What `keyward demo` prints can be pasted.

use std::process::Command;

use keyward_testkit::Demo;

use crate::KEYWARD;

#[test]
fn every_curl_line_the_demo_prints_gives_200_when_it_is_pasted() {
    let demo = Demo::start(KEYWARD);
    let home = tempfile::tempdir().unwrap();
    // Nothing that would help the line to reach anything: only that its status is told.
    std::fs::write(
        home.path().join(".curlrc"),
        "silent\nshow-error\nwrite-out = \"\\n%{http_code}\"\n",
    )
    .unwrap();
    for system in &demo.systems {
        let mut bash = Command::new("bash");
        bash.arg("-c").arg(&system.curl).env_clear().env("HOME", home.path());
        bash.env("CURL_HOME", home.path()).env("PATH", std::env::var_os("PATH").unwrap());
        let output = bash.current_dir(home.path()).output().expect("bash can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {}\n{said}", system.api, system.curl);
        let (_, status) = std::str::from_utf8(&output.stdout).unwrap().rsplit_once('\n').unwrap();
        assert_eq!(status, "200", "{}: {}", system.api, system.curl);
    }
    assert_eq!(demo.systems.len(), 8);
}

#[test]
fn a_demo_that_is_started_again_keeps_its_keys() {
    let mut first = Demo::start(KEYWARD);
    let keys: Vec<_> = first.systems.iter().map(|system| system.key_id.clone()).collect();
    assert!(first.process.terminate().success(), "{}", first.process.output());
    let again = first.restart();
    let still: Vec<_> = again.systems.iter().map(|system| system.key_id.clone()).collect();
    assert_eq!(still, keys);
    for system in &again.systems {
        assert!(again.clients().bash(&system.curl).status == 200, "{}", system.api);
    }
}
