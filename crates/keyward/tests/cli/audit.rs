//! The audit log: what it tells, and that whoever changes it behind Keyward's back is found out.

use insta::assert_snapshot;

use crate::place::{Place, text};

/// What somebody does who can write the database.
fn tamper(place: &Place, sql: &str) {
    let database = place.file("keyward-data/keyward.db");
    rusqlite::Connection::open(database).unwrap().execute_batch(sql).unwrap();
}

/// The head that a whole log gives.
fn head(place: &Place) -> String {
    text(&place.json("audit verify")["head"])
}

#[test]
fn what_was_done_is_in_the_audit_log() {
    let place = Place::with_organization();
    let (id, secret) = place.key("k");
    place.done(&format!("keys revoke {id}"));
    let log = place.json("audit --limit 2");
    assert!(!log.to_string().contains(&secret));
    let actions: Vec<_> =
        log["items"].as_array().unwrap().iter().map(|entry| text(&entry["action"])).collect();
    assert_eq!(actions, ["key.revoke", "key.create"]);
    assert_eq!(log["items"][0]["actor"]["interface"], "command_line");
    assert!(place.done("audit").contains("organization.create"));
}

#[test]
fn the_log_is_exported_as_lines_newest_first_and_narrowed() {
    let place = Place::with_organization();
    let (id, secret) = place.key("k");
    place.done(&format!("keys revoke {id}"));
    let lines = |arguments: &str| -> Vec<serde_json::Value> {
        let said = place.done(&format!("audit export {arguments}"));
        assert!(!said.contains(&secret));
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = lines("");
    let listed = place.json("audit");
    assert_eq!(serde_json::json!(all), listed["items"]);
    for (arguments, expected) in [
        (format!("--subject {id}"), vec!["key.revoke", "key.create"]),
        ("--action key.create".to_owned(), vec!["key.create"]),
        ("--organization acme --action organization.".to_owned(), vec!["organization.create"]),
        ("--until 2000-01-01T00:00:00Z".to_owned(), vec![]),
        ("--from 2000-01-01T00:00:00Z --action key.".to_owned(), vec!["key.revoke", "key.create"]),
    ] {
        let told: Vec<_> = lines(&arguments).iter().map(|entry| text(&entry["action"])).collect();
        assert_eq!(told, expected, "{arguments}");
    }
}

#[test]
fn a_log_that_nobody_touched_is_whole_and_gives_its_head() {
    let place = Place::new();
    let zeros = "0".repeat(64);
    let said = place.done("audit verify");
    assert_snapshot!(said.replace(&zeros, "…"), @r"The audit log is whole: 0 entries. Note its head in another place, for `--noted`: 0:…");
    place.done("orgs create --id acme");
    let first = head(&place);
    let said = place.done("audit verify");
    assert_snapshot!(said.replace(&first, "1:…"), @r"The audit log is whole: 1 entry. Note its head in another place, for `--noted`: 1:…");
    place.key("k");
    let proof = place.done("--json audit verify");
    let second = head(&place);
    assert_snapshot!(proof.replace(&second, "2:…"), @r#"{"state":"whole","entries":2,"newest":2,"head":"2:…"}"#);
    let said = place.done(&format!("audit verify --noted {first}"));
    assert_snapshot!(said.replace(&second, "2:…"), @r"The audit log is whole and holds what was noted: 2 entries. Note its head in another place, for `--noted`: 2:…");
    let digits = second.split_once(':').unwrap().1;
    assert_eq!((digits.len(), digits.chars().all(|c| c.is_ascii_hexdigit())), (64, true));
}

#[test]
fn a_log_that_was_changed_is_broken_and_says_where() {
    let place = Place::with_organization();
    place.key("a");
    place.key("b");
    tamper(&place, "UPDATE audit SET actor_name = 'eve' WHERE id = 2");
    assert_snapshot!(place.refused("audit verify"), @r"error: the audit log is broken: entry 2 is not what was written there: it was changed, moved or put in; keep a copy of the data folder, and compare the log with that of a backup");
    let said = place.run("--json audit verify");
    assert_eq!(said.code, 1);
    assert_snapshot!(said.stdout, @r#"{"state":"broken","what":"changed","entry":2,"message":"entry 2 is not what was written there: it was changed, moved or put in"}"#);
    assert_snapshot!(said.stderr, @r#"{"error":{"code":"internal","message":"the audit log is broken: entry 2 is not what was written there: it was changed, moved or put in; keep a copy of the data folder, and compare the log with that of a backup"}}"#);
}

#[test]
fn a_log_whose_end_was_cut_off_is_broken_however_it_goes_on() {
    let place = Place::with_organization();
    place.key("a");
    tamper(
        &place,
        "DELETE FROM audit WHERE id = 2; UPDATE audit_head SET entries = 1, last_id = 1, \
        last_chain = (SELECT chain FROM audit)",
    );
    let broken = place.refused("audit verify");
    assert_snapshot!(broken, @r"error: the audit log is broken: every entry that is there is as it was written, but the row that says where the log ends was changed, so entries may be missing at the end; keep a copy of the data folder, and compare the log with that of a backup");
    let said = place.run("orgs create --id other");
    assert_eq!(said.code, 0, "changes go on");
    assert!(said.stderr.contains("`keyward audit verify` tells more"), "{}", said.stderr);
    place.done("orgs create --id third");
    assert_eq!(place.refused("audit verify"), broken);
}

#[test]
fn an_older_copy_of_the_database_is_told_by_what_was_noted() {
    let place = Place::with_organization();
    let database = place.file("keyward-data/keyward.db");
    let older = std::fs::read(&database).unwrap();
    place.key("a");
    let noted = head(&place);
    std::fs::write(&database, older).unwrap();
    place.done("audit verify");
    let said = place.refused(&format!("audit verify --noted {noted}"));
    assert_snapshot!(said, @r"error: the audit log is broken: it holds 1 of the 2 entries that it had when its head was noted: the database was put back to an older copy; keep a copy of the data folder, and compare the log with that of a backup");
    let said = place.run("audit verify --noted 2:abc");
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("it is not a head of the audit log"), "{}", said.stderr);
}
