-- Requests that are done once: what became of each, and for some minutes its answer, sealed. Written with the change.

CREATE TABLE answers (
    -- The id of the person or key that asked.
    caller TEXT NOT NULL,
    -- The SHA-256 of the key they chose.
    key BLOB NOT NULL CHECK (length(key) = 32),
    -- What they asked for, digested under a pepper.
    asked BLOB NOT NULL CHECK (length(asked) = 32),
    made TEXT NOT NULL,
    answer BLOB,
    answered_until INTEGER NOT NULL,
    kept_until INTEGER NOT NULL,
    UNIQUE (caller, key)
) STRICT;
CREATE INDEX answers_by_end ON answers (kept_until);
CREATE INDEX answers_to_forget ON answers (answered_until) WHERE answer IS NOT NULL;
