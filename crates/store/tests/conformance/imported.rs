//! What is promised of secrets that came from another system.

use keyward_core::{
    id::SecretId,
    key::{Digest, PepperVersion, SealedBcrypt, Secret, SecretForm},
};
use keyward_store::{Actor, Change, Interface, Loaded, Revision, StoreError};

use super::{Bed, commit, creation, key, key_id, secret, secret_id, trace, with_organization};

fn bcrypt(prefix: &str) -> SecretForm {
    SecretForm::Bcrypt(SealedBcrypt { prefix: prefix.into(), sealed: b"sealed".as_slice().into() })
}

fn imported(number: u64, form: SecretForm) -> Change {
    let secret = Secret { form, ..secret(number) };
    Change::CreateKey { key: key(number), secret, most_active: None }
}

async fn upgrade(bed: &Bed, number: u64, digest: u8) -> Result<Revision, StoreError> {
    let change = Change::UpgradeSecret {
        secret: secret_id(number),
        digest: Digest::from_bytes([digest; 32]),
        pepper: PepperVersion(2),
    };
    let actor = Actor::system("gateway", Interface::Gateway);
    bed.store.commit(&actor, super::NOW, change).await
}

async fn kept(bed: &Bed, number: u64) -> Secret {
    bed.second.key(key_id(number)).await.unwrap().unwrap().secrets.remove(0)
}

pub(crate) async fn what_is_kept_of_an_imported_secret_reads_back(bed: Bed) {
    with_organization(&bed.store).await;
    let forms = [
        SecretForm::Minted,
        SecretForm::Imported,
        SecretForm::Sha256,
        SecretForm::Sha512,
        bcrypt("sk_live_ab"),
    ];
    for (number, form) in (1..).zip(forms.clone()) {
        commit(&bed.store, imported(number, form)).await.unwrap();
    }
    let mut loaded = vec![];
    bed.second
        .load(&mut |item| {
            if let Loaded::Key(record) = item {
                loaded.push(record.secrets[0].form.clone());
            }
        })
        .await
        .unwrap();
    assert_eq!(loaded, forms);
    for (number, form) in (1..).zip(forms) {
        assert_eq!(kept(&bed, number).await, Secret { form, ..secret(number) });
    }
    let (_, _, audit) = trace(&bed.store).await;
    let actions: Vec<_> = audit.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions[..5],
        ["key.import", "key.import", "key.import", "key.import", "key.create"]
    );
    assert!(!format!("{audit:?}").contains("sk_live"), "what a key begins with is a hint");
}

pub(crate) async fn an_upgrade_keeps_our_digest_in_place_of_the_others(bed: Bed) {
    with_organization(&bed.store).await;
    for (number, form) in
        [(1, SecretForm::Sha256), (2, SecretForm::Sha512), (3, bcrypt("sk_live_ab"))]
    {
        commit(&bed.store, imported(number, form)).await.unwrap();
        let digest = u8::try_from(number).unwrap();
        upgrade(&bed, number, digest).await.unwrap();
        let expected = Secret {
            digest: Digest::from_bytes([digest; 32]),
            pepper: PepperVersion(2),
            form: SecretForm::Imported,
            ..secret(number)
        };
        assert_eq!(kept(&bed, number).await, expected);
        // Told again, late, it changes nothing.
        let before = trace(&bed.store).await;
        upgrade(&bed, number, 99).await.unwrap();
        assert_eq!(trace(&bed.store).await, before);
    }
    commit(&bed.store, creation(4)).await.unwrap();
    let before = trace(&bed.store).await;
    upgrade(&bed, 4, 4).await.unwrap();
    assert_eq!(trace(&bed.store).await, before, "what was made here is kept as it is");
    let missing = upgrade(&bed, 9, 9).await;
    assert_eq!(missing, Err(StoreError::NoSuchSecret(SecretId::from_bits(secret_id(9).bits()))));
    let entry = before.2.iter().find(|entry| entry.action == "secret.upgrade").unwrap();
    assert_eq!(entry.before.as_ref().unwrap()["kept_as"], "bcrypt");
    assert_eq!(entry.after.as_ref().unwrap()["kept_as"], "imported");
    assert_eq!(entry.actor.kind.as_str(), "system");
}

pub(crate) async fn an_upgrade_never_takes_another_secrets_digest(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, imported(1, SecretForm::Sha256)).await.unwrap();
    commit(&bed.store, imported(2, SecretForm::Sha256)).await.unwrap();
    upgrade(&bed, 1, 7).await.unwrap();
    let before = trace(&bed.store).await;
    assert_eq!(upgrade(&bed, 2, 7).await, Err(StoreError::SecretExists(secret_id(2))));
    assert_eq!(trace(&bed.store).await, before);
    assert_eq!(kept(&bed, 2).await.form, SecretForm::Sha256);
}

pub(crate) async fn few_secrets_with_bcrypt_hashes_begin_alike(bed: Bed) {
    with_organization(&bed.store).await;
    for number in 1..=8 {
        commit(&bed.store, imported(number, bcrypt("sk_live_"))).await.unwrap();
    }
    let before = trace(&bed.store).await;
    let refused = commit(&bed.store, imported(9, bcrypt("sk_live_"))).await.unwrap_err();
    assert!(refused.to_string().contains("more of the key's first characters"), "{refused}");
    for wrong in ["sk_", "a prefix", &"k".repeat(33)] {
        let refused = commit(&bed.store, imported(9, bcrypt(wrong))).await.unwrap_err();
        assert!(refused.to_string().contains("4 to 32"), "{refused}");
    }
    assert_eq!(trace(&bed.store).await, before);
    commit(&bed.store, imported(9, bcrypt("sk_live_a"))).await.unwrap();
    commit(&bed.store, imported(10, bcrypt("sk_live_ab"))).await.unwrap();
    let refused = commit(&bed.store, imported(11, bcrypt("sk_live_abc"))).await.unwrap_err();
    assert!(refused.to_string().contains("the same length"), "{refused}");
    // One that was used is checked no more, and makes room.
    upgrade(&bed, 1, 1).await.unwrap();
    commit(&bed.store, imported(11, bcrypt("sk_live_"))).await.unwrap();
}

pub(crate) async fn a_rehearsal_tells_what_would_be_and_leaves_no_trace(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let before = trace(&bed.store).await;
    let actor = super::actor();
    let again = Secret { id: secret_id(7), key: key_id(4), ..secret(2) };
    let changes = vec![
        creation(2),
        creation(1),
        imported(3, bcrypt("sk_live_")),
        // As if those before were there.
        Change::CreateKey { key: key(4), secret: again, most_active: None },
        Change::CreateKey { key: key(5), secret: secret(5), most_active: Some(3) },
    ];
    let told = bed.store.rehearse(&actor, super::NOW, changes).await.unwrap();
    assert_eq!(told[0], Ok(()));
    assert_eq!(told[1], Err(StoreError::KeyExists(key_id(1))));
    assert_eq!(told[2], Ok(()));
    assert_eq!(told[3], Err(StoreError::SecretExists(secret_id(7))));
    assert!(matches!(told[4], Err(StoreError::TooManyKeys { most: 3, .. })), "{:?}", told[4]);
    assert_eq!(trace(&bed.store).await, before);
    assert_eq!(bed.second.key(key_id(2)).await.unwrap(), None);
    commit(&bed.store, creation(2)).await.unwrap();
}
