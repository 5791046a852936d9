//! What is promised of loading the full state.

use std::sync::Arc;

use keyward_core::key::KeyState;
use keyward_store::{Change, KeyRecord, Loaded, Revision, SealedBytes, Store};

use super::{
    Bed, commit, creation, key, key_id, later, organization, secret, secret_of, state,
    with_organization,
};

async fn everything(store: &Arc<dyn Store>) -> (Revision, Vec<Loaded>) {
    let mut items = vec![];
    let revision = store.load(&mut |item| items.push(item)).await.unwrap();
    (revision, items)
}

pub(crate) async fn an_empty_store_loads_as_nothing(bed: Bed) {
    assert_eq!(everything(&bed.store).await, (Revision::ZERO, vec![]));
}

pub(crate) async fn load_gives_everything_with_old_secrets_and_revoked_keys(bed: Bed) {
    with_organization(&bed.store).await;
    for number in [3, 1, 2] {
        commit(&bed.store, creation(number)).await.unwrap();
    }
    let rotate = |number| Change::RotateKey {
        key: key_id(3),
        secret: secret_of(number, 3),
        old_expires_at: later(60),
    };
    commit(&bed.store, rotate(10)).await.unwrap();
    commit(&bed.store, state(1, KeyState::Revoked)).await.unwrap();
    commit(&bed.store, rotate(4)).await.unwrap();
    let set = Change::SetUpstreamCredential {
        upstream: "up".to_owned(),
        sealed: SealedBytes::from_bytes(*b"sealed"),
    };
    let newest = commit(&bed.store, set).await.unwrap();
    let (revision, items) = everything(&bed.second).await;
    assert_eq!(revision, newest);
    let credential = bed.store.upstream_credentials().await.unwrap().remove(0);
    let ended =
        |number| keyward_core::key::Secret { expires_at: Some(later(60)), ..secret_of(number, 3) };
    let expected = [
        Loaded::Organization(organization("org")),
        Loaded::UpstreamCredential(credential),
        Loaded::Key(KeyRecord {
            key: key(3),
            owner_role: None,
            secrets: vec![ended(3), ended(10), secret_of(4, 3)],
            revision: Revision::new(7),
        }),
        Loaded::Key(KeyRecord {
            key: keyward_core::key::Key { state: KeyState::Revoked, ..key(1) },
            owner_role: None,
            secrets: vec![secret(1)],
            revision: Revision::new(6),
        }),
        Loaded::Key(KeyRecord {
            key: key(2),
            owner_role: None,
            secrets: vec![secret(2)],
            revision: Revision::new(4),
        }),
    ];
    assert_eq!(items, expected);
}

pub(crate) async fn load_is_of_exactly_its_revision(bed: Bed) {
    with_organization(&bed.store).await;
    let writing = {
        let store = bed.store.clone();
        tokio::spawn(async move {
            for number in 1..=300 {
                commit(&store, creation(number)).await.unwrap();
            }
        })
    };
    let mut loads = 0;
    loop {
        let finished = writing.is_finished();
        let (revision, items) = everything(&bed.second).await;
        // Revision 1 made the organization, each further one a key.
        let keys = items.iter().filter(|item| matches!(item, Loaded::Key(_))).count() as u64;
        assert_eq!(keys + u64::from(!items.is_empty()), revision.get());
        loads += 1;
        if finished {
            break;
        }
    }
    writing.await.unwrap();
    assert!(loads > 1, "it was loaded while it was written");
}
