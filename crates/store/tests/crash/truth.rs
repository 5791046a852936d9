//! All that stands in a data folder, as facts, read as a start and the control plane read it; and whether it agrees with itself.

use std::collections::{BTreeMap, HashMap};

use keyward_core::id::{KeyId, UserId};
use keyward_store::{
    AuditEntry, AuditFilter, AuditProof, DataFolder, Feed, KeyRecord, KeyRequestFilter, Loaded,
    Page, Revision, Store, Subject, UsageFilter,
};
use rusqlite::Connection;
use serde_json::json;

use crate::deeds::{
    exposure_of, hex, of_invitation, of_key, of_organization, of_password, of_session,
};

/// Things, and how each stands.
pub(crate) type Facts = BTreeMap<String, String>;

/// What must not be there, whatever was done: each gives no row.
const NEVER: &[(&str, &str)] = &[
    ("a row that refers to nothing", "SELECT \"table\" FROM pragma_foreign_key_check"),
    (
        "a key without a secret",
        "SELECT hex(id) FROM keys WHERE seq NOT IN (SELECT key_seq FROM secrets)",
    ),
    (
        "a key without words",
        "SELECT hex(id) FROM keys WHERE seq NOT IN (SELECT key_seq FROM key_words)",
    ),
    (
        "a claimed request without its key",
        "SELECT hex(id) FROM key_requests WHERE state = 'claimed' \
         AND (key IS NULL OR key NOT IN (SELECT id FROM keys))",
    ),
    (
        "an approval without what was granted",
        "SELECT hex(id) FROM key_requests WHERE state IN ('approved', 'claimed') \
         AND (granted IS NULL OR claim_until IS NULL OR decided_at IS NULL)",
    ),
    (
        "a hash of a secret that is not known by one",
        "SELECT hex(secret) FROM bcrypt_secrets WHERE secret NOT IN \
         (SELECT id FROM secrets WHERE form = 'bcrypt')",
    ),
    (
        "a secret without the hash it is known by",
        "SELECT hex(id) FROM secrets WHERE form = 'bcrypt' \
         AND id NOT IN (SELECT secret FROM bcrypt_secrets)",
    ),
    (
        "a webhook without a secret",
        "SELECT hex(id) FROM webhooks WHERE state <> 'removed' \
         AND id NOT IN (SELECT webhook FROM webhook_secrets)",
    ),
    (
        "an event that is told to nobody",
        "SELECT hex(id) FROM events WHERE seq NOT IN (SELECT event FROM deliveries) \
         AND kind <> 'webhook.test'",
    ),
    (
        "an organization with members and no owner",
        "SELECT organization FROM memberships GROUP BY organization HAVING max(role = 'owner') = 0",
    ),
];

/// Facts of rows that the store shows to nobody as they are: each row a thing and how it stands.
const ROWS: &[&str] = &[
    "SELECT 'setup', lower(hex(token)) FROM setup",
    "SELECT 'answer ' || caller || ' ' || lower(hex(key)), made || ' ' || lower(hex(answer)) FROM answers",
    "SELECT 'webhook ' || lower(hex(id)), description || ' ' || state || ' ' || \
     (SELECT count(*) FROM webhook_secrets WHERE webhook = webhooks.id AND expires_at IS NULL) || ' ' || \
     (SELECT count(*) FROM webhook_secrets WHERE webhook = webhooks.id) || ' ' || \
     (SELECT group_concat(state) FROM deliveries WHERE webhook = webhooks.id) \
     FROM webhooks WHERE state <> 'removed' AND EXISTS (SELECT 1 FROM deliveries WHERE webhook = webhooks.id)",
    "SELECT 'alert rule ' || lower(hex(id)), name FROM alert_rules \
     WHERE state <> 'removed' AND name LIKE 'watch%'",
];

/// What stands in a folder, as far as it was read.
pub(crate) struct Truth {
    pub(crate) facts: Facts,
    /// The audit log, oldest first: the entry at place `n` is of revision `n + 1`.
    pub(crate) audit: Vec<AuditEntry>,
}

/// A raw look at the database.
pub(crate) fn raw(folder: &DataFolder) -> Connection {
    Connection::open(folder.path().join("keyward.db")).unwrap()
}

/// Reads everything. `thoroughly`: also every page of the database.
pub(crate) async fn read(folder: &DataFolder, thoroughly: bool) -> Truth {
    let store = folder.store();
    let database = raw(folder);
    agrees_with_itself(&database, thoroughly);
    let audit = history(&*store).await;
    let mut facts = loaded(&*store, &audit).await;
    people(&*store, &database, &mut facts).await;
    invitations_and_requests(&*store, &mut facts).await;
    figures(&*store, &database, &mut facts).await;
    Truth { facts, audit }
}

fn agrees_with_itself(database: &Connection, thoroughly: bool) {
    for (what, sql) in NEVER {
        let mut asked = database.prepare(sql).unwrap();
        let found: Vec<String> =
            asked.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(found.is_empty(), "{what}: {found:?}");
    }
    if thoroughly {
        let said: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(said, "ok");
    }
}

/// The audit log, oldest first: one entry and one line of the feed for each revision, of the same thing, and the chain whole.
async fn history(store: &dyn Store) -> Vec<AuditEntry> {
    let (mut audit, mut page) = (vec![], Page::first(1000));
    loop {
        let found = store.audit(&AuditFilter::default(), page).await.unwrap();
        let Some(last) = found.last() else { break };
        page = Page::after(last.id, 1000);
        audit.extend(found);
    }
    audit.reverse();
    let Feed::Entries(feed) = store.changes_since(Revision::ZERO, 100_000).await.unwrap() else {
        panic!("the feed has a gap");
    };
    let revision = store.revision().await.unwrap().get();
    assert_eq!((feed.len() as u64, audit.len() as u64), (revision, revision));
    for ((number, told), entry) in (1..).zip(&feed).zip(&audit) {
        assert_eq!(told.revision, Revision::new(number));
        assert_eq!(entry.revision, Some(told.revision), "{entry:?}");
        assert_eq!((&entry.subject, entry.outcome.as_str()), (&told.subject, "done"), "{entry:?}");
    }
    let proof = store.verify_audit(None).await.unwrap();
    assert!(matches!(proof, AuditProof::Whole { .. }), "{proof:?}");
    audit
}

/// What a start loads; each key says the revision that the history says of it.
async fn loaded(store: &dyn Store, audit: &[AuditEntry]) -> Facts {
    let latest: HashMap<&Subject, Option<Revision>> =
        audit.iter().map(|entry| (&entry.subject, entry.revision)).collect();
    let (mut facts, mut organizations, mut keys) = (Facts::new(), vec![], vec![]);
    let load = &mut |item| match item {
        Loaded::Plan(plan) => {
            facts.insert(format!("plan {}", plan.name), json!(plan).to_string());
        }
        Loaded::Price(price) => {
            facts.insert(format!("price {}", price.model), json!(price).to_string());
        }
        Loaded::Organization(organization) => organizations.push(organization),
        Loaded::UpstreamCredential(held) => {
            let thing = format!("credential {}", held.upstream);
            facts.insert(thing, hex(held.sealed.as_bytes()));
        }
        Loaded::Key(record) => keys.push(record),
    };
    store.load(load).await.unwrap();
    for held in store.plans().await.unwrap() {
        let told = latest.get(&Subject::Plan(held.plan.name.clone()));
        assert_eq!(told, Some(&Some(held.revision)), "{}", held.plan.name);
    }
    for held in store.prices().await.unwrap() {
        let told = latest.get(&Subject::Price(held.price.model.clone()));
        assert_eq!(told, Some(&Some(held.revision)), "{}", held.price.model);
    }
    for organization in organizations {
        let id = &organization.id;
        let told = store.organization_revision(id).await.unwrap();
        assert_eq!(Some(&told), latest.get(&Subject::Organization(id.clone())), "{id}");
        facts.insert(format!("organization {id}"), of_organization(&organization));
    }
    for KeyRecord { key, secrets, revision, .. } in keys {
        assert_eq!(latest.get(&Subject::Key(key.id)), Some(&Some(revision)), "{}", key.id);
        facts.insert(format!("key {}", key.id), of_key(&key, &secrets));
    }
    facts
}

fn ids(database: &Connection, sql: &str) -> Vec<[u8; 16]> {
    let mut asked = database.prepare(sql).unwrap();
    asked.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

async fn people(store: &dyn Store, database: &Connection, facts: &mut Facts) {
    for id in ids(database, "SELECT id FROM users") {
        let record = store.user(UserId::from_bits(id)).await.unwrap().unwrap();
        let id = record.user.id;
        facts.insert(format!("user {id}"), serde_json::to_string(&record.user).unwrap());
        if let Some(password) = of_password(record.password.as_ref()) {
            facts.insert(format!("password {id}"), password);
        }
        for place in record.memberships {
            let thing = format!("member {} {id}", place.organization);
            facts.insert(thing, place.role.as_str().to_owned());
        }
    }
    for id in ids(database, "SELECT DISTINCT user FROM sessions") {
        for session in store.sessions(UserId::from_bits(id)).await.unwrap() {
            facts.insert(format!("session {}", session.id), of_session(&session));
        }
    }
    let mut asked = database.prepare("SELECT issuer, subject, user FROM identities").unwrap();
    let mut rows = asked.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (issuer, subject): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        let user = UserId::from_bits(row.get(2).unwrap());
        facts.insert(format!("identity {issuer} {subject}"), user.to_string());
    }
}

async fn invitations_and_requests(store: &dyn Store, facts: &mut Facts) {
    let organizations = store.organizations().await.unwrap();
    for place in organizations.iter().map(|one| Some(&one.id)).chain([None]) {
        for sent in store.invitations(place).await.unwrap() {
            facts.insert(format!("invitation {}", sent.id), of_invitation(&sent));
        }
    }
    let mut page = Page::first(1000);
    loop {
        let found = store.key_requests(&KeyRequestFilter::default(), page).await.unwrap();
        let Some(last) = found.last() else { break };
        page = Page::after(last.id, 1000);
        for request in found {
            facts.insert(format!("request {}", request.id), format!("{request:?}"));
        }
    }
}

/// What is written beside the keys: words, uses, exposures, usage, answers.
async fn figures(store: &dyn Store, database: &Connection, facts: &mut Facts) {
    for total in store.usage(&UsageFilter::minutes(0, u64::MAX / 2)).await.unwrap() {
        let key = total.group.key.flatten().unwrap();
        facts.insert(format!("usage {key}"), total.sums.requests.to_string());
    }
    let mut words: BTreeMap<KeyId, Vec<String>> = BTreeMap::new();
    let sql = "SELECT id, word FROM key_words JOIN keys ON seq = key_seq ORDER BY id, word";
    let mut asked = database.prepare(sql).unwrap();
    let mut rows = asked.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let key = KeyId::from_bits(row.get(0).unwrap());
        words.entry(key).or_default().push(row.get(1).unwrap());
    }
    facts.extend(words.into_iter().map(|(key, words)| (format!("words {key}"), words.join(" "))));
    let uses = "SELECT id, (SELECT sum(requests) FROM secrets WHERE key_seq = seq) AS uses, exposed_at FROM keys";
    let mut asked = database.prepare(uses).unwrap();
    let mut rows = asked.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let key = KeyId::from_bits(row.get(0).unwrap());
        let (uses, exposed): (i64, Option<i64>) = (row.get(1).unwrap(), row.get(2).unwrap());
        if uses > 0 {
            facts.insert(format!("uses {key}"), uses.to_string());
        }
        if let Some(exposed) = exposed {
            facts.insert(exposure_of(key), exposed.to_string());
        }
    }
    for sql in ROWS {
        let mut asked = database.prepare(sql).unwrap();
        let mut rows = asked.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            facts.insert(row.get(0).unwrap(), row.get(1).unwrap());
        }
    }
}
