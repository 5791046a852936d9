-- Who may log in, where they belong, and the tokens that open a door. No token stands here, only its SHA-256.

CREATE TABLE users (
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    -- In lower case.
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password TEXT,
    operator INTEGER NOT NULL CHECK (operator IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX operators ON users (operator) WHERE operator = 1;

CREATE TABLE memberships (
    organization TEXT NOT NULL REFERENCES organizations (id),
    user BLOB NOT NULL REFERENCES users (id),
    role TEXT NOT NULL CHECK (role IN ('viewer', 'developer', 'administrator', 'owner')),
    created_at INTEGER NOT NULL,
    UNIQUE (organization, user)
) STRICT;
CREATE INDEX memberships_of_user ON memberships (user);

CREATE TABLE sessions (
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    user BLOB NOT NULL REFERENCES users (id),
    token BLOB NOT NULL UNIQUE CHECK (length(token) = 32),
    device TEXT NOT NULL,
    begun_from TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
CREATE INDEX sessions_of_user ON sessions (user);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Without an organization it is to run this Keyward.
CREATE TABLE invitations (
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    email TEXT NOT NULL,
    organization TEXT REFERENCES organizations (id),
    role TEXT CHECK (role IN ('viewer', 'developer', 'administrator', 'owner')),
    token BLOB NOT NULL UNIQUE CHECK (length(token) = 32),
    invited_by BLOB REFERENCES users (id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'accepted', 'withdrawn')),
    CHECK ((organization IS NULL) = (role IS NULL))
) STRICT;
CREATE INDEX invitations_of_organization ON invitations (organization);
-- An address has one open invitation to a place.
CREATE UNIQUE INDEX open_invitations ON invitations (coalesce(organization, ''), email) WHERE state = 'open';

CREATE TABLE setup (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    token BLOB NOT NULL CHECK (length(token) = 32),
    expires_at INTEGER NOT NULL
) STRICT;

-- A key is as good as its owner's role lets it be; without one it was made by who runs this Keyward.
ALTER TABLE keys ADD COLUMN owner BLOB REFERENCES users (id);
CREATE INDEX keys_of_owner ON keys (owner, seq) WHERE owner IS NOT NULL;
