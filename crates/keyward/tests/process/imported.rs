//! Keys of another system move in: their holders change nothing, and what is kept of them becomes like ours.

use std::{collections::BTreeMap, process::Command};

use keyward_testkit::{Keyward, Serve, Upstream, wait};
use sha2::{Digest as _, Sha256, Sha512};

use crate::{KEYWARD, api, bearer, connect, make_organization, refused, status};

/// As another system made them, one for each form; none has the format of the API's own keys.
const KEYS: [(&str, &str); 4] = [
    ("clear", "sk_live_4eC39HqLyjWDarjtT1zdp7dcX9"),
    ("sha256", "sk_live_Zk7Qw2Lm9Xv4Bn8Rt5Yh3Jd6Pf"),
    ("sha512", "sk_live_Hc5Ue8Tg2Ki7Os4Wa9Lp6Nx3Mv"),
    ("bcrypt", "sk_live_Df3Gj6Vb9Cq2Ez5Ro8Iu4Ty7Wn"),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rows() -> String {
    let [(_, clear), (_, sha256), (_, sha512), (_, bcrypt)] = KEYS;
    format!(
        "name,plaintext,digest,algorithm,prefix,permissions\n\
         clear,{clear},,,,read\n\
         sha256,,{},sha256,,read\n\
         sha512,,{},sha512,,read\n\
         bcrypt,,{},bcrypt,sk_live_Df3G,read\n\
         wrong,,,,,read\n",
        hex(&Sha256::digest(sha256)),
        hex(&Sha512::digest(sha512)),
        bcrypt::hash(bcrypt, 5).unwrap(),
    )
}

/// Fails where a file of the data folder, or what the process said, holds a key, or what the other system kept of one.
fn nothing_came_through(keyward: &Keyward) {
    let [_, (_, sha256), (_, sha512), _] = KEYS;
    let mut hidden: Vec<Vec<u8>> = KEYS.iter().map(|(_, key)| key.as_bytes().to_vec()).collect();
    hidden.push(Sha256::digest(sha256).to_vec());
    hidden.push(Sha512::digest(sha512).to_vec());
    hidden.push(hex(&Sha256::digest(sha256)).into_bytes());
    hidden.push(b"$2b$05$".to_vec());
    let files = std::fs::read_dir(keyward.data()).unwrap().map(|file| file.unwrap().path());
    let mut places: Vec<_> =
        files.filter(|file| file.is_file()).map(|file| std::fs::read(file).unwrap()).collect();
    assert!(places.iter().any(|place| place.starts_with(b"SQLite format 3")));
    places.push(keyward.process.output().into_bytes());
    for hidden in hidden {
        let found = |place: &Vec<u8>| place.windows(hidden.len()).any(|window| window == hidden);
        assert!(!places.iter().any(found), "{}", String::from_utf8_lossy(&hidden));
    }
}

/// How each key is kept, by its name, as the export tells.
fn kept_as(keyward: &Keyward) -> BTreeMap<String, String> {
    let output = keyward.cli.run("keys export --organization acme");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let cells = |line: &str| {
        (line.split(',').nth(1).unwrap().to_owned(), line.rsplit(',').nth(1).unwrap().to_owned())
    };
    text.lines().skip(1).map(cells).collect()
}

fn digests(keyward: &Keyward) -> Vec<Vec<u8>> {
    let database = rusqlite::Connection::open(keyward.data().join("keyward.db")).unwrap();
    let mut statement = database.prepare("SELECT digest FROM secrets ORDER BY key_seq").unwrap();
    let digests = statement.query_map([], |row| row.get(0)).unwrap();
    digests.map(Result::unwrap).collect()
}

/// What a caller gets, in the words of the API's profile.
fn said(keyward: &Keyward, secret: &str) -> (u16, serde_json::Value) {
    let mut connection = connect(keyward);
    connection.send_head("GET", "/read/x", &[("Authorization", &bearer(secret))]).unwrap();
    let head = connection.head().unwrap();
    let mut body = String::new();
    std::io::Read::read_to_string(&mut connection.body(&head), &mut body).unwrap();
    let mut said: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    // A request has its own number, and a wrong key its own fingerprint.
    for member in ["request_id", "key_id", "instance"] {
        said["error"].as_object_mut().map(|error| error.remove(member));
        said.as_object_mut().map(|said| said.remove(member));
    }
    (head.status(), said)
}

#[test]
fn keys_of_another_system_work_at_once_and_become_like_ours() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let nonsense = "sk_live_Df3G_but_not_the_same_key_0";
    let before = said(&keyward, nonsense);
    assert_eq!(before.0, 401);

    let file = keyward.data().join("keys.csv");
    std::fs::write(&file, rows()).unwrap();
    let import = format!("keys import {} --api main --organization acme", file.display());
    let dry = keyward.cli.run(&format!("{import} --dry-run"));
    let report: serde_json::Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!((&report["imported"], &report["refused"]), (&4.into(), &1.into()), "{report}");
    assert!(kept_as(&keyward).is_empty());
    let done = keyward.cli.run(&import);
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&report["imported"], &report["problems"][0]["line"]), (&4.into(), &6.into()));
    assert!(!done.status.success(), "a row was refused");
    let forms = kept_as(&keyward);
    for (name, form) in
        [("clear", "imported"), ("sha256", "sha256"), ("sha512", "sha512"), ("bcrypt", "bcrypt")]
    {
        assert_eq!(forms[name], form);
    }
    let kept = digests(&keyward);
    std::fs::remove_file(file).unwrap();
    nothing_came_through(&keyward);
    let explain = "explain --url http://localhost/read/x --key-stdin";
    for (name, secret) in KEYS {
        let told = keyward.cli.run_with_input(explain, secret);
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(told["verdict"], "permit", "{name}: {told}");
    }
    let told = keyward.cli.run_with_input(explain, nonsense);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["refusal"]["reason"], "malformed_key", "{told}");

    for (name, secret) in KEYS {
        wait::until(&format!("{name} is accepted"), wait::LONG, || {
            (status(&keyward, "/read/x", secret) == 200).then_some(())
        });
        // By what most people use.
        let url = format!("http://{}/read/x", keyward.address);
        let curl = Command::new("curl")
            .args(["--silent", "--fail", "--output", "/dev/null", "--header"])
            .arg(format!("Authorization: {}", bearer(secret)))
            .arg(url)
            .status()
            .unwrap();
        assert!(curl.success(), "{name}");
    }
    assert_eq!(said(&keyward, nonsense), before, "whoever is not known is told the same as before");

    wait::until("every key is kept as ours", wait::LONG, || {
        kept_as(&keyward).values().all(|form| form == "imported").then_some(())
    });
    let now = digests(&keyward);
    assert_eq!(kept[0], now[0], "in the clear, it was kept as ours from the start");
    assert!(kept.iter().zip(&now).skip(1).all(|(before, after)| before != after));
    for (_, secret) in KEYS {
        assert_eq!(status(&keyward, "/read/x", secret), 200);
    }
    nothing_came_through(&keyward);
    let (_, stopped) = keyward.terminate();
    let keyward = stopped.start();
    for (name, secret) in KEYS {
        assert_eq!(status(&keyward, "/read/x", secret), 200, "{name} after a restart");
    }
    assert!(keyward.cli.run("audit verify").status.success());
    let exported = keyward.cli.run("keys export --format jsonl");
    let (_, bcrypt) = KEYS[3];
    let first: serde_json::Value = exported
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .find(|key| key["name"] == "bcrypt")
        .unwrap();
    keyward.cli.json(&format!("keys revoke {}", first["id"].as_str().unwrap()));
    refused(&keyward, bcrypt);
}

#[test]
fn a_key_known_by_a_bcrypt_hash_works_before_anything_can_be_written() {
    let upstream = Upstream::json("{}");
    let keyward = Serve::new(KEYWARD).api(api(upstream.address())).start();
    make_organization(&keyward.cli);
    let import = "keys import - --api main --organization acme --format csv";
    let done = keyward.cli.run_with_input(import, &rows());
    assert!(!done.stdout.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let (_, secret) = KEYS[3];
    wait::until("the key is accepted", wait::LONG, || {
        (status(&keyward, "/read/x", secret) == 200).then_some(())
    });
    // The process is killed before or after it was kept as ours: it works either way.
    let keyward = keyward.kill().start();
    assert_eq!(status(&keyward, "/read/x", secret), 200);
}
