//! What a change to a key request means: what may be asked, granted, and made of it.

use std::time::Duration;

use keyward_core::{
    id::UserId,
    key::{Key, Secret},
    limit::Limit,
    member::{Membership, Right},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{Entry, authority::Place, name_fits, plans::limits_fit, shown};
use crate::{
    change::{Actor, Subject},
    error::StoreError,
    requests::{KeyGrant, KeyRequest, KeyRequestDecision, KeyRequestState, KeyTerms},
};

/// A member has at most so many requests that are open or not a day old: each is told to people.
pub(crate) const MOST_AT_ONCE: u32 = 20;
/// How long a request counts, whatever became of it.
pub(crate) const COUNTS_FOR: Duration = Duration::from_secs(24 * 3600);
const LONGEST_NOTE: usize = 500;

/// A reason or note: something, and printable.
fn note_fits(what: &str, text: &str) -> Result<(), StoreError> {
    let chars = text.chars().count();
    if text.trim().is_empty() || chars > LONGEST_NOTE {
        return Err(StoreError::invalid(
            format!("the {what} has {chars} characters"),
            format!("write 1 to {LONGEST_NOTE}"),
        ));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        let remedy = "leave out tabs and their like; line breaks may stay";
        return Err(StoreError::invalid(format!("the {what} holds a control character"), remedy));
    }
    Ok(())
}

fn shown_request(request: &KeyRequest) -> Value {
    json!({
        "organization": request.organization,
        "requester": request.requester,
        "api": request.api,
        "name": request.name,
        "environment": request.environment,
        "reason": request.reason,
        "asked": request.asked,
        "decide_until": request.decide_until,
    })
}

fn entry(action: &'static str, request: &KeyRequest, before: Option<Value>, after: Value) -> Entry {
    let subject = Subject::KeyRequest(request.id);
    Entry { action, subject, before, after: Some(after) }
}

/// May somebody in `place` who has `others` requests ask for this?
pub(crate) fn request(
    new: &KeyRequest,
    place: Option<&Membership>,
    others: u32,
) -> Result<Entry, StoreError> {
    name_fits(&new.name)?;
    note_fits("reason", &new.reason)?;
    limits_fit(&new.asked.limits)?;
    may_hold(new, place)?;
    let is_new = new.state == KeyRequestState::Open
        && new.decision.is_none()
        && new.granted.is_none()
        && new.key.is_none();
    if !is_new || new.decide_until <= new.created_at {
        return Err(StoreError::invalid(
            format!("key request {} would be decided from the start", new.id),
            "make it open, with time to decide",
        ));
    }
    if others >= MOST_AT_ONCE {
        return Err(StoreError::TooManyKeyRequests { most: MOST_AT_ONCE });
    }
    Ok(entry("key_request.create", new, None, shown_request(new)))
}

/// Whoever asks, and whoever claims, is a member who may hold keys, now.
fn may_hold(request: &KeyRequest, place: Option<&Membership>) -> Result<(), StoreError> {
    match place {
        Some(place) if place.role.has(Right::WriteOwnKeys) => Ok(()),
        Some(_) => Err(StoreError::NotAllowed(Some(Right::WriteOwnKeys))),
        None => Err(StoreError::NoSuchMember {
            organization: request.organization.clone(),
            user: request.requester,
        }),
    }
}

fn closed(held: &KeyRequest) -> StoreError {
    StoreError::KeyRequestClosed { request: held.id, state: held.state.as_str() }
}

/// It is taken back by whoever asked.
pub(crate) fn withdrawal(held: &KeyRequest) -> Result<Option<Entry>, StoreError> {
    match held.state {
        KeyRequestState::Withdrawn => Ok(None),
        KeyRequestState::Open | KeyRequestState::Approved => {
            let before = json!({ "state": held.state.as_str() });
            let after = json!({ "state": KeyRequestState::Withdrawn.as_str() });
            Ok(Some(entry("key_request.withdraw", held, Some(before), after)))
        }
        KeyRequestState::Denied | KeyRequestState::Claimed => Err(closed(held)),
    }
}

fn wider(what: &str) -> StoreError {
    StoreError::invalid(
        format!("more would be granted than was asked ({what})"),
        "grant what was asked, or less; for more, another request is needed",
    )
}

/// Whether what is granted is within what was asked, as far as that can be told without the profile: what a permission
/// implies is looked at before.
fn within(granted: &KeyTerms, asked: &KeyTerms) -> Result<(), StoreError> {
    let longer = match (granted.lifetime_seconds, asked.lifetime_seconds) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(granted), Some(asked)) => granted > asked,
    };
    if longer {
        return Err(wider("a longer lifetime"));
    }
    let networks = &granted.allowed_networks;
    let is_inside = |one| asked.allowed_networks.iter().any(|asked| asked.covers(one));
    let anywhere = networks.is_empty();
    if !asked.allowed_networks.is_empty() && (anywhere || !networks.iter().all(is_inside)) {
        return Err(wider("more networks"));
    }
    let more_models = match (&granted.allowed_models, &asked.allowed_models) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(granted), Some(asked)) => granted.iter().any(|model| !asked.contains(model)),
    };
    if more_models {
        return Err(wider("more models"));
    }
    limits_fit(&granted.limits)?;
    if !Limit::only_narrows(&asked.limits, &granted.limits) {
        return Err(wider("without a limit, or with a higher one"));
    }
    Ok(())
}

/// It is approved at `at`.
pub(crate) fn approval(
    held: &KeyRequest,
    granted: &KeyGrant,
    note: Option<&str>,
    at: Timestamp,
) -> Result<Entry, StoreError> {
    if held.state != KeyRequestState::Open {
        return Err(closed(held));
    }
    if at >= held.decide_until {
        return Err(StoreError::KeyRequestClosed { request: held.id, state: "expired" });
    }
    if let Some(note) = note {
        note_fits("note", note)?;
    }
    within(&granted.terms, &held.asked)?;
    if granted.claim_until <= at {
        return Err(StoreError::invalid("nobody could claim the key", "give some time for it"));
    }
    let before = json!({ "state": held.state.as_str() });
    let after = json!({
        "state": KeyRequestState::Approved.as_str(),
        "granted": granted.terms,
        "claim_until": granted.claim_until,
        "note": note,
    });
    Ok(entry("key_request.approve", held, Some(before), after))
}

/// It is denied, or its approval is taken back.
pub(crate) fn denial(held: &KeyRequest, note: &str) -> Result<Entry, StoreError> {
    if !matches!(held.state, KeyRequestState::Open | KeyRequestState::Approved) {
        return Err(closed(held));
    }
    note_fits("reason", note)?;
    let before = json!({ "state": held.state.as_str() });
    let after = json!({ "state": KeyRequestState::Denied.as_str(), "note": note });
    Ok(entry("key_request.deny", held, Some(before), after))
}

/// Who decided, as it is kept.
pub(crate) fn decision(actor: &Actor, at: Timestamp, note: Option<String>) -> KeyRequestDecision {
    KeyRequestDecision { by: actor.person, at, note }
}

/// Is this the key that was granted, and can it be claimed now by somebody in `place`?
pub(crate) fn claim(
    held: &KeyRequest,
    place: Option<&Membership>,
    key: &Key,
    secret: &Secret,
    at: Timestamp,
) -> Result<Entry, StoreError> {
    let granted = match (held.state, &held.granted) {
        (KeyRequestState::Approved, Some(granted)) => granted,
        _ => return Err(closed(held)),
    };
    if at >= granted.claim_until {
        return Err(StoreError::KeyRequestClosed { request: held.id, state: "lapsed" });
    }
    may_hold(held, place)?;
    if !is_as_granted(held, &granted.terms, key, at) {
        return Err(StoreError::invalid(
            format!("key {} is not what request {} was granted", key.id, held.id),
            "make it exactly as it was granted",
        ));
    }
    let mut after = json!(key);
    if let Value::Object(fields) = &mut after {
        fields.insert("secret".to_owned(), shown(secret, secret.expires_at));
        fields.insert("key_request".to_owned(), json!(held.id));
    }
    // About the key: readers of the feed have to load it.
    let subject = Subject::Key(key.id);
    Ok(Entry { action: "key_request.claim", subject, before: None, after: Some(after) })
}

fn is_as_granted(held: &KeyRequest, granted: &KeyTerms, key: &Key, at: Timestamp) -> bool {
    (&key.organization, &key.api, key.owner)
        == (&held.organization, &held.api, Some(held.requester))
        && (&key.name, &key.environment) == (&held.name, &held.environment)
        && key.permissions == granted.permissions
        && key.allowed_networks == granted.allowed_networks
        && key.allowed_models == granted.allowed_models
        && key.limits == granted.limits
        && key.expires_at == granted.expires_at(at)
}

/// Whether somebody in `place` may decide on a request. Who does not see it is told that it is not there; on their own
/// request, only owners decide.
pub(crate) fn may_decide(held: &KeyRequest, place: Option<&Place>) -> Result<(), StoreError> {
    // What a key decides, whoever answers for it decides.
    let own = place.is_some_and(|place| place.user == Some(held.requester));
    match place {
        Some(place) if place.rights.has(Right::DecideRequests) => {
            // Owners answer to nobody in the organization.
            let is_owner = place.rights.has(Right::WriteOrganization);
            if own && !is_owner { Err(StoreError::OwnKeyRequest(held.id)) } else { Ok(()) }
        }
        Some(_) if own => Err(StoreError::NotAllowed(Some(Right::DecideRequests))),
        _ => Err(StoreError::NoSuchKeyRequest(held.id)),
    }
}

/// Whether this is whoever asked: nobody else, operators neither, claims a key or takes a request back. Others who see the
/// request are told so.
pub(crate) fn is_requester(
    held: &KeyRequest,
    person: Option<UserId>,
    sees_it: bool,
) -> Result<(), StoreError> {
    match person == Some(held.requester) {
        true => Ok(()),
        false if sees_it => Err(StoreError::NotTheRequester(held.id)),
        false => Err(StoreError::NoSuchKeyRequest(held.id)),
    }
}
