//! What there is to say of a key at a moment. Pure: the same key at the same moment gives the same answer.

use std::time::Duration;

use keyward_core::{
    key::{KeyState, Rotation},
    policy::Policy,
    time::Timestamp,
};
use keyward_store::KeyRecord;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long before an end people are told of it, the shortest first, and by which words that is noted of a key and of its secret.
const STEPS: [(Duration, &str, &str); 3] = [
    (DAY, "key_ends_in_1_day", "secret_ends_in_1_day"),
    (DAY.saturating_mul(7), "key_ends_in_7_days", "secret_ends_in_7_days"),
    (DAY.saturating_mul(14), "key_ends_in_14_days", "secret_ends_in_14_days"),
];
const ROTATION: &str = "rotation_due";

/// What somebody is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// The key is refused from then on.
    KeyEnds,
    /// Its newest secret is refused from then on.
    SecretEnds,
    /// Its newest secret should have been replaced by then.
    RotationDue,
}

/// A thing to be told of, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Due {
    pub(super) what: What,
    /// The word that it is noted by.
    pub(super) kind: &'static str,
    /// The moment that it is about: another moment is another thing.
    pub(super) about: Timestamp,
}

/// All there is to say of a key. Nothing of one that is refused already, or that opens nothing.
pub(super) fn of(
    record: &KeyRecord,
    policy: &Policy,
    now: Timestamp,
) -> impl Iterator<Item = Due> + use<> {
    let in_force = record.in_force().state == KeyState::Active;
    let api = policy.api(record.key.api.as_str()).filter(|_| in_force);
    let rule = api.and_then(|api| record.key.rotation.or(api.profile.issuance.rotation));
    let end = api.and_then(|_| end(record, now));
    let rotation = rule.and_then(|rule| rotation(record, rule, now));
    [end, rotation].into_iter().flatten()
}

/// The step before the end of the key, or of its newest secret where that comes first.
fn end(record: &KeyRecord, now: Timestamp) -> Option<Due> {
    let newest = record.secrets.last()?;
    let of_key = record.key.expires_at.map(|at| (at, What::KeyEnds, record.key.created_at));
    let of_secret = newest.expires_at.map(|at| (at, What::SecretEnds, newest.created_at));
    let (about, what, made) = match (of_key, of_secret) {
        (Some(key), Some(secret)) if secret.0 < key.0 => secret,
        (Some(key), _) => key,
        (None, secret) => secret?,
    };
    if about <= now {
        return None;
    }
    let step = STEPS.iter().find(|(step, ..)| about.since(now) <= *step)?;
    // Who makes a key for three days knows that it ends within seven.
    let was_ahead = about.minus(step.0) > made;
    let kind = if what == What::KeyEnds { step.1 } else { step.2 };
    was_ahead.then_some(Due { what, kind, about })
}

/// The rotation of the newest secret, where it is overdue and the secret is good all the same.
fn rotation(record: &KeyRecord, rule: Rotation, now: Timestamp) -> Option<Due> {
    let newest = record.secrets.last()?;
    let about = rule.due(newest.created_at);
    let has_ended =
        [newest.expires_at, record.key.expires_at].into_iter().flatten().any(|at| at <= now);
    (about <= now && !has_ended).then_some(Due { what: What::RotationDue, kind: ROTATION, about })
}
