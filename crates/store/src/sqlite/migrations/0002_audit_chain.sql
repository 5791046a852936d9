-- The audit log gets a chain: every entry a hash over itself and the hash before it, and one row that says where the log
-- ends. The hashes are made under a key that is not in here, see `chain.rs`.
--
-- The entries from before come over one by one, linked, in this step's transaction; then `audit_unchained` is dropped.
-- A new table rather than a new column, which could not be NOT NULL: an older Keyward that still runs on this database must
-- fail to write an entry rather than write one outside the chain.

ALTER TABLE audit RENAME TO audit_unchained;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    interface TEXT NOT NULL,
    action TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,
    after TEXT,
    outcome TEXT NOT NULL,
    revision INTEGER UNIQUE,
    -- Over all columns above, as they are stored, and the chain of the entry before.
    chain BLOB NOT NULL CHECK (length(chain) = 32)
) STRICT;

-- Where the log ends, written with each entry: by it, entries that were cut off the end are missed.
CREATE TABLE audit_head (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- The version of the encryption key that the chain's key is derived from. Stays for good.
    key_version INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    last_chain BLOB NOT NULL CHECK (length(last_chain) = 32),
    -- Over the columns above; all zeros once something was written behind a head that did not hold.
    code BLOB NOT NULL CHECK (length(code) = 32)
) STRICT;
