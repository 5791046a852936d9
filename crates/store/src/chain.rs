//! The audit log's chain: the arithmetic by which every engine links entries and checks the links.
//!
//! An audit log is for the day on which somebody who could write the database has something to hide. So each entry carries
//! a hash over itself and the hash of the entry before it, and one row, the head, says where the log ends. Both are
//! HMAC-SHA-256 under a key derived from the encryption key, which is not in the database: who writes the database
//! without reading that file cannot make a hash that holds. `Walk` then finds, and names, any entry that was changed,
//! removed, moved or put in, and any number of entries cut off the end.
//!
//! What no check from inside can find is an older copy, of the whole database or of the log with its head, and what
//! somebody did who has the key. Against both helps an [`AuditHead`] that was noted elsewhere.
//!
//! What is hashed are the columns as they are stored, byte for byte, not their meaning: a text that reads the same but is
//! written differently was not written by Keyward.
//!
//! Rejected: hashes without a key (who can write the database can make them all anew); a code per entry without a chain
//! (it finds neither what is gone nor what was moved); signatures (the signing key would lie where this key lies); a
//! tree of hashes (it proves single entries to outsiders, for whom nothing is proven here).

mod proof;
mod walk;

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

pub use self::proof::{AuditBreak, AuditHead, AuditProof, NotAHead};
pub(crate) use self::walk::Walk;
use crate::seal::{derived, keyed};

/// How many columns an entry has, its number and its hash not counted.
pub(crate) const COLUMNS: usize = 13;
/// How many of them every entry counts; those behind came later than the chain.
const ALWAYS: usize = 11;

/// A column as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Nothing,
    Integer(i64),
    Text(&'a [u8]),
}

/// What is stored of an entry beside its number: `at, actor_kind, actor_name, interface, action, subject_kind, subject,
/// before, after, outcome, revision, organization, address`, in this order.
pub(crate) type Columns<'a> = [Cell<'a>; COLUMNS];

/// An entry's place in the chain. Safe to show: it says nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuditHash([u8; 32]);

impl AuditHash {
    /// What the first entry follows.
    pub(crate) const BEGINNING: Self = Self([0; 32]);

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditHash({self})")
    }
}

impl FromStr for AuditHash {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let mut bytes = [0; 32];
        let mut digits = text.chars().map(|digit| digit.to_digit(16));
        for byte in &mut bytes {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(NotAHead);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| NotAHead)?;
        }
        if digits.next().is_some() { Err(NotAHead) } else { Ok(Self(bytes)) }
    }
}

/// Where the log ends, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub(crate) entries: u64,
    pub(crate) last_id: i64,
    pub(crate) hash: AuditHash,
}

/// What stands in the place of a head's code once a head was found that did not hold: no code has this value, so the
/// log is never taken for whole again, however much is written behind.
pub(crate) const BROKEN: [u8; 32] = [0; 32];

/// What was found where the log says its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundHead {
    Missing,
    /// It does not hold.
    Changed,
    /// It did not hold when something was written, which was said then.
    Marked,
    Sound(StoredHead),
}

/// What a log is chained under: derived from one version of the encryption key.
#[derive(Clone)]
pub(crate) struct ChainKey {
    version: u32,
    /// The keyed state is prepared once, not per entry.
    mac: Hmac<Sha256>,
}

impl ChainKey {
    /// Which encryption key it comes from.
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }

    /// The hash of the entry `id` behind the one with the hash `previous`.
    ///
    /// Every column has its kind, and its length where that differs, before it: no two entries have the same bytes. Those that
    /// came later than the chain count as far as there is something in one.
    pub(crate) fn link(&self, previous: AuditHash, id: i64, columns: &Columns<'_>) -> AuditHash {
        let mut mac = self.mac.clone();
        mac.update(b"entry");
        mac.update(&previous.0);
        mac.update(&id.to_be_bytes());
        let last = columns.iter().rposition(|cell| *cell != Cell::Nothing);
        let counting = last.map_or(ALWAYS, |last| ALWAYS.max(last + 1));
        for cell in columns.iter().take(counting) {
            match cell {
                Cell::Nothing => mac.update(&[0]),
                Cell::Integer(number) => {
                    mac.update(&[1]);
                    mac.update(&number.to_be_bytes());
                }
                Cell::Text(bytes) => {
                    mac.update(&[2]);
                    mac.update(&(bytes.len() as u64).to_be_bytes());
                    mac.update(bytes);
                }
            }
        }
        AuditHash(mac.finalize().into_bytes().into())
    }

    fn over_head(&self, head: &StoredHead) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(b"head");
        mac.update(&self.version.to_be_bytes());
        mac.update(&head.entries.to_be_bytes());
        mac.update(&head.last_id.to_be_bytes());
        mac.update(&head.hash.0);
        mac
    }

    /// The code that a head is stored with.
    pub(crate) fn code(&self, head: &StoredHead) -> [u8; 32] {
        self.over_head(head).finalize().into_bytes().into()
    }

    /// What to make of a head and the code beside it.
    pub(crate) fn judge(&self, head: StoredHead, code: &[u8]) -> FoundHead {
        match self.over_head(&head).verify_slice(code) {
            Ok(()) => FoundHead::Sound(head),
            Err(_) if code == BROKEN => FoundHead::Marked,
            Err(_) => FoundHead::Changed,
        }
    }
}

/// What a log may be chained under: a key for each version of the encryption key. A log stays with the version that
/// was the newest when it was first chained, so that its hashes stay comparable with those that were noted.
#[derive(Clone)]
pub struct ChainKeys {
    newest: ChainKey,
    older: Vec<ChainKey>,
}

impl ChainKeys {
    /// From the encryption keys by their versions. `None` where there are none.
    pub fn derive(keys: &[(u32, Zeroizing<[u8; 32]>)]) -> Option<Self> {
        let mut keys: Vec<ChainKey> = keys
            .iter()
            .map(|(version, key)| ChainKey {
                version: *version,
                mac: keyed(&derived(key, b"keyward audit chain v1")),
            })
            .collect();
        keys.sort_by_key(ChainKey::version);
        let newest = keys.pop()?;
        Some(Self { newest, older: keys })
    }

    pub(crate) const fn newest(&self) -> &ChainKey {
        &self.newest
    }

    pub(crate) fn of_version(&self, version: u32) -> Option<&ChainKey> {
        std::iter::once(&self.newest).chain(&self.older).find(|key| key.version == version)
    }
}

impl fmt::Debug for ChainKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainKeys({}, …)", self.newest.version)
    }
}
