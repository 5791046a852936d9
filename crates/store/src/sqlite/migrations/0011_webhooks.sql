-- Webhooks, what is on its way to them, alert rules with what they raised, and the networks that keys were used from.

-- Removed ones stay as rows, so that what was done to them is still somebody's business. Without an organization it is one of who
-- runs this Keyward.
CREATE TABLE webhooks (
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    organization TEXT REFERENCES organizations (id),
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    -- A JSON list of words; NULL for everything.
    events TEXT,
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'removed')),
    disabled_because TEXT,
    failing_since INTEGER,
    created_at INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX webhooks_of_organization ON webhooks (organization) WHERE state <> 'removed';

CREATE TABLE webhook_secrets (
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    webhook BLOB NOT NULL REFERENCES webhooks (id),
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE INDEX secrets_of_webhook ON webhook_secrets (webhook);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- The body, as it is signed and sent.
    payload TEXT NOT NULL
) STRICT;

CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    webhook BLOB NOT NULL REFERENCES webhooks (id),
    event INTEGER NOT NULL REFERENCES events (seq),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts INTEGER NOT NULL,
    next_at INTEGER,
    last_at INTEGER,
    last_status INTEGER,
    last_problem TEXT,
    CHECK ((state = 'waiting') = (next_at IS NOT NULL))
) STRICT;
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_of_webhook ON deliveries (webhook, seq);
CREATE INDEX deliveries_of_event ON deliveries (event);

-- A condition is a JSON object, and so are scope and channel: read and written whole, never searched.
CREATE TABLE alert_rules (
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    organization TEXT REFERENCES organizations (id),
    name TEXT NOT NULL,
    condition TEXT NOT NULL,
    scope TEXT NOT NULL,
    channel TEXT NOT NULL,
    quiet_seconds INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'removed')),
    created_at INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX alert_rules_of_organization ON alert_rules (organization) WHERE state <> 'removed';

-- `subject` is what the rule holds of: a key's id, an organization's, or with a secret or network behind it.
CREATE TABLE alerts (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    rule BLOB NOT NULL REFERENCES alert_rules (id),
    organization TEXT REFERENCES organizations (id),
    subject TEXT NOT NULL,
    key BLOB,
    message TEXT NOT NULL,
    raised_at INTEGER NOT NULL,
    -- When it was last told of.
    told_at INTEGER NOT NULL,
    resolved_at INTEGER
) STRICT;
CREATE INDEX alerts_of_organization ON alerts (organization, seq);
CREATE INDEX alerts_of_rule ON alerts (rule, subject, seq);
CREATE INDEX alerts_open ON alerts (rule, subject) WHERE resolved_at IS NULL;

-- The networks (IPv4: /24, IPv6: /48) that a key was used from. The newest stay; how many is bounded.
CREATE TABLE key_networks (
    key_seq INTEGER NOT NULL REFERENCES keys (seq),
    network TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (key_seq, network)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_networks_by_first ON key_networks (first_at);
