-- Secrets that came from another system. What is kept of them becomes the same as of ours when they are used for the first time.

-- What `digest` was made of: the secret itself, or what another system kept of it. Never that system's digest as it is, which
-- would confirm guesses to whoever has this database.
ALTER TABLE secrets ADD COLUMN form TEXT NOT NULL DEFAULT 'minted'
    CHECK (form IN ('minted', 'imported', 'sha256', 'sha512', 'bcrypt'));

-- By a bcrypt hash nobody is found: it is kept sealed, and found by what the secret begins with.
CREATE TABLE bcrypt_secrets (
    secret BLOB NOT NULL PRIMARY KEY CHECK (length(secret) = 16),
    api TEXT NOT NULL,
    prefix TEXT NOT NULL,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX bcrypt_prefixes ON bcrypt_secrets (api, prefix);
CREATE INDEX bcrypt_prefix_lengths ON bcrypt_secrets (api, length(prefix));
