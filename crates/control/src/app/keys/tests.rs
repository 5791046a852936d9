//! What operations on keys promise, on a real store.

use std::time::Duration;

use keyward_api::{ErrorCode, KeyStateView, SecretStateView};
use keyward_core::{
    id::{KeyId, SecretId},
    key::Rotation,
    usage::{LastUse, UsageBatch, UsageRow, UsageScope, UsageSums},
};
use keyward_store::{AuditFilter, Interface};

use super::{KeyQuery, NewKey, create::check_rotation};
use crate::{
    Context, ControlError,
    fixture::{Fixture, NOW, api, at, new_key, profile},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_created_key_is_kept_without_its_plaintext() {
    let fixture = Fixture::with_organizations().await;
    let issued = fixture.control().create_key(&at(NOW), new_key("a")).await.unwrap();

    let plaintext = issued.plaintext.expose();
    assert!(plaintext.starts_with("kw_") && plaintext.len() == 52);
    let stored = fixture.folder.store().key(issued.key().id).await.unwrap().unwrap();
    assert_eq!(stored, issued.record);
    let [secret] = stored.secrets.as_slice() else { panic!("{stored:?}") };
    assert_eq!(secret.digest, fixture.folder.peppers().current().digest(plaintext.as_bytes()));
    assert_eq!(secret.hint, format!("{}…{}", &plaintext[..5], &plaintext[48..]));
    assert!(!format!("{stored:?}").contains(plaintext));
}

#[tokio::test]
async fn a_preset_gives_permissions_and_environment() {
    let fixture = Fixture::with_organizations().await;
    let new =
        NewKey { permissions: vec![], preset: Some("development".to_owned()), ..new_key("a") };
    let key = fixture.control().create_key(&at(NOW), new).await.unwrap().record.key;
    assert_eq!((key.permissions, key.environment.as_str()), (vec!["write".into()], "development"));
}

#[tokio::test]
async fn mistakes_say_what_would_be_right() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let permissions = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let cases = [
        (
            NewKey { api: "nope".parse().unwrap(), ..new_key("a") },
            "there is no API `nope`: use one of main, staff, asked, keyward",
        ),
        (
            NewKey { permissions: permissions(&["read", "fly"]), ..new_key("a") },
            "API `main` has no permission `fly`: use some of read, write, admin",
        ),
        (
            NewKey { permissions: vec![], ..new_key("a") },
            "the key would be allowed nothing: give it permissions of read, write, admin, or a preset of \
             Development, Production, Read-only, Admin",
        ),
        (
            NewKey { preset: Some("Admin".into()), ..new_key("a") },
            "permissions and the preset `Admin` are both given: give one of them: a preset is a bundle of permissions",
        ),
        (
            NewKey { permissions: vec![], preset: Some("best".into()), ..new_key("a") },
            "API `main` has no preset `best`: use one of Development, Production, Read-only, Admin",
        ),
        (
            NewKey {
                permissions: vec![],
                preset: Some("best".into()),
                api: "staff".parse().unwrap(),
                ..new_key("a")
            },
            "API `staff` has no preset `best`: this API has no presets, name permissions",
        ),
        (
            NewKey { expires_at: Some(NOW), ..new_key("a") },
            "the key would expire at 2027-01-15T08:00:00Z, and it is 2027-01-15T08:00:00Z already: choose a later \
             moment, or leave it out for a key without an end",
        ),
        (
            NewKey { allowed_models: Some(vec!["a b".into()]), ..new_key("a") },
            "`a b` is no model's name: write 1 to 200 characters without spaces, as requests do",
        ),
        (
            NewKey { organization: "nobody".parse().unwrap(), ..new_key("a") },
            "there is no organization `nobody`: `keyward orgs list` shows which there are",
        ),
    ];
    for (new, message) in cases {
        let refused = control.create_key(&at(NOW), new).await.err().unwrap();
        assert_eq!(refused.to_string(), message);
    }
    let none = control.list_keys(&at(NOW), &KeyQuery::default(), 10).await.unwrap();
    assert!(none.items.is_empty(), "a refused key leaves nothing behind");
}

#[tokio::test]
async fn an_api_may_bound_how_many_keys_an_organization_has() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let staff = |name: &str| NewKey {
        api: "staff".parse().unwrap(),
        permissions: vec!["speak".to_owned()],
        ..new_key(name)
    };
    let first = control.create_key(&at(NOW), staff("a")).await.unwrap();
    let refused = control.create_key(&at(NOW), staff("b")).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::LimitReached);
    control.revoke_key(&at(NOW), first.key().id).await.unwrap();
    assert!(control.create_key(&at(NOW), staff("b")).await.is_ok());
}

#[tokio::test]
async fn rotation_overlaps_and_retiring_ends_it_early() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let first = control.create_key(&at(NOW), new_key("a")).await.unwrap();
    let id = first.key().id;
    let second = control.rotate_key(&at(NOW), id, DAY).await.unwrap();
    assert_ne!(first.plaintext.expose(), second.plaintext.expose());

    let states = |now| {
        let control = control.clone();
        async move {
            let shown = control.show_key(&at(now), id).await.unwrap();
            shown.key.secrets.iter().map(|secret| secret.state).collect::<Vec<_>>()
        }
    };
    assert_eq!(states(NOW).await, [SecretStateView::Retiring, SecretStateView::Current]);
    assert_eq!(states(NOW.plus(DAY)).await, [SecretStateView::Expired, SecretStateView::Current]);

    let old = first.record.secrets[0].id;
    control.retire_secret(&at(NOW), id, old, false).await.unwrap();
    assert_eq!(states(NOW).await, [SecretStateView::Expired, SecretStateView::Current]);
}

#[tokio::test]
async fn rotation_shows_who_still_uses_the_old_secret() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let issued = control.create_key(&at(NOW), new_key("a")).await.unwrap();
    let id = issued.key().id;
    control.rotate_key(&at(NOW), id, DAY).await.unwrap();
    let later = NOW.plus(Duration::from_secs(60));
    let used =
        LastUse { secret: issued.secret, at: later, from: [192, 0, 2, 7].into(), requests: 1 };
    let row = UsageRow {
        scope: UsageScope {
            minute: NOW.as_minutes(),
            organization: "acme".into(),
            api: "main".into(),
            route: "/v1/x".into(),
            key: Some(id),
            status: 200,
            ..UsageScope::default()
        },
        sums: UsageSums {
            requests: 4,
            latency_micros: 2_000,
            bytes_in: 10,
            bytes_out: 20,
            ..UsageSums::default()
        },
        ..UsageRow::default()
    };
    let batch =
        UsageBatch { rows: vec![row], last_uses: vec![used], exposures: vec![], upgrades: vec![] };
    fixture.folder.store().record(&batch).await.unwrap();

    let shown = control.show_key(&at(later), id).await.unwrap();
    let old = &shown.key.secrets[0];
    assert_eq!(old.last_used_from.as_deref(), Some("192.0.2.7"));
    assert_eq!(old.last_used_at.as_deref(), Some("2027-01-15T08:01:00Z"));
    assert_eq!((shown.usage[0].requests, shown.usage[0].mean_latency_micros), (4, 500));
    assert_eq!(
        shown.notes,
        [format!(
            "the old secret {} ends at 2027-01-16T08:00:00Z and was used at 2027-01-15T08:01:00Z: its user has not \
             changed yet",
            issued.secret
        )]
    );
}

#[tokio::test]
async fn the_last_secret_is_not_retired_and_others_are_not_found() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let one = control.create_key(&at(NOW), new_key("a")).await.unwrap();
    let two = control.create_key(&at(NOW), new_key("b")).await.unwrap();
    let retire = |key, secret| {
        let control = control.clone();
        async move { control.retire_secret(&at(NOW), key, secret, false).await.unwrap_err() }
    };
    let last = retire(one.key().id, one.secret).await;
    assert!(last.to_string().contains("rotate the key first"), "{last}");
    let foreign = retire(one.key().id, two.secret).await;
    assert_eq!(foreign.code(), ErrorCode::NotFound);
    let missing = retire(one.key().id, SecretId::from_bits([0; 16])).await;
    assert_eq!(missing.code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn what_cannot_be_rotated_is_refused() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let ends = NewKey { expires_at: Some(NOW.plus(DAY)), ..new_key("ends") };
    let expired = control.create_key(&at(NOW), ends).await.unwrap().record.key.id;
    let refused = control.rotate_key(&at(NOW.plus(DAY)), expired, DAY).await.err().unwrap();
    assert!(refused.to_string().contains("make a new key"), "{refused}");

    let key = control.create_key(&at(NOW), new_key("a")).await.unwrap().record.key.id;
    let refused = control.rotate_key(&at(NOW), key, DAY * 400).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::Invalid);
    control.revoke_key(&at(NOW), key).await.unwrap();
    let refused = control.rotate_key(&at(NOW), key, DAY).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::Conflict);
    let missing = control.rotate_key(&at(NOW), KeyId::from_bits([0; 16]), DAY).await.err().unwrap();
    assert_eq!(missing.code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn disabled_keys_come_back_and_revoked_ones_do_not() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let id = control.create_key(&at(NOW), new_key("a")).await.unwrap().record.key.id;
    let context = at(NOW);
    assert_eq!(control.disable_key(&context, id).await.unwrap().state, KeyStateView::Disabled);
    assert_eq!(control.enable_key(&context, id).await.unwrap().state, KeyStateView::Active);
    assert_eq!(control.revoke_key(&context, id).await.unwrap().state, KeyStateView::Revoked);
    assert_eq!(control.revoke_key(&context, id).await.unwrap().state, KeyStateView::Revoked);
    assert_eq!(control.enable_key(&context, id).await.unwrap_err().code(), ErrorCode::Conflict);
    let entries = control
        .list_audit_entries(&at(NOW), &AuditFilter::default(), None, 10)
        .await
        .unwrap()
        .items;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions[..4], ["key.revoke", "key.enable", "key.disable", "key.create"]);
    assert_eq!(entries[0].actor.name, "tester");
}

#[tokio::test]
async fn lists_are_narrowed_and_paged_with_expiry_taken_for_a_state() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    for number in 0..7 {
        let expires_at = (number % 2 == 0).then(|| NOW.plus(DAY));
        let new = NewKey { expires_at, ..new_key(&format!("k{number}")) };
        control.create_key(&at(NOW), new).await.unwrap();
    }
    let names = async |state, limit| -> Result<Vec<Vec<String>>, ControlError> {
        let mut query = KeyQuery { state, ..KeyQuery::default() };
        let mut pages = vec![];
        loop {
            let page = control.list_keys(&at(NOW.plus(DAY)), &query, limit).await?;
            pages.push(page.items.into_iter().map(|key| key.name).collect());
            match page.next {
                Some(next) => query.after = Some(next.parse().unwrap()),
                None => return Ok(pages),
            }
        }
    };
    let all = names(None, 3).await.unwrap();
    assert_eq!(all.concat(), ["k0", "k1", "k2", "k3", "k4", "k5", "k6"]);
    let expired = names(Some(KeyStateView::Expired), 2).await.unwrap();
    assert_eq!(expired.concat(), ["k0", "k2", "k4", "k6"]);
    assert!(expired.iter().all(|page| page.len() <= 2));
    let active = names(Some(KeyStateView::Active), 1000).await.unwrap();
    assert_eq!(active, [["k1", "k3", "k5"]]);
}

#[tokio::test]
async fn a_page_of_one_is_found_behind_many_that_are_not_shown() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    for (number, days) in [1, 1, 1, 9, 1, 9, 1].into_iter().enumerate() {
        let expires_at = Some(NOW.plus(DAY * days));
        let new = NewKey { expires_at, ..new_key(&format!("k{number}")) };
        control.create_key(&at(NOW), new).await.unwrap();
    }
    let state = Some(KeyStateView::Active);
    let mut query = KeyQuery { state, ending_days: Some(30), ..KeyQuery::default() };
    let mut found = vec![];
    loop {
        let page = control.list_keys(&at(NOW.plus(DAY)), &query, 1).await.unwrap();
        found.extend(page.items.into_iter().map(|key| key.name));
        let Some(next) = page.next else { break };
        query.after = Some(next.parse().unwrap());
    }
    assert_eq!(found, ["k3", "k5"]);
}

#[tokio::test]
async fn a_rotation_that_is_due_is_told() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let new = NewKey {
        api: "staff".parse().unwrap(),
        permissions: vec!["speak".to_owned()],
        ..new_key("a")
    };
    let id = control.create_key(&at(NOW), new).await.unwrap().record.key.id;
    assert!(control.show_key(&at(NOW.plus(DAY * 89)), id).await.unwrap().notes.is_empty());
    let notes = control.show_key(&at(NOW.plus(DAY * 90)), id).await.unwrap().notes;
    assert!(notes[0].contains("older than 90 days"), "{notes:?}");
}

#[tokio::test]
async fn a_secret_ends_by_itself_where_its_rotation_is_required() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let rule = |after_days, required| Some(Rotation { after_days, required });
    for wrong in [0, Rotation::MOST_DAYS + 1] {
        let new = NewKey { rotation: rule(wrong, true), ..new_key("a") };
        let refused = control.create_key(&at(NOW), new).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("choose 1 to 3660 days"), "{refused}");
    }
    let new = NewKey { rotation: rule(30, true), ..new_key("a") };
    let issued = control.create_key(&at(NOW), new).await.unwrap();
    let due = NOW.plus(DAY * 30);
    assert_eq!(issued.record.secrets[0].expires_at, Some(due));
    let later = NOW.plus(DAY * 20);
    let rotated =
        control.rotate_key(&at(later), issued.key().id, DAY * 60).await.unwrap().record.secrets;
    let ends: Vec<_> = rotated.iter().map(|secret| secret.expires_at).collect();
    assert_eq!(ends, [Some(due), Some(later.plus(DAY * 30))], "no overlap makes it last longer");
    let reminded = NewKey { rotation: rule(30, false), ..new_key("b") };
    let reminded = control.create_key(&at(NOW), reminded).await.unwrap();
    assert_eq!(reminded.record.secrets[0].expires_at, None);
    let notes = control.show_key(&at(due), reminded.key().id).await.unwrap().notes;
    assert!(notes[0].contains("older than 30 days"), "{notes:?}");
}

#[test]
fn a_rotation_that_the_api_demands_is_made_stricter_and_never_looser() {
    let demanding = "[issuance]\nrotation = \"require\"\nrotate_after_days = 90\n";
    let api = api("demanding", &profile("demanding", demanding));
    let somebody = Context::visitor("somebody", Interface::ManagementApi, NOW);
    let rule = |after_days, required| Some(Rotation { after_days, required });
    for looser in [rule(91, true), rule(90, false), rule(1, false)] {
        let refused = check_rotation(&somebody, &api, looser).unwrap_err();
        assert!(refused.to_string().contains("replaced after 90 days"), "{refused}");
        assert!(check_rotation(&at(NOW), &api, looser).is_ok(), "who runs this Keyward may");
    }
    for good in [None, rule(90, true), rule(1, true)] {
        assert!(check_rotation(&somebody, &api, good).is_ok(), "{good:?}");
    }
}
