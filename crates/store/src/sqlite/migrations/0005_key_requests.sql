-- Requests for keys. What was asked and granted are JSON objects: they are read and written whole, never searched.

CREATE TABLE key_requests (
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    organization TEXT NOT NULL REFERENCES organizations (id),
    requester BLOB NOT NULL REFERENCES users (id),
    api TEXT NOT NULL,
    name TEXT NOT NULL,
    environment TEXT NOT NULL,
    reason TEXT NOT NULL,
    asked TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    decide_until INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'approved', 'denied', 'withdrawn', 'claimed')),
    -- Without somebody who decided, but with a moment, it was decided on the machine itself.
    decided_by BLOB REFERENCES users (id),
    decided_at INTEGER,
    note TEXT,
    granted TEXT,
    claim_until INTEGER,
    key BLOB REFERENCES keys (id),
    CHECK ((granted IS NULL) = (claim_until IS NULL)),
    CHECK ((state = 'claimed') = (key IS NOT NULL))
) STRICT;
CREATE INDEX key_requests_of_organization ON key_requests (organization);
CREATE INDEX key_requests_of_requester ON key_requests (requester);
