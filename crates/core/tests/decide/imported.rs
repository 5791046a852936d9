//! Keys that came from another system: found by what that system kept of them, whatever their format, until they are kept as ours.

use std::sync::Arc;

use keyward_core::{
    decide::{self, Identity, Suspect},
    key::{Digest, ForeignDigest, KeyState, SealedBcrypt, Secret, SecretForm},
    verdict::{Reason, Verdict},
};
use sha2::{Digest as _, Sha256, Sha512};

use crate::world::{Ask, Made, World};

const URL: &str = "https://api.anunzi.net/v2/assistants";
const FOREIGN: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dcX9";

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn imported(world: &World, text: &str, form: SecretForm) -> Made {
    let pepper = world.snapshot.peppers().current();
    let sha512: [u8; 64] = Sha512::digest(text).into();
    let digest = match &form {
        SecretForm::Sha256 => pepper.digest_of(ForeignDigest::Sha256(&sha256(text))),
        SecretForm::Sha512 => pepper.digest_of(ForeignDigest::Sha512(&sha512)),
        SecretForm::Bcrypt(_) => {
            pepper.digest_of(ForeignDigest::Bcrypt(&format!("hash of {text}")))
        }
        SecretForm::Minted | SecretForm::Imported => pepper.digest(text.as_bytes()),
    };
    let made = world.key_with("anunzi", &["assistants:read"], |_, secret| {
        (secret.digest, secret.form) = (digest, form);
    });
    Made { text: text.to_owned(), ..made }
}

fn bcrypt(prefix: &str) -> SecretForm {
    SecretForm::Bcrypt(SealedBcrypt { prefix: prefix.into(), sealed: Arc::new([1]) })
}

fn ask<'w>(world: &'w World, text: &str) -> Ask<'w> {
    world.request("GET", URL).with_text(text)
}

fn identity(ask: &Ask<'_>) -> Result<Identity, Reason> {
    decide::identify(&ask.world.snapshot, &ask.facts()).map_err(|denial| denial.reason)
}

fn suspect(ask: &Ask<'_>) -> Box<Suspect> {
    match identity(ask) {
        Ok(Identity::Unproven(suspect)) => suspect,
        other => panic!("{other:?}"),
    }
}

/// Its digest as ours in the place of the other system's, as the store tells of it.
fn upgraded(world: &World, made: &Made) -> Secret {
    let digest = world.snapshot.peppers().current().digest(made.text.as_bytes());
    Secret { digest, form: SecretForm::Imported, ..made.secret.clone() }
}

#[test]
fn an_imported_key_is_known_in_whatever_form_it_is_kept() {
    for form in [SecretForm::Imported, SecretForm::Sha256, SecretForm::Sha512] {
        let world = World::new();
        let well_formed = world.well_formed("anunzi");
        for text in [FOREIGN, &well_formed] {
            let made = imported(&world, text, form.clone());
            assert_eq!(ask(&world, text).permitted(), made.key.id, "{form:?} {text}");
            let Ok(Identity::Known(caller)) = identity(&ask(&world, text)) else { panic!() };
            let told = decide::upgrade(&world.snapshot, &ask(&world, text).facts(), &caller);
            assert_eq!(told.is_some(), form.is_foreign());
            if let Some(told) = told {
                let secret = upgraded(&world, &made);
                assert_eq!(
                    (told.secret, told.digest, told.pepper),
                    (secret.id, secret.digest, secret.pepper)
                );
            }
        }
    }
}

#[test]
fn who_is_not_known_is_refused_in_the_same_words_as_without_imports() {
    let without = World::new();
    let with = World::new();
    for form in [SecretForm::Imported, SecretForm::Sha256, SecretForm::Sha512, bcrypt("sk_live_")] {
        imported(&with, &format!("{FOREIGN}{}", form.as_str()), form);
    }
    let unknown = with.well_formed("anunzi");
    for text in ["x", "sk_test_4eC39HqLyjWDarjtT1zdp7dcX9", &unknown, &unknown[1..]] {
        assert_eq!(ask(&with, text).denied(), ask(&without, text).denied(), "{text}");
    }
    // The other system's digest is no key, and neither is what is kept of it.
    let hex: String = sha256(FOREIGN).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ask(&with, &hex).refused_for(), Some(Reason::MalformedKey));
}

#[test]
fn a_key_imported_to_one_api_is_unknown_at_another() {
    let world = World::new();
    imported(&world, FOREIGN, SecretForm::Sha256);
    let elsewhere = world.request("GET", "https://api.openai.com/v1/models").with_text(FOREIGN);
    assert_eq!(elsewhere.refused_for(), Some(Reason::MalformedKey));
}

#[test]
fn an_upgraded_key_goes_on_working_and_its_revocation_counts() {
    for form in [SecretForm::Sha256, SecretForm::Sha512] {
        let world = World::new();
        let made = imported(&world, FOREIGN, form);
        let Verdict::Permit(lasting) = ask(&world, FOREIGN).verdict() else { panic!() };
        let secret = upgraded(&world, &made);
        world.put(&made.key, std::slice::from_ref(&secret));
        assert_eq!(ask(&world, FOREIGN).permitted(), made.key.id);
        let Ok(Identity::Known(caller)) = identity(&ask(&world, FOREIGN)) else { panic!() };
        let facts = ask(&world, FOREIGN);
        assert_eq!(decide::upgrade(&world.snapshot, &facts.facts(), &caller), None);
        assert_eq!(world.snapshot.directory().find(&made.secret.digest).map(|one| one.key), None);
        assert!(decide::still_holds(&world.snapshot, &lasting, facts.now), "a tunnel goes on");

        let revoked = keyward_core::key::Key { state: KeyState::Revoked, ..made.key.clone() };
        world.put(&revoked, &[secret]);
        assert_eq!(ask(&world, FOREIGN).refused_for(), Some(Reason::RevokedKey));
        assert!(!decide::still_holds(&world.snapshot, &lasting, facts.now));
    }
}

#[test]
fn a_key_of_which_a_bcrypt_hash_is_known_is_found_once_it_is_proven() {
    let world = World::new();
    let other = imported(&world, "sk_live_another", bcrypt("sk_live_"));
    let made = imported(&world, FOREIGN, bcrypt("sk_live_4eC3"));
    let found = suspect(&ask(&world, FOREIGN));
    let secrets: Vec<_> =
        found.candidates().iter().flat_map(|set| set.iter()).map(|one| one.secret).collect();
    assert_eq!(secrets, [made.secret.id, other.secret.id], "the longest beginning first");
    assert_eq!(&**found.key(), FOREIGN.as_bytes());
    assert_eq!(format!("{found:?}"), "Suspect(2 sets of candidates)", "what was sent is not shown");
    let right = found.candidates()[0][0].clone();
    found.prove(&world.snapshot, &right);
    assert_eq!(ask(&world, FOREIGN).permitted(), made.key.id);
    assert!(matches!(identity(&ask(&world, "sk_live_4eC3_not")), Ok(Identity::Unproven(_))));

    let Ok(Identity::Known(caller)) = identity(&ask(&world, FOREIGN)) else { panic!() };
    let facts = ask(&world, FOREIGN);
    let told = decide::upgrade(&world.snapshot, &facts.facts(), &caller).unwrap();
    assert_eq!((told.secret, told.digest), (made.secret.id, upgraded(&world, &made).digest));

    let revoked = keyward_core::key::Key { state: KeyState::Revoked, ..made.key.clone() };
    world.put(&revoked, std::slice::from_ref(&made.secret));
    assert_eq!(ask(&world, FOREIGN).refused_for(), Some(Reason::RevokedKey));
    world.put(&made.key, &[upgraded(&world, &made)]);
    assert_eq!(ask(&world, FOREIGN).permitted(), made.key.id);
    let left = suspect(&ask(&world, "sk_live_4eC3_not"));
    assert_eq!(left.candidates().len(), 1, "what is kept as ours is no candidate any more");
}

#[test]
fn a_proof_of_what_is_no_longer_there_opens_nothing() {
    let world = World::new();
    let made = imported(&world, FOREIGN, bcrypt("sk_live_"));
    let late = suspect(&ask(&world, FOREIGN));
    let candidate = late.candidates()[0][0].clone();
    let moved = Secret {
        digest: Digest::from_bytes([3; 32]),
        form: SecretForm::Imported,
        ..made.secret.clone()
    };
    world.put(&made.key, &[moved]);
    late.prove(&world.snapshot, &candidate);
    assert_eq!(ask(&world, FOREIGN).refused_for(), Some(Reason::MalformedKey));
}

#[test]
fn where_nothing_can_be_checked_the_answer_is_that_we_cannot_know() {
    let world = World::new();
    imported(&world, FOREIGN, bcrypt("sk_live_"));
    assert_eq!(ask(&world, FOREIGN).denied().reason, Reason::Unavailable);
    let unknown = suspect(&ask(&world, FOREIGN)).unknown();
    assert_eq!(unknown.reason, Reason::MalformedKey);
    // What bcrypt would read only the beginning of is not checked.
    let long = format!("{FOREIGN}{}", "x".repeat(72));
    assert_eq!(ask(&world, &long).refused_for(), Some(Reason::MalformedKey));
}
