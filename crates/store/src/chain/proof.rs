//! What a check of the audit log comes to, in words an operator understands.

use std::{fmt, str::FromStr};

use super::AuditHash;
use crate::query::AuditId;

/// How long the log is, and the hash of its last entry, which stands for all of them. Written as `120:9f3c…`.
///
/// Noted in another place, it is what an older copy of the whole database is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// How many entries.
    pub entries: u64,
    /// The last one's hash.
    pub hash: AuditHash,
}

impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.entries, self.hash)
    }
}

/// The text is not a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not a head of the audit log: write it as it was printed, the number of entries, a colon and 64 digits"
)]
pub struct NotAHead;

impl FromStr for AuditHead {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let (entries, hash) = text.split_once(':').ok_or(NotAHead)?;
        Ok(Self { entries: entries.parse().map_err(|_| NotAHead)?, hash: hash.parse()? })
    }
}

/// What a check of the audit log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditProof {
    /// Every entry is as it was written, and none is missing.
    Whole {
        /// Where it ends.
        head: AuditHead,
        /// The newest entry; `None` where there is none.
        newest: Option<AuditId>,
    },
    /// The first place where it is not.
    Broken(AuditBreak),
}

/// The first place where the audit log is not what Keyward wrote. What stands before it is whole.
///
/// Entries go by their stored number, which somebody else may have made any number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditBreak {
    /// An entry, or its hash, does not follow from the entry before it.
    #[error("entry {entry} is not what was written there: it was changed, moved or put in")]
    Changed {
        /// Which.
        entry: i64,
    },
    /// Entries are gone from the middle or the beginning.
    #[error("{} missing before entry {entry}", these(*.first, *.last))]
    Missing {
        /// The first that is gone.
        first: i64,
        /// The last.
        last: i64,
        /// The one behind the gap.
        entry: i64,
    },
    /// Entries are gone from the end.
    #[error("{} missing at the end", these(*.first, *.last))]
    Cut {
        /// The first that is gone.
        first: i64,
        /// The last.
        last: i64,
    },
    /// An entry stands behind the last one that Keyward wrote.
    #[error("entry {entry} was put in behind the last one that was written")]
    Added {
        /// Which.
        entry: i64,
    },
    /// The head's row is gone.
    #[error(
        "every entry that is there is as it was written, but the row that says where the log ends is missing, \
         so entries may be missing at the end"
    )]
    HeadMissing,
    /// The head's row does not hold.
    #[error(
        "every entry that is there is as it was written, but the row that says where the log ends was changed, \
         so entries may be missing at the end"
    )]
    HeadChanged,
    /// The head was Keyward's once, but of a shorter log.
    #[error(
        "the row that says where the log ends is older than entry {entry}: it was put back from an older copy"
    )]
    HeadOutdated {
        /// The first entry behind it.
        entry: i64,
    },
    /// The head was Keyward's once, but of another log.
    #[error(
        "the entries are not those that the row about the log's end was written for: \
         one or the other was put back from an older copy"
    )]
    HeadOfAnother,
    /// The log is shorter than it was.
    #[error(
        "it holds {entries} of the {} entries that it had when its head was noted: \
         the database was put back to an older copy", .noted.entries
    )]
    ShorterThanNoted {
        /// How many there are.
        entries: u64,
        /// What was noted.
        noted: AuditHead,
    },
    /// The log is another than the one that was noted, though it holds in itself.
    #[error(
        "its first {} entries have not the hash that was noted: the database was put back to an older copy and went on \
         from there, or somebody with the encryption key wrote the log anew", .noted.entries
    )]
    NotAsNoted {
        /// What was noted.
        noted: AuditHead,
    },
}

fn these(first: i64, last: i64) -> String {
    match first == last {
        true => format!("entry {first} is"),
        false => format!("entries {first} to {last} are"),
    }
}

impl AuditBreak {
    /// Its kind, as a word that programs can tell apart.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "changed",
            Self::Missing { .. } => "missing",
            Self::Cut { .. } => "cut",
            Self::Added { .. } => "added",
            Self::HeadMissing => "head_missing",
            Self::HeadChanged => "head_changed",
            Self::HeadOutdated { .. } => "head_outdated",
            Self::HeadOfAnother => "head_of_another",
            Self::ShorterThanNoted { .. } => "shorter_than_noted",
            Self::NotAsNoted { .. } => "not_as_noted",
        }
    }

    /// The entry at which it shows: the first that is wrong, or the first that is gone.
    pub const fn entry(&self) -> Option<i64> {
        match self {
            Self::Changed { entry } | Self::Added { entry } | Self::HeadOutdated { entry } => {
                Some(*entry)
            }
            Self::Missing { first, .. } | Self::Cut { first, .. } => Some(*first),
            Self::HeadMissing
            | Self::HeadChanged
            | Self::HeadOfAnother
            | Self::ShorterThanNoted { .. }
            | Self::NotAsNoted { .. } => None,
        }
    }
}
