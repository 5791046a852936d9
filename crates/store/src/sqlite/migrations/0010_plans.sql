-- Plans and prices, and limits where they stand: in a plan, at an organization, on a key. Limits are JSON arrays of the form in which
-- people write them; they are read and written whole. Where there are none, nothing stands.

CREATE TABLE plans (
    -- As it was written; two that differ in the case of their ASCII letters only are one.
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    limits TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE prices (
    model TEXT NOT NULL UNIQUE,
    price TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0
) STRICT;

-- By name, and not held to the table: profiles bring plans that stand nowhere here.
ALTER TABLE organizations ADD COLUMN plan TEXT COLLATE NOCASE;
ALTER TABLE organizations ADD COLUMN limits TEXT;
CREATE INDEX organizations_on_plan ON organizations (plan) WHERE plan IS NOT NULL;
ALTER TABLE keys ADD COLUMN limits TEXT;
