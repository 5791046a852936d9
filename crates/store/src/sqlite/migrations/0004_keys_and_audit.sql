-- What people write on keys and find them by, how far a rotation has come, whose business an audit entry is, and which nodes
-- have applied what.

ALTER TABLE keys ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE keys ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE keys ADD COLUMN rotate_after_days INTEGER;
ALTER TABLE keys ADD COLUMN rotation_required INTEGER NOT NULL DEFAULT 0 CHECK (rotation_required IN (0, 1));
-- Of the last change to it; by it, who changes a thing says which state of it they saw.
ALTER TABLE keys ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
CREATE INDEX keys_by_end ON keys (expires_at) WHERE expires_at IS NOT NULL;
-- What lists are narrowed by is read off the index, without a look at the rows it does not show.
DROP INDEX keys_of_organization;
CREATE INDEX keys_of_organization ON keys (organization, seq, api, state, expires_at, environment);

-- How many requests it was accepted for, and how many of them before it was replaced.
ALTER TABLE secrets ADD COLUMN requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE secrets ADD COLUMN requests_before INTEGER;

-- The words on keys, in lower case, tags as a whole behind a `#`: what a search walks, see `words.rs`.
CREATE TABLE key_words (
    organization TEXT NOT NULL,
    word TEXT NOT NULL,
    key_seq INTEGER NOT NULL REFERENCES keys (seq),
    PRIMARY KEY (organization, word, key_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX words_of_key ON key_words (key_seq, word);

-- Whose business it is; entries from before have none. It is part of what the chain is made over, where it is set.
ALTER TABLE audit ADD COLUMN organization TEXT;
-- From where it was done, where that was over a network; the same holds.
ALTER TABLE audit ADD COLUMN address TEXT;
CREATE INDEX audit_of_organization ON audit (organization, id) WHERE organization IS NOT NULL;
CREATE INDEX audit_of_subject ON audit (subject_kind, subject, id);

-- Gateways that follow the feed, and when each reached which revision.
CREATE TABLE nodes (
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    name TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;
CREATE TABLE node_progress (
    node BLOB NOT NULL,
    revision INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (node, revision)
) STRICT, WITHOUT ROWID;

-- Of what people were reminded, so that each is told once.
CREATE TABLE reminders (
    key_seq INTEGER NOT NULL REFERENCES keys (seq),
    kind TEXT NOT NULL,
    -- What it was about: the moment that draws near.
    about INTEGER NOT NULL,
    sent_at INTEGER NOT NULL,
    PRIMARY KEY (key_seq, kind, about)
) STRICT, WITHOUT ROWID;
