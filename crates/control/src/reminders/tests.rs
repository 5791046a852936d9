//! Who is told of what, when, and that each thing is told once.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use keyward_core::{
    id::{OrganizationId, UserId},
    key::Rotation,
    member::{Email, Role},
    time::Timestamp,
};
use keyward_store::{KeyFilter, KeyRecord, KeyUpdate, Page};
use tokio::sync::watch;

use super::{Looker, MOST_AT_ONCE};
use crate::{
    Control,
    app::{
        keys::NewKey,
        people::tests::{join, with_member},
    },
    error::ControlError,
    fixture::{Faulty, Fixture, NOW, at, new_key, plan},
    mail::{MailSettings, MailWay, Mailer},
    plan::Credentials,
    thread::Stopping,
};

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

/// An owner `ada`, a developer `bob`, an administrator `cid` and a viewer `vic`; and where their mail goes.
struct World {
    fixture: Fixture,
    control: Control,
    organization: OrganizationId,
    bob: UserId,
    mailer: Mailer,
    folder: tempfile::TempDir,
    looker: Looker,
}

impl World {
    async fn new() -> Self {
        let fixture = Fixture::with_organizations().await;
        let control = fixture.control();
        let (organization, ada, bob) = with_member(&control, Role::Developer).await;
        join(&control, &ada, &organization, "cid", Role::Administrator).await;
        join(&control, &ada, &organization, "vic", Role::Viewer).await;
        let folder = tempfile::tempdir().unwrap();
        let mailer = Mailer::start(MailSettings {
            way: MailWay::Folder(folder.path().to_owned()),
            from: "keyward@example.com".parse().unwrap(),
            link: None,
        });
        let mailer = mailer.unwrap();
        let looker = looker(&fixture, &mailer);
        let bob = bob.user().unwrap();
        Self { fixture, control, organization, bob, mailer, folder, looker }
    }

    /// Makes a key at a moment: bob's, unless it is to be nobody's.
    async fn key(&self, made: Timestamp, name: &str, change: impl FnOnce(&mut NewKey)) {
        let mut new = NewKey {
            organization: self.organization.clone(),
            owner: Some(self.bob),
            ..new_key(name)
        };
        change(&mut new);
        self.control.create_key(&at(made), new).await.unwrap();
    }

    /// All keys there are.
    async fn records(&self) -> Vec<KeyRecord> {
        let all = KeyFilter::default();
        self.fixture.folder.store().keys(&all, Page::first(10)).await.unwrap()
    }

    async fn look(&mut self, now: Timestamp) -> Result<usize, ControlError> {
        let (_stop, stopping) = watch::channel(false);
        self.looker.look(now, &mut Stopping::of(stopping)).await
    }

    /// To whom mails went with which subjects since this was asked last, sorted.
    fn mails(&self) -> Vec<(String, String)> {
        let mailer = self.mailer.clone();
        // It blocks, and does so nowhere else than on a thread of its own.
        std::thread::spawn(move || mailer.finish(days(1))).join().unwrap();
        let mut mails = Vec::new();
        for file in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let header = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap().trim_end_matches("@example.com").to_owned()
            };
            mails.push((header("To: "), header("Subject: ")));
            std::fs::remove_file(path).unwrap();
        }
        mails.sort();
        mails
    }

    /// Looks at a moment, and gives who was told of what.
    async fn told(&mut self, now: Timestamp) -> Vec<(String, String)> {
        let count = self.look(now).await.unwrap();
        let mails = self.mails();
        assert_eq!(mails.len(), count);
        mails
    }
}

fn looker(fixture: &Fixture, mailer: &Mailer) -> Looker {
    let policy = plan().policy(&Credentials::new()).unwrap();
    let policy = Arc::new(ArcSwap::from_pointee(policy));
    Looker::new(fixture.folder.store(), mailer.clone(), policy)
}

fn pair(to: &str, subject: &str) -> (String, String) {
    (to.to_owned(), subject.to_owned())
}

#[tokio::test]
async fn an_owner_hears_fourteen_days_seven_days_and_one_day_before_a_key_ends_each_once() {
    let mut world = World::new().await;
    let end = NOW.plus(days(30));
    world.key(NOW, "ci", |new| new.expires_at = Some(end)).await;
    let mail = || vec![pair("bob", "Key expires: ci (main)")];
    for step in [14, 7, 1] {
        let then = end.minus(days(step));
        assert_eq!(world.told(then.minus(Duration::from_secs(1))).await, [], "{step}");
        assert_eq!(world.told(then).await, mail(), "{step}");
        assert_eq!(world.told(then).await, [], "{step}");
        // Another server, or this one after a restart, knows of it from the store.
        world.looker = looker(&world.fixture, &world.mailer);
        assert_eq!(world.told(then.plus(Duration::from_secs(3600))).await, [], "{step}");
    }
    assert_eq!(world.told(end).await, [], "it is refused already");
}

#[tokio::test]
async fn who_looks_late_is_told_of_the_nearest_step_alone() {
    let mut world = World::new().await;
    world.key(NOW, "ci", |new| new.expires_at = Some(NOW.plus(days(30)))).await;
    assert_eq!(world.told(NOW.plus(days(28))).await.len(), 1);
    assert_eq!(world.told(NOW.plus(days(28))).await, []);
}

#[tokio::test]
async fn nobody_is_reminded_of_an_end_that_was_as_near_when_the_key_was_made() {
    let mut world = World::new().await;
    world.key(NOW, "hours", |new| new.expires_at = Some(NOW.plus(days(1)))).await;
    world.key(NOW, "days", |new| new.expires_at = Some(NOW.plus(days(3)))).await;
    assert_eq!(world.told(NOW.plus(Duration::from_secs(60))).await, []);
    assert_eq!(world.told(NOW.plus(days(2))).await, [pair("bob", "Key expires: days (main)")]);
}

#[tokio::test]
async fn where_nobody_owns_a_key_those_who_see_to_keys_are_told() {
    let mut world = World::new().await;
    world
        .key(NOW, "ci", |new| (new.owner, new.expires_at) = (None, Some(NOW.plus(days(30)))))
        .await;
    let subject = "Key expires: ci (main)";
    assert_eq!(world.told(NOW.plus(days(20))).await, [pair("ada", subject), pair("cid", subject)]);
}

#[tokio::test]
async fn a_secret_is_told_of_when_its_rotation_is_due_and_again_after_the_next() {
    let mut world = World::new().await;
    let rule = |required| Some(Rotation { after_days: 90, required });
    world.key(NOW, "asked", |new| new.rotation = rule(false)).await;
    world.key(NOW, "required", |new| new.rotation = rule(true)).await;
    // By the API's profile.
    world
        .key(NOW, "staff", |new| {
            (new.api, new.permissions) = ("staff".parse().unwrap(), vec!["speak".to_owned()]);
        })
        .await;
    let due = NOW.plus(days(90));
    let required = || vec![pair("bob", "Rotation due: required (main)")];
    assert_eq!(world.told(due.minus(days(15))).await, []);
    assert_eq!(world.told(due.minus(days(14))).await, required());
    assert_eq!(world.told(due.minus(days(1))).await, required());
    let asked =
        [pair("bob", "Rotation due: asked (main)"), pair("bob", "Rotation due: staff (staff)")];
    assert_eq!(world.told(due).await, asked, "the required one is refused already");
    assert_eq!(world.told(due.plus(days(1))).await, []);

    let context = at(due.plus(days(1)));
    for record in world.records().await {
        world.control.rotate_key(&context, record.key.id, days(1)).await.unwrap();
    }
    assert_eq!(world.told(due.plus(days(2))).await, []);
    assert_eq!(world.told(due.plus(days(92))).await, asked);
}

#[tokio::test]
async fn nothing_is_said_of_what_is_refused_already_or_ends_later_now() {
    let mut world = World::new().await;
    let end = NOW.plus(days(30));
    for name in ["disabled", "revoked", "moved"] {
        world.key(NOW, name, |new| new.expires_at = Some(end)).await;
    }
    for record in world.records().await {
        let (id, context) = (record.key.id, at(NOW));
        match record.key.name.as_str() {
            "disabled" => drop(world.control.disable_key(&context, id).await.unwrap()),
            "revoked" => drop(world.control.revoke_key(&context, id).await.unwrap()),
            _ => {
                let update = KeyUpdate {
                    expires_at: Some(Some(NOW.plus(days(60)))),
                    ..KeyUpdate::default()
                };
                world.control.update_key(&context, id, update, None).await.unwrap();
            }
        }
    }
    assert_eq!(world.told(NOW.plus(days(25))).await, []);
    assert_eq!(world.told(NOW.plus(days(46))).await, [pair("bob", "Key expires: moved (main)")]);
}

#[tokio::test]
async fn what_finds_no_place_in_the_mail_is_told_at_the_next_look() {
    let mut world = World::new().await;
    world.key(NOW, "ci", |new| new.expires_at = Some(NOW.plus(days(30)))).await;
    let now = NOW.plus(days(20));
    let to: Email = "else@example.com".parse().unwrap();
    let mailer = world.mailer.clone();
    let mut places = Vec::new();
    while let Ok(place) = mailer.reserve(&to) {
        places.push(place);
    }
    assert_eq!(world.look(now).await, Err(ControlError::MailFull));
    drop(places);
    assert_eq!(world.told(now).await, [pair("bob", "Key expires: ci (main)")]);
}

#[tokio::test]
async fn while_the_store_is_away_nothing_is_sent_and_nothing_is_forgotten() {
    let mut world = World::new().await;
    world.key(NOW, "ci", |new| new.expires_at = Some(NOW.plus(days(30)))).await;
    let now = NOW.plus(days(20));
    let faulty = Arc::new(Faulty::new(world.fixture.folder.store()));
    world.looker.store = faulty.clone();
    faulty.break_down();
    world.look(now).await.unwrap_err();
    assert_eq!(world.mails(), []);
    faulty.mend();
    assert_eq!(world.told(now).await, [pair("bob", "Key expires: ci (main)")]);
}

#[tokio::test]
async fn a_look_leaves_room_for_other_mail_and_tells_first_of_what_ends_first() {
    let mut world = World::new().await;
    let count = MOST_AT_ONCE + 10;
    for number in 0..count {
        // The last ones made end first.
        let end = NOW.plus(days(30)).minus(Duration::from_secs(number as u64));
        world.key(NOW, &format!("{number}"), |new| new.expires_at = Some(end)).await;
    }
    let now = NOW.plus(days(20));
    let first = world.told(now).await;
    assert_eq!(first.len(), MOST_AT_ONCE);
    assert!(!first.contains(&pair("bob", "Key expires: 0 (main)")));
    let rest = world.told(now).await;
    assert_eq!(rest.len(), 10);
    assert!(rest.contains(&pair("bob", "Key expires: 0 (main)")));
    assert_eq!(world.told(now).await, []);
}
