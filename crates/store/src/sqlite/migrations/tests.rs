//! A database that stopped at any step is brought to the newest, with its rows; and who is killed meanwhile leaves it sound.
//!
//! The old ones are made of the same files that made them then, with rows written as they were written then: not by today's code,
//! which writes today's columns.

use std::{
    fs::File,
    hint::spin_loop,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use keyward_core::{
    id::{KeyId, KeyRequestId, UserId},
    key::{Digest, KeyState, Labels, SecretForm},
    member::Role,
    time::Timestamp,
};
use zeroize::Zeroizing;

use super::*;
use crate::{
    alerts::{AlertFilter, AlertStore as _},
    chain::AuditProof,
    change::{Actor, Change, Feed, Interface, KeyUpdate, Revision, Subject},
    once::RequestKey,
    people::{Identity, InvitationState, TokenDigest},
    query::{AuditFilter, KeyFilter, KeyRecord, Loaded, Page},
    requests::KeyRequestState,
    rules::Entry,
    sqlite::{SqliteStore, connection},
    store::Store,
    usage::{UsageFilter, UsageGrain},
    words::Word,
};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const FOLDER: &str = "KEYWARD_OLD_DATABASE";
/// So many keys that a step takes long enough to be killed in.
const MANY: u32 = 400;

fn keys() -> ChainKeys {
    ChainKeys::derive(&[(1, Zeroizing::new([7; 32]))]).unwrap()
}

fn actor() -> Actor {
    Actor::operator("ada", Interface::CommandLine)
}

/// As in issue 2: an organization with a model, keys with secrets, a credential, usage; and what was noted of them.
fn rows_of_step_1(many: u32) -> String {
    format!(
        "INSERT INTO organizations VALUES ('org', 'The org', 'active', '[\"small\"]', 5);
         INSERT INTO organizations VALUES ('late', 'Too late', 'suspended', NULL, 6);
         INSERT INTO model_ids VALUES ('123456789x12345678', 'org');
         INSERT INTO upstream_credentials VALUES ('up', x'5ea1ed', 7);
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {many})
         INSERT INTO keys (id, organization, api, name, environment, permissions, allowed_networks,
             allowed_models, state, created_at, expires_at, exposed_at)
         SELECT CAST(printf('%016d', n) AS BLOB), 'org', 'api', 'Billing export ' || n, 'production',
             '[\"models.read\"]', '[\"10.0.0.0/8\"]', NULL, iif(n = 2, 'revoked', 'active'), 8,
             iif(n = 1, 9000000000000, NULL), NULL
         FROM numbers;
         INSERT INTO secrets SELECT seq, 1, CAST('s' || substr(CAST(id AS TEXT), 2) AS BLOB),
             CAST(printf('%032d', seq) AS BLOB), 1, 'kw_a…z', 8, iif(seq = 1, 1000, NULL), 900, '10.1.2.3'
         FROM keys;
         INSERT INTO secrets VALUES (1, 2, CAST('new secret of 01' AS BLOB),
             CAST(printf('%032s', 'new') AS BLOB), 1, 'kw_b…y', 9, NULL, NULL, NULL);
         INSERT INTO usage VALUES (30000000, 'api', '/v1', CAST(printf('%016d', 1) AS BLOB), 200, 3, 40, 5, 6);
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {many})
         INSERT INTO audit SELECT NULL, 8, 'operator', 'ada', 'command_line', 'upstream_credential.set',
             'upstream_credential', 'up', NULL, '{{\"n\":' || n || '}}', 'done', n FROM numbers;
         INSERT INTO change_feed SELECT revision, subject_kind, subject FROM audit;
         UPDATE store_state SET revision = {many};"
    )
}

/// From step 3 on: a person with all that belongs to one, and a key of theirs.
const ROWS_OF_STEP_3: &str = "
    INSERT INTO users (id, email, name, password, operator, created_at) VALUES
        (x'aa0000000000000000000000000000aa', 'ada@example.com', 'Ada', '$hash$', 0, 10),
        (x'bb0000000000000000000000000000bb', 'ops@example.com', 'Ops', '$hash$', 1, 10),
        (x'cc0000000000000000000000000000cc', 'eve@example.com', 'Eve', '$hash$', 0, 10);
    INSERT INTO memberships VALUES ('org', x'aa0000000000000000000000000000aa', 'owner', 11);
    INSERT INTO sessions VALUES (x'ab0000000000000000000000000000ab', x'aa0000000000000000000000000000aa',
        CAST(printf('%032s', 'session') AS BLOB), 'a device', '10.1.2.3', 12, 9000000000000, NULL);
    INSERT INTO invitations VALUES (x'ac0000000000000000000000000000ac', 'ada@example.com', 'org', 'owner',
        CAST(printf('%032s', 'invited') AS BLOB), NULL, 9, 9000000000000, 'accepted');
    INSERT INTO keys (id, organization, api, name, environment, permissions, allowed_networks, state,
        created_at, owner) VALUES (x'ad0000000000000000000000000000ad', 'org', 'api', 'Owned by Ada',
        'staging', '[]', '[]', 'active', 13, x'aa0000000000000000000000000000aa');
    INSERT INTO secrets (key_seq, number, id, digest, pepper, hint, created_at) VALUES
        (last_insert_rowid(), 1, x'ae0000000000000000000000000000ae', CAST(printf('%032s', 'owned') AS BLOB), 1, '', 13);";

/// From step 4 on: what is written on a key, its words, and a gateway.
const ROWS_OF_STEP_4: &str = "
    UPDATE keys SET tags = '[\"blue\"]', metadata = '{\"team\":\"ledger\"}', rotate_after_days = 90,
        rotation_required = 1 WHERE name = 'Owned by Ada';
    INSERT INTO key_words SELECT 'org', value, seq FROM keys,
        json_each('[\"#blue\",\"ada\",\"blue\",\"by\",\"ledger\",\"owned\",\"staging\",\"team\"]')
        WHERE name = 'Owned by Ada';
    INSERT INTO nodes VALUES (x'af0000000000000000000000000000af', 'machine', 14, 15);
    INSERT INTO node_progress VALUES (x'af0000000000000000000000000000af', 1, 15);
    INSERT INTO reminders SELECT seq, 'expiry', 16, 17 FROM keys WHERE name = 'Owned by Ada';";

/// From step 5 on: a request that was approved.
const ROWS_OF_STEP_5: &str = "
    INSERT INTO key_requests VALUES (x'ba0000000000000000000000000000ba', 'org',
        x'aa0000000000000000000000000000aa', 'api', 'asked for', 'production', 'jobs',
        '{\"permissions\":[],\"lifetime_seconds\":60,\"allowed_networks\":[],\"allowed_models\":null}',
        18, 9000000000000, 'approved', x'bb0000000000000000000000000000bb', 19, NULL,
        '{\"permissions\":[],\"lifetime_seconds\":30,\"allowed_networks\":[],\"allowed_models\":null}',
        9000000000000, NULL);";

/// From step 6 on: a secret that is known by a bcrypt hash.
const ROWS_OF_STEP_6: &str = "
    UPDATE secrets SET form = 'bcrypt' WHERE id = x'ae0000000000000000000000000000ae';
    INSERT INTO bcrypt_secrets VALUES (x'ae0000000000000000000000000000ae', 'api', 'sk_live_', x'5ea1ed');";

/// From step 7 on: an account elsewhere.
const ROWS_OF_STEP_7: &str = "
    INSERT INTO identities VALUES ('https://login.example.com', 'a-1', x'aa0000000000000000000000000000aa', 20);";

/// From step 8 on: a request that was done.
const ROWS_OF_STEP_8: &str = "
    INSERT INTO answers VALUES ('usr_a', CAST(printf('%032s', 'chosen') AS BLOB), zeroblob(32), 'made', x'5ea1ed',
        9000000000000, 9000000000000);";

/// From step 9 on: usage of a model, refused, at each grain.
const ROWS_OF_STEP_9: &str = "
    INSERT INTO usage_sums SELECT value, 'org', 36000000, x'ad0000000000000000000000000000ad', 'api', '/v1', 'small', 429,
        'rate_limited', 5, 50, 1, 1, 7, 0, 0, 1, 0, 0, 9, 36000001, 36000002, x'0105' FROM json_each('[0,1,2]');";

/// From the step of plans on: a plan, a price, and limits where they stand.
const ROWS_OF_PLANS: &str = "
    INSERT INTO plans VALUES ('Premium', '[{\"name\":\"a\",\"kind\":\"concurrency\",\"amount\":4}]', 21);
    INSERT INTO prices VALUES ('large*', '{\"model\":\"large*\",\"input\":\"2.5\"}', 22);
    UPDATE organizations SET plan = 'premium', limits = '[{\"name\":\"b\",\"kind\":\"concurrency\",\"amount\":3}]'
        WHERE id = 'org';
    UPDATE keys SET limits = '[{\"name\":\"c\",\"kind\":\"concurrency\",\"amount\":2}]' WHERE name = 'Owned by Ada';";

/// The step of webhooks and alerts.
const WEBHOOKS: i64 = 11;

/// The step of plans.
const PLANS: i64 = 10;

/// From the step of counters on: what a limit had counted.
const ROWS_OF_COUNTERS: &str =
    "INSERT INTO counters VALUES (zeroblob(16), zeroblob(72), 9000000000000);";

/// From the step of webhooks on: a webhook with something on its way to it, and alerts, one raised twice at once.
const ROWS_OF_WEBHOOKS: &str = "
    INSERT INTO webhooks VALUES (x'c10000000000000000000000000000c1', 'org', 'https://a.example/', 'chat', NULL, 'enabled',
        NULL, NULL, 21, 0);
    INSERT INTO webhook_secrets VALUES (x'c20000000000000000000000000000c2', x'c10000000000000000000000000000c1',
        x'5ea1ed', 21, NULL);
    INSERT INTO events VALUES (1, x'c30000000000000000000000000000c3', 'key.created', 22, '{}');
    INSERT INTO deliveries VALUES (1, x'c40000000000000000000000000000c4', x'c10000000000000000000000000000c1', 1, 'waiting',
        1, 23, 22, 500, 'no');
    INSERT INTO alert_rules VALUES (x'c50000000000000000000000000000c5', 'org', 'many', '{\"kind\":\"revoked_key_used\"}',
        '{\"of\":\"organization\"}', '{\"mail\":\"nobody\",\"webhooks\":true}', 3600, 'enabled', 24, 0);
    INSERT INTO alerts VALUES (1, x'c60000000000000000000000000000c6', x'c50000000000000000000000000000c5', 'org', 'org', NULL,
        'it was', 25, 25, NULL);
    INSERT INTO alerts VALUES (3, x'c90000000000000000000000000000c9', x'c50000000000000000000000000000c5', 'org', 'org', NULL,
        'it was', 26, 26, NULL);
    INSERT INTO alert_rules VALUES (x'c70000000000000000000000000000c7', NULL, 'off', '{\"kind\":\"revoked_key_used\"}',
        '{\"of\":\"organization\"}', '{\"mail\":\"nobody\",\"webhooks\":true}', 3600, 'disabled', 24, 0);
    INSERT INTO alerts VALUES (2, x'c80000000000000000000000000000c8', x'c70000000000000000000000000000c7', 'org', 'org', NULL,
        'it was', 25, 25, NULL);
    INSERT INTO key_networks SELECT seq, '10.0.0.0/24', 26, 27 FROM keys WHERE name = 'Owned by Ada';";

/// From the step of turns on: who looks at alert rules.
const ROWS_OF_TURNS: &str = "INSERT INTO turns VALUES ('alerts', zeroblob(16), 28);";

/// From the step of failures on: a webhook that takes nothing.
const ROWS_OF_FAILURES: &str = "UPDATE webhooks SET failing_since = 29, failures = 2;";

/// From the step of usage that waits on: a sum that is not yet added, and none of it under way.
const ROWS_OF_WAITING: &str =
    "INSERT INTO usage_waiting (sums) VALUES ('{\"texts\":[],\"rows\":[]}');";

/// The rows of each step behind the chain; a new step has its own here.
const ROWS: [&str; LATER.len()] = [
    ROWS_OF_STEP_3,
    ROWS_OF_STEP_4,
    ROWS_OF_STEP_5,
    ROWS_OF_STEP_6,
    ROWS_OF_STEP_7,
    ROWS_OF_STEP_8,
    ROWS_OF_STEP_9,
    ROWS_OF_PLANS,
    ROWS_OF_WEBHOOKS,
    ROWS_OF_COUNTERS,
    ROWS_OF_TURNS,
    ROWS_OF_FAILURES,
    ROWS_OF_WAITING,
];

/// A change was done at a step: its entry, its line in the feed, its revision.
fn note(connection: &Connection, step: i64) {
    connection.execute_batch("UPDATE store_state SET revision = revision + 1").unwrap();
    let sql = "SELECT revision FROM store_state";
    let revision = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    let sql = "INSERT INTO change_feed VALUES (?1, 'organization', 'org')";
    connection.execute(sql, [revision]).unwrap();
    let id: keyward_core::id::OrganizationId = "org".parse().unwrap();
    let subject = Subject::Organization(id.clone());
    let entry = Entry { action: "organization.update", subject, before: None, after: None };
    // Whose business an entry is was not known before.
    let organization = (step >= 4).then_some(id);
    let done = audit::Done { actor: &actor(), at: NOW, entry: &entry, organization, revision };
    audit::append(connection, keys().newest(), &done).unwrap();
}

/// A database that stopped at `step`, with `many` keys from the first.
fn made_at(step: i64, many: u32, database: &Path) {
    File::create(database).unwrap();
    let mut connection = connection::writing(database).unwrap();
    lay_foundation(&mut connection, database).unwrap();
    let work = connection.transaction().unwrap();
    work.execute_batch(&rows_of_step_1(many)).unwrap();
    if step >= 2 {
        work.execute_batch(AUDIT_CHAIN).unwrap();
        audit::chain_what_is_there(&work, keys().newest()).unwrap();
        note(&work, 2);
    }
    for ((number, sql), rows) in (3..=step).zip(LATER).zip(ROWS) {
        work.execute_batch(sql).unwrap();
        if number == WORDS {
            updates::gather_words(&work).unwrap();
            work.execute_batch("DELETE FROM key_words WHERE key_seq = (SELECT max(seq) FROM keys)")
                .unwrap();
        }
        if number == ALERT_RULES {
            alerts::give_defaults(&work).unwrap();
        }
        work.execute_batch(rows).unwrap();
        note(&work, number);
    }
    end(work, step).unwrap();
    assert_eq!(pragma(&connection, "user_version").unwrap(), step);
}

fn opened(database: &Path, step: i64) -> SqliteStore {
    let chaining = if step < 2 { Chaining::MayBegin } else { Chaining::HasBegun };
    let opening = SqliteStore::open(database).unwrap();
    opening.complete(&database.with_file_name("hints"), &keys(), chaining).unwrap()
}

/// Every row of every table, and the schema they stand in.
fn everything_in(database: &Path) -> (Vec<String>, Vec<String>) {
    let connection = Connection::open(database).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut asked = connection.prepare(sql).unwrap();
        let found = asked.query_map([], |row| row.get(0)).unwrap();
        found.map(Result::unwrap).collect()
    };
    assert_eq!(texts("PRAGMA integrity_check"), ["ok"]);
    assert!(texts("SELECT \"table\" FROM pragma_foreign_key_check").is_empty());
    let schema =
        texts("SELECT type || ' ' || name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY 1");
    let mut rows = vec![];
    for table in texts("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
        let columns =
            texts(&format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"));
        let columns = columns.join(" || ' ' || ");
        rows.extend(texts(&format!("SELECT '{table} ' || {columns} FROM {table} ORDER BY 1")));
    }
    (schema, rows)
}

fn numbered(number: u32) -> KeyId {
    KeyId::from_bits(format!("{number:016}").into_bytes().try_into().unwrap())
}

fn padded(text: &str) -> [u8; 32] {
    format!("{text:>32}").into_bytes().try_into().unwrap()
}

async fn found(store: &SqliteStore, search: &str) -> Vec<KeyId> {
    let organization = Some("org".parse().unwrap());
    let filter = KeyFilter { organization, words: Word::asked(search), ..KeyFilter::default() };
    let found = store.keys(&filter, Page::first(1000)).await.unwrap();
    found.into_iter().map(|record| record.key.id).collect()
}

/// What was there at the first step.
async fn the_first_rows_read_back(store: &SqliteStore, many: u32) {
    let organizations = store.organizations().await.unwrap();
    let told: Vec<_> =
        organizations.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
    assert_eq!(told, [("org", "The org"), ("late", "Too late")]);
    assert_eq!(organizations[0].model_ids[0].as_str(), "123456789x12345678");
    assert_eq!(organizations[0].allowed_models, Some(vec!["small".to_owned()]));
    let KeyRecord { key, secrets, owner_role, revision } =
        store.key(numbered(1)).await.unwrap().unwrap();
    assert_eq!((key.name.as_str(), key.state), ("Billing export 1", KeyState::Active));
    assert_eq!((key.owner, owner_role, key.rotation, revision), (None, None, None, Revision::ZERO));
    assert_eq!(key.labels, Labels::default());
    assert_eq!(key.expires_at, Some(Timestamp::from_secs(9_000_000_000)));
    let ends: Vec<_> = secrets.iter().map(|one| (one.expires_at, &one.form)).collect();
    let end = Some(Timestamp::from_secs(1));
    assert_eq!(ends, [(end, &SecretForm::Minted), (None, &SecretForm::Minted)]);
    let shown = store.shown_key(&[Digest::from_bytes(padded("new"))]).await.unwrap().unwrap();
    assert_eq!(shown.record.key.id, key.id);
    let uses = store.secret_uses(key.id).await.unwrap();
    assert_eq!(uses[0].last, Some((Timestamp::from_millis(900), "10.1.2.3".parse().unwrap())));
    let revoked = store.key(numbered(2)).await.unwrap().unwrap();
    assert_eq!(revoked.key.state, KeyState::Revoked);
    assert_eq!(found(store, "bill").await.len(), many as usize);
    assert_eq!(found(store, "export 3").await[0], numbered(3));
    let mut asked = UsageFilter::minutes(0, 40_000_000);
    asked.organization = Some("org".to_owned());
    for finest in UsageGrain::ALL {
        // What was kept by minutes alone stands at every grain, and belongs to the key's organization.
        let usage = store.usage(&UsageFilter { finest, ..asked.clone() }).await.unwrap();
        assert_eq!((usage[0].group.key, usage[0].sums.requests), (Some(Some(key.id)), 3));
        assert_eq!((usage[0].first_minute, usage[0].sums.latency_micros), (30_000_000, 40));
    }
    assert_eq!(store.upstream_credentials().await.unwrap()[0].sealed.as_bytes(), b"\x5e\xa1\xed");
    let mut loaded = 0;
    store.load(&mut |item| loaded += usize::from(matches!(item, Loaded::Key(_)))).await.unwrap();
    assert!(loaded >= many as usize);
}

/// What was there from a later step on.
async fn the_later_rows_read_back(store: &SqliteStore, step: i64) {
    let ada = UserId::from_bits(0xaa00_0000_0000_0000_0000_0000_0000_00aa_u128.to_be_bytes());
    let owned = KeyId::from_bits(0xad00_0000_0000_0000_0000_0000_0000_00ad_u128.to_be_bytes());
    if step >= 3 {
        let known = store.user_by_email(&"ada@example.com".parse().unwrap()).await.unwrap();
        assert_eq!(known.unwrap().memberships[0].role, Role::Owner);
        let session = store.session(&TokenDigest::from_bytes(padded("session"))).await.unwrap();
        assert_eq!(session.unwrap().1.user.id, ada);
        let token = TokenDigest::from_bytes(padded("invited"));
        let invited = store.invitation_by_token(&token).await.unwrap().unwrap();
        assert_eq!(invited.state, InvitationState::Accepted);
        let record = store.key(owned).await.unwrap().unwrap();
        assert_eq!((record.key.owner, record.owner_role), (Some(ada), Some(Role::Owner)));
        assert_eq!(found(store, "owned").await, [owned]);
        let labelled = step >= 4;
        assert_eq!(record.key.labels.tags.as_slice() == ["blue"], labelled);
        assert_eq!(record.key.rotation.is_some_and(|rule| rule.required), labelled);
        assert_eq!(found(store, "ledger").await == [owned], labelled);
        let is_bcrypt = matches!(record.secrets[0].form, SecretForm::Bcrypt(_));
        assert_eq!(is_bcrypt, step >= 6);
    }
    assert_eq!(store.nodes(Revision::new(1)).await.unwrap().len(), usize::from(step >= 4));
    if step >= 5 {
        let id = 0xba00_0000_0000_0000_0000_0000_0000_00ba_u128.to_be_bytes();
        let asked = store.key_request(KeyRequestId::from_bits(id)).await.unwrap().unwrap();
        assert_eq!((asked.state, asked.requester), (KeyRequestState::Approved, ada));
        assert_eq!(asked.granted.unwrap().terms.lifetime_seconds, Some(30));
    }
    if step >= 7 {
        let (issuer, subject) = ("https://login.example.com".to_owned(), "a-1".to_owned());
        let known = store.user_by_identity(&Identity { issuer, subject }).await.unwrap();
        assert_eq!(known.unwrap().user.id, ada);
    }
    if step >= 8 {
        let request = RequestKey { caller: "usr_a".to_owned(), key: padded("chosen") };
        let answered = store.answer(&request, NOW).await.unwrap().unwrap();
        assert_eq!(answered.made, "made");
    }
}

/// Whoever has never had alert rules has those that a new organization has; what a disabled one raised is over.
async fn alert_rules_read_back(store: &SqliteStore, step: i64) {
    for organization in ["org", "late"] {
        let rules = store.alert_rules(Some(&organization.parse().unwrap())).await.unwrap();
        let names: Vec<_> = rules.iter().map(|record| record.rule.name.as_str()).collect();
        let had_some = organization == "org" && step >= WEBHOOKS;
        match had_some {
            true => assert_eq!(names, ["many"]),
            false => assert_eq!(names, keyward_core::alert::defaults().map(|(name, _)| name)),
        }
    }
    let raised = AlertFilter { raised: Some(true), ..AlertFilter::default() };
    let raised = store.alerts(&raised, Page::first(10)).await.unwrap();
    assert_eq!(raised.len(), usize::from(step >= WEBHOOKS));
}

/// Usage is told by model and reason from step 9 on.
async fn usage_reads_back(store: &SqliteStore, step: i64) {
    let mut asked = UsageFilter::minutes(0, 40_000_000);
    asked.model = Some("small".to_owned());
    let usage = store.usage(&asked).await.unwrap();
    let told: Vec<_> = usage.iter().map(|one| (one.refusals, one.latencies.total())).collect();
    assert_eq!(told, if step >= 9 { vec![(5, 5)] } else { vec![] });
}

/// Where limits stand, from the step of plans on; before it there are none.
async fn limits_read_back(store: &SqliteStore, has_plans: bool) {
    let named = |limits: &[keyward_core::limit::Limit]| -> Vec<String> {
        limits.iter().map(|limit| limit.name.to_string()).collect()
    };
    let expected = |name: &str| if has_plans { vec![name.to_owned()] } else { vec![] };
    let organization = store.organization(&"org".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(organization.plan.is_some(), has_plans);
    assert_eq!(named(&organization.limits), expected("b"));
    let owned = KeyId::from_bits(0xad00_0000_0000_0000_0000_0000_0000_00ad_u128.to_be_bytes());
    if let Some(record) = store.key(owned).await.unwrap() {
        assert_eq!(named(&record.key.limits), expected("c"));
    }
    let plans = store.plans().await.unwrap();
    assert_eq!(plans.len(), usize::from(has_plans));
    if let Some(held) = plans.first() {
        assert_eq!((named(&held.plan.limits), held.organizations), (expected("a"), 1));
        assert_eq!(store.prices().await.unwrap()[0].price.input.to_string(), "2.50");
    }
}

/// Who showed that they read their mail is known from what was accepted.
fn addresses_are_proven_as_they_were(database: &Path, step: i64) {
    let connection = Connection::open(database).unwrap();
    let sql =
        "SELECT group_concat(name) FROM (SELECT name FROM users WHERE email_proven = 1 ORDER BY 1)";
    let proven: Option<String> = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(proven.as_deref(), (step >= 3).then_some("Ada,Ops"));
}

/// One entry and one line of the feed for each revision, and the chain whole, with what comes now.
async fn the_history_is_whole(store: &SqliteStore) {
    let proof = store.verify_audit(None).await.unwrap();
    assert!(matches!(proof, AuditProof::Whole { .. }), "{proof:?}");
    let revision = store.revision().await.unwrap();
    let newest = store.audit(&AuditFilter::default(), Page::first(1)).await.unwrap();
    assert_eq!(newest[0].revision, Some(revision));
    let Feed::Entries(feed) = store.changes_since(Revision::ZERO, 100_000).await.unwrap() else {
        panic!("the feed has a gap");
    };
    assert_eq!(feed.len() as u64, revision.get());
}

async fn work_goes_on(store: &SqliteStore) {
    let before = store.revision().await.unwrap().get();
    let revoke = Change::SetKeyState { key: numbered(3), state: KeyState::Revoked };
    let rename = Change::UpdateKey {
        key: numbered(1),
        update: Box::new(KeyUpdate { name: Some("anew".to_owned()), ..KeyUpdate::default() }),
        seen: None,
    };
    for (change, more) in [(revoke, 1), (rename, 2)] {
        let revision = store.commit(&actor(), NOW, change).await.unwrap();
        assert_eq!(revision.get(), before + more);
    }
    assert_eq!(store.key(numbered(3)).await.unwrap().unwrap().key.state, KeyState::Revoked);
}

async fn is_sound(database: &Path, step: i64, many: u32) {
    let store = opened(database, step);
    the_first_rows_read_back(&store, many).await;
    the_later_rows_read_back(&store, step).await;
    usage_reads_back(&store, step).await;
    limits_read_back(&store, step >= PLANS).await;
    alert_rules_read_back(&store, step).await;
    the_history_is_whole(&store).await;
    addresses_are_proven_as_they_were(database, step);
    let once = everything_in(database);
    drop(store);
    let store = opened(database, NEWEST);
    assert!(everything_in(database) == once, "opened again, it is another");
    work_goes_on(&store).await;
    the_history_is_whole(&store).await;
}

#[tokio::test]
async fn a_database_of_every_step_is_brought_to_the_newest_with_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.db");
    File::create(&new).unwrap();
    drop(opened(&new, 1));
    let (newest, _) = everything_in(&new);
    for step in 1..=NEWEST {
        let database = folder.path().join(format!("{step}.db"));
        made_at(step, 12, &database);
        is_sound(&database, step, 12).await;
        assert_eq!(everything_in(&database).0, newest, "from step {step}");
    }
}

#[test]
#[ignore = "the process that is killed while it opens an old database"]
fn the_one_that_opens() {
    let folder = std::env::var_os(FOLDER).unwrap();
    println!("opens");
    drop(opened(&Path::new(&folder).join("old.db"), 1));
    println!("opened");
}

/// Opens the database in a process of its own, and kills it after `wait`, or when it is done. Gives how long it took.
fn killed_after(folder: &Path, wait: Duration) -> Duration {
    let this = concat!(module_path!(), "::the_one_that_opens");
    let this = this.split_once("::").unwrap().1;
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this, "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(victim.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().ends_with("opens")), "it never came to open");
    let start = Instant::now();
    if wait == Duration::MAX {
        assert!(said.any(|line| line.unwrap() == "opened"), "it could not open");
    }
    while wait != Duration::MAX && start.elapsed() < wait {
        spin_loop();
    }
    let took = start.elapsed();
    victim.kill().unwrap();
    victim.wait().unwrap();
    took
}

#[tokio::test]
async fn who_is_killed_while_it_brings_a_database_up_leaves_it_sound() {
    let folder = tempfile::tempdir().unwrap();
    let (template, database) = (folder.path().join("template.db"), folder.path().join("old.db"));
    let (mut before, mut after) = (0, 0);
    for step in [1, 3, NEWEST - 1] {
        std::fs::remove_file(&template).ok();
        made_at(step, MANY, &template);
        let again = || {
            for name in ["old.db-wal", "old.db-shm"] {
                std::fs::remove_file(folder.path().join(name)).ok();
            }
            std::fs::copy(&template, &database).unwrap();
        };
        again();
        let whole = killed_after(folder.path(), Duration::MAX);
        for part in 0..6 {
            again();
            killed_after(folder.path(), whole * part / 5);
            let connection = Connection::open(&database).unwrap();
            let stands = pragma(&connection, "user_version").unwrap();
            drop(connection);
            // All steps are one: there is nothing between where it was and where it goes.
            assert!([step, NEWEST].contains(&stands), "{stands} from {step}");
            (before, after) =
                if stands == step { (before + 1, after) } else { (before, after + 1) };
            is_sound(&database, step, MANY).await;
        }
    }
    println!("killed before the end: {before}, behind it: {after}");
    assert!(before > 0, "it was never killed in between");
}
