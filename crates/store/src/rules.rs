//! What a change means, apart from any engine: given what is there, what shall be there, and what the audit log says.
//!
//! Pure functions, so that SQLite and PostgreSQL cannot come to mean different things by "rotate". An engine reads,
//! asks here, and writes what it is told. `None` says that what was asked for is so already.

pub(crate) mod alerts;
pub(crate) mod authority;
pub(crate) mod imported;
pub(crate) mod people;
pub(crate) mod plans;
pub(crate) mod requests;
pub(crate) mod updates;
pub(crate) mod webhooks;

use std::{net::IpAddr, time::Duration};

use keyward_core::{
    id::{KeyId, ModelId, OrganizationId, UserId},
    key::{Key, KeyState, Secret, SecretForm},
    member::{Membership, Right},
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use serde_json::{Value, json};

use crate::{
    change::Subject,
    error::StoreError,
    query::{KeyRecord, UpstreamCredential},
};

/// A key is heard of in the audit log at most this often for having been seen in the clear.
const EXPOSURE_QUIET_MILLIS: u64 = 3_600_000;
const LONGEST_NAME: usize = 100;

/// What the audit log and the feed say about a change.
#[derive(Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) action: &'static str,
    pub(crate) subject: Subject,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// A stored organization state's word.
pub(crate) const fn organization_state_word(state: OrganizationState) -> &'static str {
    match state {
        OrganizationState::Active => "active",
        OrganizationState::Suspended => "suspended",
    }
}

/// Characters that change how a line reads, or are not seen: separators, directions (UAX 9, 2), joiners of nothing, tags. The two
/// joiners that scripts and emoji need (U+200C, U+200D) stay.
const fn is_hidden(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

pub(crate) fn name_fits(name: &str) -> Result<(), StoreError> {
    let chars = name.chars().count();
    if chars == 0 {
        let remedy = format!("give it 1 to {LONGEST_NAME} printable characters");
        return Err(StoreError::invalid("the name is empty", remedy));
    }
    if chars > LONGEST_NAME {
        let what = format!("the name has {chars} characters, at most {LONGEST_NAME}");
        return Err(StoreError::invalid(what, "choose a shorter one"));
    }
    if name.chars().any(char::is_control) {
        let remedy = "leave out line breaks, tabs and their like";
        return Err(StoreError::invalid("the name holds a control character", remedy));
    }
    if let Some(hidden) = name.chars().find(|char| is_hidden(*char)) {
        let what = format!("the name holds {}, which nobody sees", hidden.escape_unicode());
        return Err(StoreError::invalid(what, "leave it out: two names must not look like one"));
    }
    if name.trim() != name {
        let what = "the name begins or ends with a space";
        return Err(StoreError::invalid(what, "leave it out: two names must not look like one"));
    }
    Ok(())
}

/// May this organization be made?
pub(crate) fn new_organization(new: &Organization) -> Result<Entry, StoreError> {
    name_fits(&new.name)?;
    plans::limits_fit(&new.limits)?;
    Ok(Entry {
        action: "organization.create",
        subject: Subject::Organization(new.id.clone()),
        before: None,
        after: Some(json!(new)),
    })
}

/// Suspend or resume.
pub(crate) fn organization_state(before: &Organization, to: OrganizationState) -> Option<Entry> {
    let action = match to {
        OrganizationState::Active => "organization.resume",
        OrganizationState::Suspended => "organization.suspend",
    };
    (before.state != to).then(|| Entry {
        action,
        subject: Subject::Organization(before.id.clone()),
        before: Some(json!({ "state": before.state })),
        after: Some(json!({ "state": to })),
    })
}

/// May `organization` have the model id that `holder` has?
pub(crate) fn model_assignment(
    organization: &OrganizationId,
    model: &ModelId,
    holder: Option<&OrganizationId>,
) -> Result<Option<Entry>, StoreError> {
    match holder {
        Some(holder) if holder == organization => Ok(None),
        Some(_) => Err(StoreError::ModelTaken(model.clone())),
        None => Ok(Some(Entry {
            action: "organization.assign_model_id",
            subject: Subject::Organization(organization.clone()),
            before: None,
            after: Some(json!({ "model_id": model })),
        })),
    }
}

/// May the model id that `holder` has be taken from `organization`?
pub(crate) fn model_withdrawal(
    organization: &OrganizationId,
    model: &ModelId,
    holder: Option<&OrganizationId>,
) -> Result<Entry, StoreError> {
    if holder != Some(organization) {
        return Err(StoreError::ModelNotAssigned {
            organization: organization.clone(),
            model: model.clone(),
        });
    }
    Ok(Entry {
        action: "organization.withdraw_model_id",
        subject: Subject::Organization(organization.clone()),
        before: Some(json!({ "model_id": model })),
        after: None,
    })
}

fn secret_fits(key: KeyId, secret: &Secret) -> Result<(), StoreError> {
    if secret.key == key {
        return Ok(());
    }
    Err(StoreError::invalid(
        format!("secret {} names key {}, not {key}", secret.id, secret.key),
        "make the secret for the key it is stored with",
    ))
}

/// A secret as the audit log shows it: never its digest or hint.
fn shown(secret: &Secret, expires_at: Option<Timestamp>) -> Value {
    json!({ "id": secret.id, "expires_at": expires_at })
}

/// Is this a key with its first secret?
pub(crate) fn new_key(key: &Key, secret: &Secret) -> Result<Entry, StoreError> {
    name_fits(&key.name)?;
    plans::limits_fit(&key.limits)?;
    secret_fits(key.id, secret)?;
    if key.state == KeyState::Revoked {
        return Err(StoreError::invalid(
            format!("key {} would be revoked from the start", key.id),
            "make it active or disabled",
        ));
    }
    let mut after = json!(key);
    let minted = secret.form == SecretForm::Minted;
    if let Value::Object(fields) = &mut after {
        fields.insert("secret".to_owned(), shown(secret, secret.expires_at));
        if !minted {
            fields.insert("kept_as".to_owned(), json!(secret.form.as_str()));
        }
    }
    Ok(Entry {
        action: if minted { "key.create" } else { "key.import" },
        subject: Subject::Key(key.id),
        before: None,
        after: Some(after),
    })
}

/// May this person own the key?
pub(crate) fn key_owner(
    key: &Key,
    owner: UserId,
    place: Option<&Membership>,
) -> Result<(), StoreError> {
    match place {
        Some(place) if place.role.has(Right::WriteOwnKeys) => Ok(()),
        Some(place) => Err(StoreError::invalid(
            format!("{owner} would own the key, and is {} there", place.role.as_str()),
            "give them the role developer first, or choose another owner",
        )),
        None => {
            Err(StoreError::NoSuchMember { organization: key.organization.clone(), user: owner })
        }
    }
}

/// Disable, enable or revoke.
pub(crate) fn key_state(before: &Key, to: KeyState) -> Result<Option<Entry>, StoreError> {
    if before.state == to {
        return Ok(None);
    }
    if before.state == KeyState::Revoked {
        return Err(StoreError::AlreadyRevoked(before.id));
    }
    let action = match to {
        KeyState::Active => "key.enable",
        KeyState::Disabled => "key.disable",
        KeyState::Revoked => "key.revoke",
    };
    Ok(Some(Entry {
        action,
        subject: Subject::Key(before.id),
        before: Some(json!({ "state": before.state })),
        after: Some(json!({ "state": to })),
    }))
}

fn earlier(expires_at: Option<Timestamp>, end: Timestamp) -> Timestamp {
    expires_at.map_or(end, |already| already.min(end))
}

/// A new secret; those still good at `now` end at `old_expires_at` at the latest.
/// Gives the old secrets with their new ends, as many as change.
pub(crate) fn rotation(
    before: &KeyRecord,
    new: &Secret,
    old_expires_at: Timestamp,
    now: Timestamp,
) -> Result<(Vec<Secret>, Entry), StoreError> {
    let key = before.key.id;
    secret_fits(key, new)?;
    if before.key.state == KeyState::Revoked {
        return Err(StoreError::AlreadyRevoked(key));
    }
    let good =
        before.secrets.iter().filter(|old| old.expires_at.is_none_or(|expires| expires > now));
    let (mut ending, mut were, mut are) = (Vec::new(), Vec::new(), Vec::new());
    for old in good {
        let end = Some(earlier(old.expires_at, old_expires_at));
        were.push(shown(old, old.expires_at));
        are.push(shown(old, end));
        if old.expires_at != end {
            ending.push(Secret { expires_at: end, ..old.clone() });
        }
    }
    are.push(shown(new, new.expires_at));
    let entry = Entry {
        action: "key.rotate",
        subject: Subject::Key(key),
        before: Some(json!({ "secrets": were })),
        after: Some(json!({ "secrets": are })),
    };
    Ok((ending, entry))
}

/// Somebody who used an old secret within this time, after it was replaced, has not changed yet.
const STILL_IN_USE: Duration = Duration::from_secs(7 * 24 * 3600);

/// May a secret that `next` has replaced be ended without cutting somebody off?
pub(crate) fn is_not_in_use(
    secret: &Secret,
    next: Option<&Secret>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let replaced_at = next.map_or(Timestamp::NEVER, |next| next.created_at);
    match secret.last_used_at {
        Some(last) if last > replaced_at && at.since(last) < STILL_IN_USE => {
            Err(StoreError::SecretInUse { secret: secret.id, last_used_at: last })
        }
        _ => Ok(()),
    }
}

/// Would another secret still open the key at `at`? Asked in the transaction: two that end at once each saw the other one stay.
pub(crate) fn another_opens(
    key: &Key,
    ending: &Secret,
    secrets: &[Secret],
    at: Timestamp,
) -> Result<(), StoreError> {
    let opens = |one: &Secret| one.id != ending.id && one.expires_at.is_none_or(|end| end > at);
    match secrets.iter().any(opens) {
        true => Ok(()),
        false => Err(StoreError::invalid(
            format!("{} is the last secret that opens {}", ending.id, key.id),
            "rotate the key first to get a new one, or disable or revoke the key",
        )),
    }
}

/// Ends one secret at `at` at the latest. Gives its new end.
pub(crate) fn retirement(
    key: &Key,
    secret: &Secret,
    at: Timestamp,
) -> Result<Option<(Timestamp, Entry)>, StoreError> {
    let end = earlier(secret.expires_at, at);
    if secret.expires_at == Some(end) {
        return Ok(None);
    }
    if key.state == KeyState::Revoked {
        return Err(StoreError::AlreadyRevoked(key.id));
    }
    let entry = Entry {
        action: "secret.retire",
        subject: Subject::Key(key.id),
        before: Some(json!({ "secret": shown(secret, secret.expires_at) })),
        after: Some(json!({ "secret": shown(secret, Some(end)) })),
    };
    Ok(Some((end, entry)))
}

/// A key was seen in the clear; `last` is when the audit log last said so. Gives the key's state after.
pub(crate) fn exposure(
    key: &Key,
    last: Option<Timestamp>,
    at: Timestamp,
    from: IpAddr,
    disable: bool,
) -> Option<(KeyState, Entry)> {
    let state =
        if disable && key.state == KeyState::Active { KeyState::Disabled } else { key.state };
    // Cores report out of order: a sighting from before the last one told is within its quiet hour as well.
    let told = last.is_some_and(|last| {
        at.as_millis().saturating_sub(last.as_millis()) < EXPOSURE_QUIET_MILLIS
    });
    if told && state == key.state {
        return None;
    }
    let entry = Entry {
        action: "key.expose",
        subject: Subject::Key(key.id),
        before: Some(json!({ "state": key.state })),
        after: Some(json!({ "state": state, "seen_in_the_clear_at": at, "from": from })),
    };
    Some((state, entry))
}

/// Keeps an upstream's credential. That it is sealed is all the log says of it.
pub(crate) fn credential_setting(
    upstream: &str,
    before: Option<&UpstreamCredential>,
) -> Result<Entry, StoreError> {
    name_fits(upstream)?;
    Ok(Entry {
        action: "upstream_credential.set",
        subject: Subject::UpstreamCredential(upstream.to_owned()),
        before: before.map(|held| json!({ "set_at": held.set_at })),
        after: Some(json!({ "credential": "sealed" })),
    })
}

/// Forgets an upstream's credential.
pub(crate) fn credential_removal(held: &UpstreamCredential) -> Entry {
    Entry {
        action: "upstream_credential.remove",
        subject: Subject::UpstreamCredential(held.upstream.clone()),
        before: Some(json!({ "set_at": held.set_at })),
        after: None,
    }
}

#[cfg(test)]
mod tests {
    use keyward_core::{
        id::SecretId,
        key::{Digest, Labels, PepperVersion},
        snapshot::Revision,
    };
    use proptest::prelude::*;

    use super::*;

    fn moment(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn key(state: KeyState) -> Key {
        Key {
            id: KeyId::from_bits([1; 16]),
            organization: "org_a".parse().unwrap(),
            api: "api".parse().unwrap(),
            name: "a key".to_owned(),
            environment: "production".parse().unwrap(),
            permissions: vec![],
            allowed_networks: vec![],
            allowed_models: None,
            state,
            created_at: moment(0),
            expires_at: None,
            owner: None,
            labels: Labels::default(),
            rotation: None,
            limits: vec![],
        }
    }

    fn secret(number: u8, expires_at: Option<Timestamp>) -> Secret {
        Secret {
            id: SecretId::from_bits([number; 16]),
            key: KeyId::from_bits([1; 16]),
            digest: Digest::from_bytes([number; 32]),
            pepper: PepperVersion(1),
            hint: "kw_ab…yz".to_owned(),
            created_at: moment(0),
            expires_at,
            last_used_at: None,
            form: Default::default(),
        }
    }

    proptest! {
        #[test]
        fn no_secret_outlives_a_rotation_or_is_given_more_time(
            ends in proptest::collection::vec(proptest::option::of(0_u64..200), 0..6),
            until in 0_u64..200,
            now in 0_u64..200,
        ) {
            let secrets: Vec<Secret> =
                ends.iter().zip(2..).map(|(end, n)| secret(n, end.map(moment))).collect();
            let before = KeyRecord { key: key(KeyState::Active), owner_role: None, secrets: secrets.clone(), revision: Revision::ZERO };
            let (ending, _) = rotation(&before, &secret(1, None), moment(until), moment(now)).unwrap();
            for old in secrets {
                let after = ending.iter().find(|s| s.id == old.id).unwrap_or(&old).expires_at;
                prop_assert!(after.is_some_and(|end| end <= moment(until).max(moment(now))));
                prop_assert!(old.expires_at.is_none_or(|had| after.unwrap() <= had));
            }
        }
    }

    #[test]
    fn nothing_follows_revocation_but_revocation() {
        let revoked = key(KeyState::Revoked);
        let refused = StoreError::AlreadyRevoked(revoked.id);
        assert_eq!(key_state(&revoked, KeyState::Revoked), Ok(None));
        assert_eq!(key_state(&revoked, KeyState::Active), Err(refused.clone()));
        assert_eq!(key_state(&revoked, KeyState::Disabled), Err(refused.clone()));
        assert_eq!(retirement(&revoked, &secret(2, None), moment(1)), Err(refused.clone()));
        let record =
            KeyRecord { key: revoked, owner_role: None, secrets: vec![], revision: Revision::ZERO };
        assert_eq!(rotation(&record, &secret(2, None), moment(1), moment(0)), Err(refused));
    }

    #[test]
    fn the_audit_log_says_nothing_a_key_could_be_guessed_from() {
        let entry = new_key(&key(KeyState::Active), &secret(9, None)).unwrap();
        let text = entry.after.unwrap().to_string();
        assert!(text.contains("sec_"), "{text}");
        for hidden in ["kw_ab", "yz", "9, 9", "0909", "digest", "hint"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }

    #[test]
    fn an_exposed_key_is_told_of_once_an_hour_and_disabled_each_time() {
        let from = "203.0.113.7".parse().unwrap();
        let at = moment(EXPOSURE_QUIET_MILLIS * 10);
        let soon = moment(at.as_millis() + EXPOSURE_QUIET_MILLIS - 1);
        let later = moment(at.as_millis() + EXPOSURE_QUIET_MILLIS);
        let active = key(KeyState::Active);
        let state = |last, at, disable| exposure(&active, last, at, from, disable).map(|x| x.0);
        assert_eq!(state(None, at, false), Some(KeyState::Active));
        assert_eq!(state(Some(at), soon, false), None);
        assert_eq!(state(Some(soon), at, false), None, "reported out of order");
        assert_eq!(state(Some(at), later, false), Some(KeyState::Active));
        assert_eq!(state(Some(at), soon, true), Some(KeyState::Disabled));
        let revoked = key(KeyState::Revoked);
        let told = exposure(&revoked, None, at, from, true).map(|x| x.0);
        assert_eq!(told, Some(KeyState::Revoked), "a revoked key stays revoked");
    }

    #[test]
    fn names_are_bounded_and_printable() {
        for wrong in [
            "",
            "a\nb",
            &"x".repeat(101),
            " ",
            " a",
            "a\u{a0}",
            "a\u{200b}b",
            "\u{202e}nimda",
            "a\u{2066}b",
            "a\u{2028}b",
            "a\u{e0041}",
        ] {
            let key = Key { name: wrong.to_owned(), ..key(KeyState::Active) };
            assert!(new_key(&key, &secret(2, None)).is_err(), "{wrong:?}");
        }
        let key = Key { name: "ü".repeat(100), ..key(KeyState::Active) };
        assert!(new_key(&key, &secret(2, None)).is_ok());
    }
}
