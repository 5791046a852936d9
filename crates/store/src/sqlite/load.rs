//! The full state, streamed.
//!
//! Keys and secrets are stored in one order, so two cursors walk side by side and each row is read once, in sequence: ten
//! million keys cost neither a look-up each nor memory for more than a few.

use keyward_core::{id::KeyId, key::Secret};
use rusqlite::{Connection, Rows};

use super::{faults::fault, plans, readers::Handing, reads, rows, rows::Cells};
use crate::{
    change::Revision,
    error::StoreError,
    query::{KeyRecord, Loaded},
};

/// Gives everything to `handing`: plans, prices, organizations, upstream credentials, keys. Returns whose revision it is.
pub(super) fn everything(
    connection: &Connection,
    handing: &mut Handing,
) -> Result<Revision, StoreError> {
    let revision = reads::revision(connection)?;
    for record in plans::plans(connection)? {
        handing.give(Loaded::Plan(record.plan))?;
    }
    for record in plans::prices(connection)? {
        handing.give(Loaded::Price(record.price))?;
    }
    for organization in reads::organizations(connection)? {
        handing.give(Loaded::Organization(organization))?;
    }
    for credential in reads::upstream_credentials(connection)? {
        handing.give(Loaded::UpstreamCredential(credential))?;
    }
    keys(connection, handing)?;
    Ok(revision)
}

fn keys(connection: &Connection, handing: &mut Handing) -> Result<(), StoreError> {
    let sql = format!("SELECT {} FROM secrets ORDER BY key_seq, number", rows::SECRET);
    let mut statement = connection.prepare(&sql).map_err(fault)?;
    let mut secrets = Secrets::start(statement.query([]).map_err(fault)?)?;
    let sql = format!("SELECT {} FROM keys ORDER BY seq", rows::KEY);
    reads::each(connection, &sql, [], |row| {
        let key = rows::key(row)?;
        let seq = Cells::of("keys", row).integer(rows::KEY_SEQ, "seq")?;
        let secrets = secrets.of(seq, key.id)?;
        let owner_role = rows::owner_role(row)?;
        let revision = Cells::of("keys", row).number(rows::KEY_REVISION, "revision")?;
        let revision = Revision::new(revision);
        handing.give(Loaded::Key(KeyRecord { key, owner_role, secrets, revision }))
    })
}

/// The secrets' cursor: it holds the next secret of a key that is yet to come.
struct Secrets<'s> {
    rows: Rows<'s>,
    next: Option<(i64, Secret)>,
}

impl<'s> Secrets<'s> {
    fn start(rows: Rows<'s>) -> Result<Self, StoreError> {
        let mut secrets = Self { rows, next: None };
        secrets.advance()?;
        Ok(secrets)
    }

    /// Gives what it held and reads the next row.
    fn advance(&mut self) -> Result<Option<(i64, Secret)>, StoreError> {
        let next = match self.rows.next().map_err(fault)? {
            Some(row) => {
                let owner = Cells::of("secrets", row).integer(rows::SECRET_KEY_SEQ, "key_seq")?;
                // Whose it is, is known by its place only; the id comes with its key.
                Some((owner, rows::secret(row, KeyId::from_bits([0; 16]))?))
            }
            None => None,
        };
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// The secrets of the key at `seq`.
    fn of(&mut self, seq: i64, key: KeyId) -> Result<Vec<Secret>, StoreError> {
        let mut found = Vec::with_capacity(1);
        while self.next.as_ref().is_some_and(|(owner, _)| *owner <= seq) {
            // A foreign key keeps every secret's key there. Where a damaged file has one without, it is nobody's.
            if let Some((_, secret)) = self.advance()?.filter(|(owner, _)| *owner == seq) {
                found.push(Secret { key, ..secret });
            }
        }
        Ok(found)
    }
}
