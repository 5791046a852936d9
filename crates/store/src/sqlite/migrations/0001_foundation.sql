-- The truth of issue 2: organizations, keys, secrets, upstream credentials, the audit log, the change feed, usage.
--
-- Moments are milliseconds since the Unix epoch, UTC; 9223372036854775807 is "never". Lists are JSON arrays of text.
-- Keys are never deleted. Nothing here holds a key in the clear: a secret is its digest, a credential is sealed.

CREATE TABLE store_state (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- Updated in the transaction of every change: the row is the lock that puts changes in one order.
    revision INTEGER NOT NULL CHECK (revision >= 0),
    -- Counted up by the health check, to have something to write.
    checks INTEGER NOT NULL
) STRICT;
INSERT INTO store_state (only_row, revision, checks) VALUES (1, 0, 0);

-- By what the pepper and encryption key of this database are recognized; says nothing about what they are.
CREATE TABLE key_material (
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    check_value BLOB NOT NULL CHECK (length(check_value) = 16),
    PRIMARY KEY (kind, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE organizations (
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'suspended')),
    allowed_models TEXT,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE model_ids (
    model TEXT NOT NULL UNIQUE,
    organization TEXT NOT NULL REFERENCES organizations (id)
) STRICT;
CREATE INDEX model_ids_of_organization ON model_ids (organization);

-- `seq` is the order in which keys were made: lists go by it, and rows are appended instead of scattered by random ids.
CREATE TABLE keys (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    organization TEXT NOT NULL REFERENCES organizations (id),
    api TEXT NOT NULL,
    name TEXT NOT NULL,
    environment TEXT NOT NULL,
    permissions TEXT NOT NULL,
    allowed_networks TEXT NOT NULL,
    allowed_models TEXT,
    state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'revoked')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    -- When the audit log last said that it was seen in the clear.
    exposed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX key_names ON keys (organization, api, name) WHERE state <> 'revoked';
-- Each list filter reads its index in the order of the list and needs no sort and no row it does not show.
CREATE INDEX keys_of_organization ON keys (organization, seq, api, state);
CREATE INDEX keys_of_api ON keys (api, seq, state);
CREATE INDEX keys_in_state ON keys (state, seq);

-- In the order of the keys, so that loading all is two walks side by side.
CREATE TABLE secrets (
    key_seq INTEGER NOT NULL REFERENCES keys (seq),
    number INTEGER NOT NULL,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    pepper INTEGER NOT NULL,
    hint TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    last_used_from TEXT,
    PRIMARY KEY (key_seq, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE upstream_credentials (
    upstream TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL,
    set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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
    revision INTEGER UNIQUE
) STRICT;

-- One entry for each revision; only the oldest are ever trimmed.
CREATE TABLE change_feed (
    revision INTEGER PRIMARY KEY,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL
) STRICT;

-- An empty key is a request for which none was recognized.
CREATE TABLE usage (
    minute INTEGER NOT NULL,
    api TEXT NOT NULL,
    route TEXT NOT NULL,
    key BLOB NOT NULL CHECK (length(key) IN (0, 16)),
    status INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    latency_micros INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    PRIMARY KEY (minute, api, route, key, status)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_of_key ON usage (key, minute);
