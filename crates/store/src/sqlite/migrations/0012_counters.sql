-- What limits have counted, as far as it outlives a restart: quotas, budgets and credits always, windows when a gateway ends.

-- By the number that a limit's counts are found by; the state is nine numbers of eight bytes, see `keyward_core::limit::Saved`.
CREATE TABLE counters (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    state BLOB NOT NULL CHECK (length(state) = 72),
    -- From when on nothing of it counts any more.
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX counters_by_end ON counters (ends_at) WHERE ends_at < 9223372036854775807;
