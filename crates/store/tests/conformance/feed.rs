//! What is promised of revisions, the change feed and the audit log.

use std::collections::BTreeSet;

use keyward_core::{key::KeyState, organization::OrganizationState};
use keyward_store::{AuditFilter, Change, Feed, Page, Revision, SealedBytes, StoreError, Subject};

use super::{
    Bed, actor, commit, creation, key_id, later, models, organization, organization_id, secret_id,
    secret_of, state, trace, with_organization,
};

pub(crate) async fn revisions_have_no_gap_under_concurrent_commits(bed: Bed) {
    with_organization(&bed.store).await;
    let commits = (1..=200_u64).map(|number| {
        let store = if number % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        tokio::spawn(async move { (number, commit(&store, creation(number)).await.unwrap()) })
    });
    let mut seen = BTreeSet::new();
    let mut of_key = vec![];
    for task in commits.collect::<Vec<_>>() {
        let (number, revision) = task.await.unwrap();
        seen.insert(revision.get());
        of_key.push((revision, number));
    }
    assert_eq!(seen, (2..=201).collect(), "each change has a revision of its own, none is skipped");
    of_key.sort_unstable();
    let (newest, feed, _) = trace(&bed.store).await;
    assert_eq!(newest.get(), 201);
    for (entry, (revision, number)) in feed.iter().skip(1).zip(of_key) {
        assert_eq!(entry.revision, revision);
        assert_eq!(entry.subject, Subject::Key(key_id(number)), "the revision that was answered");
    }
}

/// One of every kind of change, each of which succeeds after those before it, with what it is about.
pub(crate) fn one_of_each() -> Vec<(Change, Subject)> {
    let org = || organization_id("org");
    let of_org = || Subject::Organization(org());
    let of_key = || Subject::Key(key_id(1));
    let of_upstream = || Subject::UpstreamCredential("up".to_owned());
    let model = || "m".parse().unwrap();
    vec![
        (Change::CreateOrganization(organization("org")), of_org()),
        (
            Change::SetOrganizationState {
                organization: org(),
                state: OrganizationState::Suspended,
            },
            of_org(),
        ),
        (
            Change::UpdateOrganization {
                organization: org(),
                update: models(Some(vec![])),
                seen: None,
            },
            of_org(),
        ),
        (Change::AssignModelId { organization: org(), model: model() }, of_org()),
        (Change::WithdrawModelId { organization: org(), model: model() }, of_org()),
        (creation(1), of_key()),
        (state(1, KeyState::Disabled), of_key()),
        (
            Change::RotateKey {
                key: key_id(1),
                secret: secret_of(2, 1),
                old_expires_at: later(60),
            },
            of_key(),
        ),
        (Change::RetireSecret { secret: secret_id(1), at: later(1), force: true }, of_key()),
        (
            Change::MarkKeyExposed {
                key: key_id(1),
                at: later(0),
                from: "2001:db8::1".parse().unwrap(),
                disable: true,
            },
            of_key(),
        ),
        (state(1, KeyState::Revoked), of_key()),
        (
            Change::SetUpstreamCredential {
                upstream: "up".to_owned(),
                sealed: SealedBytes::from_bytes(*b"sealed bytes"),
            },
            of_upstream(),
        ),
        (Change::RemoveUpstreamCredential { upstream: "up".to_owned() }, of_upstream()),
    ]
}

pub(crate) async fn the_feed_tells_every_change_in_order(bed: Bed) {
    let mut expected = vec![];
    for (change, subject) in one_of_each() {
        expected.push((commit(&bed.store, change).await.unwrap(), subject));
    }
    let told = |feed| match feed {
        Feed::Entries(entries) => {
            entries.into_iter().map(|e| (e.revision, e.subject)).collect::<Vec<_>>()
        }
        Feed::Gap => panic!("a gap in a feed that nobody trimmed"),
    };
    let all = told(bed.store.changes_since(Revision::ZERO, 1000).await.unwrap());
    assert_eq!(all, expected);
    assert_eq!(all.last().unwrap().0, bed.store.revision().await.unwrap());
    let some = told(bed.second.changes_since(Revision::new(3), 4).await.unwrap());
    assert_eq!(some, expected[3..7]);
    let newest = bed.store.revision().await.unwrap();
    assert_eq!(told(bed.store.changes_since(newest, 10).await.unwrap()), []);
}

pub(crate) async fn a_refused_change_leaves_no_trace(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let before = trace(&bed.store).await;
    let same_digest = Change::CreateKey {
        key: super::key(2),
        secret: keyward_core::key::Secret { digest: super::secret(1).digest, ..super::secret(2) },
        most_active: None,
    };
    let refused = [
        creation(1),
        same_digest,
        state(9, KeyState::Revoked),
        Change::RetireSecret { secret: secret_id(9), at: later(1), force: true },
        Change::CreateOrganization(organization("org")),
        Change::RemoveUpstreamCredential { upstream: "none".to_owned() },
    ];
    for change in refused {
        assert!(commit(&bed.store, change).await.is_err());
        assert_eq!(trace(&bed.store).await, before);
    }
    assert_eq!(bed.store.key(key_id(2)).await.unwrap(), None);
}

pub(crate) async fn one_bad_change_does_not_hurt_those_beside_it(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    // Started before any of them is awaited, so that an engine that commits in groups has them in one.
    let commits: Vec<_> = (1..=100_u64)
        .map(|number| {
            let store = bed.store.clone();
            let change = if number % 3 == 0 { creation(1) } else { creation(number + 1) };
            tokio::spawn(async move { commit(&store, change).await })
        })
        .collect();
    for (task, number) in commits.into_iter().zip(1_u64..) {
        let done = task.await.unwrap();
        if number % 3 == 0 {
            assert_eq!(done, Err(StoreError::KeyExists(key_id(1))));
        } else {
            done.unwrap();
            let record = bed.store.key(key_id(number + 1)).await.unwrap().unwrap();
            assert_eq!(record.secrets.len(), 1);
        }
    }
    let (newest, feed, audit) = trace(&bed.store).await;
    assert_eq!(newest.get(), 2 + 67);
    assert_eq!((feed.len(), audit.len()), (69, 69));
}

pub(crate) async fn every_change_has_its_audit_entry(bed: Bed) {
    for (change, _) in one_of_each() {
        commit(&bed.store, change).await.unwrap();
    }
    let (_, feed, mut audit) = trace(&bed.store).await;
    audit.reverse();
    let actions: Vec<&str> = audit.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "organization.create",
            "organization.suspend",
            "organization.update",
            "organization.assign_model_id",
            "organization.withdraw_model_id",
            "key.create",
            "key.disable",
            "key.rotate",
            "secret.retire",
            "key.expose",
            "key.revoke",
            "upstream_credential.set",
            "upstream_credential.remove",
        ]
    );
    for (entry, told) in audit.iter().zip(&feed) {
        assert_eq!(entry.revision, Some(told.revision));
        assert_eq!(entry.subject, told.subject);
        assert_eq!(entry.actor, actor());
        assert_eq!(entry.at, super::NOW);
        assert_eq!(entry.outcome, "done");
        assert!(entry.before.is_some() || entry.after.is_some(), "{}", entry.action);
    }
    assert_eq!(audit[6].before, Some(serde_json::json!({ "state": "active" })));
    assert_eq!(audit[6].after, Some(serde_json::json!({ "state": "disabled" })));
}

pub(crate) async fn the_audit_log_is_paged_newest_first(bed: Bed) {
    for (change, _) in one_of_each() {
        commit(&bed.store, change).await.unwrap();
    }
    let whole = bed.store.audit(&AuditFilter::default(), Page::first(1000)).await.unwrap();
    let (mut pages, mut page) = (vec![], Page::first(5));
    loop {
        let entries = bed.store.audit(&AuditFilter::default(), page).await.unwrap();
        let Some(last) = entries.last() else { break };
        page = Page::after(last.id, 5);
        pages.extend(entries);
    }
    assert_eq!(pages, whole);
    assert!(whole.windows(2).all(|pair| pair[0].id > pair[1].id));
}

pub(crate) async fn the_audit_log_holds_no_secret(bed: Bed) {
    for (change, _) in one_of_each() {
        commit(&bed.store, change).await.unwrap();
    }
    for entry in bed.store.audit(&AuditFilter::default(), Page::first(1000)).await.unwrap() {
        let text = format!("{:?} {:?}", entry.before, entry.after);
        for hidden in ["kw_aaa", "digest", "hint", "d1d1", "209, 209", "sealed bytes"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
}

pub(crate) async fn a_reader_behind_the_trimmed_feed_is_told_of_a_gap(bed: Bed) {
    with_organization(&bed.store).await;
    for number in 1..=9 {
        commit(&bed.store, creation(number)).await.unwrap();
    }
    assert_eq!(bed.store.trim_changes(4).await.unwrap(), 6);
    assert_eq!(bed.store.trim_changes(4).await.unwrap(), 0);
    assert_eq!(bed.store.revision().await.unwrap().get(), 10, "trimming changes nothing");
    for known in 0..6 {
        let feed = bed.store.changes_since(Revision::new(known), 100).await.unwrap();
        assert_eq!(feed, Feed::Gap, "{known}");
    }
    for known in 6..=10 {
        let feed = bed.store.changes_since(Revision::new(known), 100).await.unwrap();
        let Feed::Entries(entries) = feed else { panic!("a gap for a reader at {known}") };
        let revisions: Vec<u64> = entries.iter().map(|entry| entry.revision.get()).collect();
        assert_eq!(revisions, (known + 1..=10).collect::<Vec<_>>());
    }
    assert_eq!(bed.store.trim_changes(0).await.unwrap(), 4);
    let feed = bed.store.changes_since(Revision::new(9), 100).await.unwrap();
    assert_eq!(feed, Feed::Gap, "nothing is left to tell it");
    let feed = bed.store.changes_since(Revision::new(10), 100).await.unwrap();
    assert_eq!(feed, Feed::Entries(vec![]), "who knows everything has missed nothing");
}

pub(crate) async fn a_reader_ahead_of_the_store_is_told_of_a_gap(bed: Bed) {
    with_organization(&bed.store).await;
    let feed = bed.store.changes_since(Revision::new(2), 100).await.unwrap();
    assert_eq!(feed, Feed::Gap, "the store was restored from a backup");
}
