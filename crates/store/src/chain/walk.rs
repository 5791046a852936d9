//! The check: entry by entry from the first, in memory for one of them.
//!
//! Links decide what holds; the entries' numbers only help to name what does not. A log that had gaps in its numbers when it
//! was first chained is whole.

use super::{
    AuditBreak, AuditHash, AuditHead, AuditProof, ChainKey, Columns, FoundHead, StoredHead,
};
use crate::query::AuditId;

/// A check on its way through a log.
pub(crate) struct Walk<'k> {
    key: &'k ChainKey,
    head: FoundHead,
    noted: Option<AuditHead>,
    /// What was walked over.
    seen: StoredHead,
}

impl<'k> Walk<'k> {
    /// Before the first entry of the log that ends at `head`, and is to hold what was once `noted` of it.
    pub(crate) const fn new(key: &'k ChainKey, head: FoundHead, noted: Option<AuditHead>) -> Self {
        let seen = StoredHead { entries: 0, last_id: 0, hash: AuditHash::BEGINNING };
        Self { key, head, noted, seen }
    }

    /// The next entry, in the order of their numbers. What cannot be a column or a hash that Keyward wrote is `None`.
    pub(crate) fn step(
        &mut self,
        entry: i64,
        columns: Option<&Columns<'_>>,
        hash: Option<AuditHash>,
    ) -> Result<(), AuditBreak> {
        let expected = columns.map(|columns| self.key.link(self.seen.hash, entry, columns));
        let held = hash.filter(|hash| expected == Some(*hash));
        if let FoundHead::Sound(head) = self.head
            && entry > head.last_id
        {
            self.ends_as(&head)?;
            return Err(match held {
                Some(_) => AuditBreak::HeadOutdated { entry },
                None => AuditBreak::Added { entry },
            });
        }
        let next = self.seen.last_id.saturating_add(1);
        let Some(hash) = held else {
            return Err(match entry > next {
                true => AuditBreak::Missing { first: next, last: entry.saturating_sub(1), entry },
                false => AuditBreak::Changed { entry },
            });
        };
        self.seen =
            StoredHead { entries: self.seen.entries.saturating_add(1), last_id: entry, hash };
        match self.noted {
            Some(noted) if noted.entries == self.seen.entries && noted.hash != hash => {
                Err(AuditBreak::NotAsNoted { noted })
            }
            _ => Ok(()),
        }
    }

    /// Whether what was walked over is all up to the head.
    fn ends_as(&self, head: &StoredHead) -> Result<(), AuditBreak> {
        if self.seen.last_id < head.last_id {
            let first = self.seen.last_id.saturating_add(1);
            return Err(AuditBreak::Cut { first, last: head.last_id });
        }
        if self.seen != *head {
            return Err(AuditBreak::HeadOfAnother);
        }
        Ok(())
    }

    /// Behind the last entry.
    pub(crate) fn finish(self) -> Result<AuditProof, AuditBreak> {
        match &self.head {
            FoundHead::Missing => return Err(AuditBreak::HeadMissing),
            FoundHead::Changed | FoundHead::Marked => return Err(AuditBreak::HeadChanged),
            FoundHead::Sound(head) => self.ends_as(head)?,
        }
        let StoredHead { entries, last_id, hash } = self.seen;
        if let Some(noted) = self.noted.filter(|noted| noted.entries > entries) {
            return Err(AuditBreak::ShorterThanNoted { entries, noted });
        }
        let newest = (entries > 0).then(|| AuditId::new(last_id.unsigned_abs()));
        Ok(AuditProof::Whole { head: AuditHead { entries, hash }, newest })
    }
}
