-- Sums that wait to be added to `usage_sums`: thousands in one row, so that telling of them costs little. Numbers are never used twice:
-- by the first and the last of them, whoever adds them knows that nobody else did.
CREATE TABLE usage_waiting (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    sums TEXT NOT NULL
) STRICT;

-- How far what waits is added: the rows up to `until` are, together and in order, up to the sum `added`. Nothing is under way at 0.
CREATE TABLE usage_adding (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    until INTEGER NOT NULL,
    added INTEGER NOT NULL
) STRICT;
INSERT INTO usage_adding (only_row, until, added) VALUES (1, 0, 0);
