//! From asking to a key that is exactly what was granted, and who is told by mail.

use std::{path::Path, time::Duration};

use keyward_api::{ErrorCode, KeyRequestStateView, KeyRequestView};
use keyward_core::{
    id::{KeyRequestId, OrganizationId},
    member::Role,
    time::Timestamp,
};
use keyward_store::StoreError;

use super::{Grant, KeyRequestQuery, NewKeyRequest};
use crate::{
    Context, Control, ControlError,
    app::people::tests::{join, logged_in, with_member},
    fixture::{Fixture, NOW, at},
    mail::{MailSettings, MailWay, Mailer},
};

const DAY: u64 = 24 * 3600;

fn new_request(organization: &OrganizationId, name: &str) -> NewKeyRequest {
    NewKeyRequest {
        api: "asked".parse().unwrap(),
        organization: organization.clone(),
        name: name.to_owned(),
        environment: None,
        permissions: vec!["admin".to_owned()],
        preset: None,
        reason: "nightly jobs".to_owned(),
        lifetime_seconds: Some(30 * DAY),
        allowed_networks: vec!["10.0.0.0/8".parse().unwrap()],
        allowed_models: Some(vec!["small".to_owned(), "large".to_owned()]),
        limits: vec![],
    }
}

fn at_moment(context: &Context, now: Timestamp) -> Context {
    Context { now, ..context.clone() }
}

fn id(view: &KeyRequestView) -> KeyRequestId {
    view.id.parse().unwrap()
}

/// An owner `ada`, a developer `bob`, an administrator `cid`, a viewer `vic`, and `eve`, who belongs elsewhere.
struct World {
    _fixture: Fixture,
    control: Control,
    organization: OrganizationId,
    ada: Context,
    bob: Context,
    cid: Context,
    vic: Context,
    eve: Context,
}

async fn world() -> World {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let (organization, ada, bob) = with_member(&control, Role::Developer).await;
    join(&control, &ada, &organization, "cid", Role::Administrator).await;
    join(&control, &ada, &organization, "vic", Role::Viewer).await;
    join(&control, &at(NOW), &"other".parse().unwrap(), "eve", Role::Owner).await;
    let (cid, vic) = (logged_in(&control, "cid").await, logged_in(&control, "vic").await);
    let eve = logged_in(&control, "eve").await;
    World { _fixture: fixture, control, organization, ada, bob, cid, vic, eve }
}

#[tokio::test]
async fn a_key_is_asked_for_granted_in_part_and_claimed_by_who_asked() {
    let World { control, organization, bob, cid, .. } = world().await;
    let asked = control.request_key(&bob, new_request(&organization, "ci")).await.unwrap();
    assert_eq!(asked.requester.email, "bob@example.com");
    assert_eq!(
        (asked.state, asked.environment.as_str()),
        (KeyRequestStateView::Open, "production")
    );
    let grant = Grant {
        permissions: Some(vec!["write".to_owned()]),
        lifetime_seconds: Some(DAY),
        allowed_networks: Some(vec!["10.1.2.3".parse().unwrap()]),
        allowed_models: Some(vec!["small".to_owned()]),
        note: Some("for a day".to_owned()),
        limits: None,
    };
    let approved = control.approve_key_request(&cid, id(&asked), grant).await.unwrap();
    let decision = approved.decision.clone().unwrap();
    assert_eq!(decision.by.unwrap().email, "cid@example.com");
    assert_eq!(decision.note.as_deref(), Some("for a day"));
    let granted = approved.granted.clone().unwrap();
    assert_eq!(
        (granted.permissions, granted.lifetime_seconds),
        (vec!["write".to_owned()], Some(DAY))
    );

    let when = NOW.plus(Duration::from_secs(3600));
    let issued = control.claim_key(&at_moment(&bob, when), id(&asked)).await.unwrap();
    assert!(issued.plaintext.expose().starts_with("asked_"));
    let key = issued.key();
    assert_eq!((key.owner, &*key.name), (bob.user(), "ci"));
    assert_eq!(key.permissions, ["write"]);
    assert_eq!(key.allowed_networks, ["10.1.2.3".parse().unwrap()]);
    assert_eq!(key.allowed_models, Some(vec!["small".to_owned()]));
    assert_eq!(key.expires_at, Some(when.plus(Duration::from_secs(DAY))));
    let shown = control.show_key_request(&cid, id(&asked)).await.unwrap();
    assert_eq!(shown.key_id, Some(key.id.to_string()));
    let again = control.claim_key(&bob, id(&asked)).await.map(drop).unwrap_err();
    assert_eq!(again.code(), ErrorCode::Conflict);
}

#[tokio::test]
async fn what_is_left_out_of_an_approval_is_granted_as_asked() {
    let World { control, organization, bob, cid, .. } = world().await;
    let preset = NewKeyRequest {
        permissions: vec![],
        preset: Some("writer".to_owned()),
        lifetime_seconds: None,
        allowed_models: None,
        ..new_request(&organization, "ci")
    };
    let asked = control.request_key(&bob, preset).await.unwrap();
    assert_eq!(
        (&*asked.environment, &asked.asked.permissions[..]),
        ("staging", &["write".to_owned()][..])
    );
    let approved = control.approve_key_request(&cid, id(&asked), Grant::default()).await.unwrap();
    assert_eq!(approved.granted, Some(asked.asked.clone()));
    let key = control.claim_key(&bob, id(&asked)).await.unwrap().record.key;
    assert_eq!((key.expires_at, key.allowed_models), (None, None));
}

#[tokio::test]
async fn no_permission_is_granted_that_was_not_asked_for_or_implied() {
    let World { control, organization, bob, cid, .. } = world().await;
    let writes = NewKeyRequest {
        permissions: vec!["write".to_owned()],
        ..new_request(&organization, "writes")
    };
    let writes = control.request_key(&bob, writes).await.unwrap();
    let all = control.request_key(&bob, new_request(&organization, "all")).await.unwrap();
    let approve = async |of: &KeyRequestView, names: &[&str]| {
        let permissions = Some(names.iter().map(|name| (*name).to_owned()).collect());
        let grant = Grant { permissions, ..Grant::default() };
        control.approve_key_request(&cid, id(of), grant).await.map(|view| view.granted.unwrap())
    };
    for (names, remedy) in [
        (&["admin"][..], "grant some of write"),
        (&["write", "read"], "grant some of write"),
        (&["fly"], "use some of read, write, admin"),
        (&[], "give it permissions"),
    ] {
        let refused = approve(&writes, names).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Invalid);
        assert!(refused.to_string().contains(remedy), "{refused}");
    }
    let granted = approve(&all, &["read", "write"]).await.unwrap();
    assert_eq!(granted.permissions, ["read", "write"]);
    for grant in [
        Grant { lifetime_seconds: Some(31 * DAY), ..Grant::default() },
        Grant { lifetime_seconds: Some(0), ..Grant::default() },
        Grant { allowed_networks: Some(vec![]), ..Grant::default() },
        Grant { allowed_models: Some(vec!["huge".to_owned()]), ..Grant::default() },
    ] {
        let refused = control.approve_key_request(&cid, id(&writes), grant).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Invalid, "{refused}");
    }
}

#[tokio::test]
async fn each_api_has_its_own_way_to_a_key_and_a_refusal_names_it() {
    let World { control, organization, bob, .. } = world().await;
    let ask_at = async |api: &str, permission: &str| {
        let new = NewKeyRequest {
            api: api.parse().unwrap(),
            permissions: vec![permission.to_owned()],
            ..new_request(&organization, "ci")
        };
        control.request_key(&bob, new).await.map(drop).unwrap_err()
    };
    let own = ask_at("main", "read").await;
    assert_eq!(own.code(), ErrorCode::Invalid);
    assert!(own.to_string().contains("need no request"), "{own}");
    assert_eq!(ask_at("staff", "speak").await, ControlError::ByStaff("staff".parse().unwrap()));
    let make = crate::app::keys::NewKey {
        api: "asked".parse().unwrap(),
        organization: organization.clone(),
        ..crate::fixture::new_key("ci")
    };
    let refused = control.create_key(&bob, make).await.map(drop).unwrap_err();
    assert_eq!(refused, ControlError::ByRequest("asked".parse().unwrap()));
    assert_eq!(refused.code(), ErrorCode::Forbidden);
    assert!(refused.to_string().contains("send a key request"), "{refused}");
}

#[tokio::test]
async fn a_request_is_seen_by_who_asked_and_by_who_decides() {
    let World { control, organization, ada, bob, cid, vic, eve, .. } = world().await;
    let bobs = control.request_key(&bob, new_request(&organization, "bob's")).await.unwrap();
    let cids = control.request_key(&cid, new_request(&organization, "cid's")).await.unwrap();
    let list = async |who: &Context| {
        let query = KeyRequestQuery {
            organization: Some(organization.clone()),
            ..KeyRequestQuery::default()
        };
        let page = control.list_key_requests(who, &query, 10).await?;
        Ok::<_, ControlError>(page.items.into_iter().map(|one| one.name).collect::<Vec<_>>())
    };
    for who in [&ada, &cid, &at(NOW)] {
        assert_eq!(list(who).await.unwrap(), ["cid's", "bob's"]);
    }
    assert_eq!(list(&bob).await.unwrap(), ["bob's"]);
    assert_eq!(list(&vic).await.unwrap(), [""; 0]);
    let elsewhere = list(&eve).await.unwrap_err();
    assert_eq!(elsewhere, StoreError::NoSuchOrganization(organization.clone()).into());
    let all = control.list_key_requests(&ada, &KeyRequestQuery::default(), 10).await.map(drop);
    assert_eq!(all.unwrap_err().code(), ErrorCode::Forbidden);

    let missing = |of| Err(StoreError::NoSuchKeyRequest(of).into());
    let nothing = KeyRequestId::from_bits([9; 16]);
    for (who, of) in [(&bob, id(&cids)), (&vic, id(&bobs)), (&eve, id(&bobs)), (&bob, nothing)] {
        assert_eq!(control.show_key_request(who, of).await.map(drop), missing(of));
        assert_eq!(control.claim_key(who, of).await.map(drop), missing(of));
        assert_eq!(control.withdraw_key_request(who, of).await.map(drop), missing(of));
        let approve = control.approve_key_request(who, of, Grant::default());
        assert_eq!(approve.await.map(drop), missing(of));
        let deny = control.deny_key_request(who, of, "no".to_owned());
        assert_eq!(deny.await.map(drop), missing(of));
        // Nor does a list that goes on behind it tell that it is there.
        let query = KeyRequestQuery {
            organization: Some(organization.clone()),
            after: Some(of),
            ..KeyRequestQuery::default()
        };
        if who != &eve {
            let listed = control.list_key_requests(who, &query, 10).await.map(drop);
            assert_eq!(listed, missing(of));
        }
    }
    // On one's own only owners decide; and nobody else claims, operators neither.
    let own = control.approve_key_request(&cid, id(&cids), Grant::default()).await.map(drop);
    assert_eq!(own, Err(StoreError::OwnKeyRequest(id(&cids)).into()));
    let forbidden = control.approve_key_request(&bob, id(&bobs), Grant::default()).await;
    assert_eq!(forbidden.map(drop).unwrap_err().code(), ErrorCode::Forbidden);
    control.approve_key_request(&at(NOW), id(&cids), Grant::default()).await.unwrap();
    for who in [&ada, &at(NOW)] {
        let others = Err(StoreError::NotTheRequester(id(&cids)).into());
        assert_eq!(control.claim_key(who, id(&cids)).await.map(drop), others);
    }
    let adas = control.request_key(&ada, new_request(&organization, "ada's")).await.unwrap();
    control.approve_key_request(&ada, id(&adas), Grant::default()).await.unwrap();
}

#[tokio::test]
async fn what_has_grown_too_old_is_shown_and_listed_so() {
    let World { control, organization, bob, cid, .. } = world().await;
    let mut names = vec![];
    for name in ["open", "approved", "denied", "withdrawn"] {
        names.push(control.request_key(&bob, new_request(&organization, name)).await.unwrap());
    }
    control.approve_key_request(&cid, id(&names[1]), Grant::default()).await.unwrap();
    let denied = control.deny_key_request(&cid, id(&names[2]), "no".to_owned()).await.unwrap();
    assert_eq!(denied.decision.unwrap().note.as_deref(), Some("no"));
    control.withdraw_key_request(&bob, id(&names[3])).await.unwrap();
    let listed = async |days: u64, state| {
        let query =
            KeyRequestQuery { state, organization: Some(organization.clone()), after: None };
        let who = at_moment(&bob, NOW.plus(Duration::from_secs(days * DAY)));
        let page = control.list_key_requests(&who, &query, 1).await.unwrap();
        assert_eq!(page.next.is_some(), !page.items.is_empty());
        page.items.into_iter().map(|one| (one.name, one.state)).next()
    };
    use KeyRequestStateView::{Approved, Denied, Expired, Lapsed, Open, Withdrawn};
    for (days, state, name) in [
        (0, Open, Some("open")),
        (30, Open, None),
        (30, Expired, Some("open")),
        (6, Approved, Some("approved")),
        (7, Approved, None),
        (7, Lapsed, Some("approved")),
        (6, Lapsed, None),
        (99, Denied, Some("denied")),
        (99, Withdrawn, Some("withdrawn")),
    ] {
        let expected = name.map(|name| (name.to_owned(), state));
        assert_eq!(listed(days, Some(state)).await, expected, "{days} {state:?}");
    }
    let late = at_moment(&bob, NOW.plus(Duration::from_secs(7 * DAY)));
    let refused = control.claim_key(&late, id(&names[1])).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("lapsed"), "{refused}");
}

/// The mails in a folder: to whom, and their subject.
fn mails(folder: &Path) -> Vec<(String, String)> {
    let mut mails: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let header = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap().to_owned()
            };
            (header("To: "), header("Subject: "))
        })
        .collect();
    mails.sort();
    mails
}

#[tokio::test]
async fn those_who_decide_and_who_asked_are_told_by_mail() {
    let World { control, organization, ada, bob, cid, .. } = world().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = MailSettings {
        way: MailWay::Folder(folder.path().to_owned()),
        from: "keyward@example.com".parse().unwrap(),
        link: None,
    };
    let mailer = Mailer::start(settings).unwrap();
    let control = control.with_mailer(mailer.clone());
    let mut asked = vec![];
    for (who, name) in [(&bob, "one"), (&bob, "two"), (&cid, "three")] {
        asked.push(control.request_key(who, new_request(&organization, name)).await.unwrap());
    }
    control.approve_key_request(&cid, id(&asked[0]), Grant::default()).await.unwrap();
    control.deny_key_request(&cid, id(&asked[1]), "use another".to_owned()).await.unwrap();
    let to = Some((organization.clone(), Role::Viewer));
    let invited = control.invite(&ada, to, "new@example.com".parse().unwrap()).await.unwrap();
    assert!(invited.token.is_none(), "it is in the mail, and nowhere else");
    // A key that is claimed is told to nobody.
    control.claim_key(&bob, id(&asked[0])).await.unwrap();
    mailer.finish(Duration::from_secs(60));
    let told = mails(folder.path());
    let told: Vec<_> = told.iter().map(|(to, subject)| (&**to, &**subject)).collect();
    let expected = [
        ("ada@example.com", "Key request: one (asked)"),
        ("ada@example.com", "Key request: three (asked)"),
        ("ada@example.com", "Key request: two (asked)"),
        ("bob@example.com", "Key approved: one (asked)"),
        ("bob@example.com", "Key denied: two (asked)"),
        ("cid@example.com", "Key request: one (asked)"),
        ("cid@example.com", "Key request: two (asked)"),
        ("new@example.com", "Invitation to Ada's"),
    ];
    assert_eq!(told, expected);
}
