//! Secrets that came from another system: what may be kept of them, and how they become like ours.

use keyward_core::key::{Key, SealedBcrypt, Secret, SecretForm};
use serde_json::json;

use super::Entry;
use crate::{change::Subject, error::StoreError};

/// So many secrets that are known by bcrypt hashes may begin alike at an API: each is a slow check for a request that may be any of them.
pub(crate) const MOST_ALIKE: u32 = 8;
/// What they begin with is so long.
pub(crate) const PREFIX_LENGTHS: std::ops::RangeInclusive<u32> = 4..=32;
/// And has so many different lengths at an API: a request is held against one set of secrets for each.
pub(crate) const MOST_LENGTHS: u32 = 3;

/// How long the beginning is.
pub(crate) fn length(bcrypt: &SealedBcrypt) -> u32 {
    u32::try_from(bcrypt.prefix.len()).unwrap_or(u32::MAX)
}

/// Is this what a secret of which a bcrypt hash is known begins with? `alike` have the same beginning at the API already,
/// `lengths` is how many other lengths there are.
pub(crate) fn bcrypt(bcrypt: &SealedBcrypt, alike: u32, lengths: u32) -> Result<(), StoreError> {
    let prefix = &*bcrypt.prefix;
    let shown = prefix.escape_default();
    if !PREFIX_LENGTHS.contains(&length(bcrypt)) || !prefix.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(StoreError::invalid(
            format!("`{shown}` cannot be what a key with a bcrypt hash is found by"),
            "give the first 4 to 32 characters of the key",
        ));
    }
    if alike >= MOST_ALIKE {
        return Err(StoreError::invalid(
            format!(
                "{alike} keys with bcrypt hashes begin with `{shown}` already, the most there may be"
            ),
            "give more of the key's first characters as its prefix",
        ));
    }
    if lengths >= MOST_LENGTHS {
        return Err(StoreError::invalid(
            format!(
                "prefixes of {lengths} other lengths are known at this API, the most there may be"
            ),
            "give all keys with bcrypt hashes a prefix of the same length",
        ));
    }
    Ok(())
}

/// Our own digest takes the place of another system's. `None` where it has.
pub(crate) fn upgrade(key: &Key, secret: &Secret) -> Option<Entry> {
    secret.form.is_foreign().then(|| Entry {
        action: "secret.upgrade",
        subject: Subject::Key(key.id),
        before: Some(json!({ "secret": secret.id, "kept_as": secret.form.as_str() })),
        after: Some(json!({ "secret": secret.id, "kept_as": SecretForm::Imported.as_str() })),
    })
}
