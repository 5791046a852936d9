-- What holds of one thing is raised once; what the rules raised that are not looked at is over.
UPDATE alerts SET resolved_at = raised_at
WHERE resolved_at IS NULL AND rule IN (SELECT id FROM alert_rules WHERE state <> 'enabled');
-- Of what was raised twice at once, the newest stands.
UPDATE alerts SET resolved_at = raised_at
WHERE resolved_at IS NULL
  AND seq NOT IN (SELECT max(seq) FROM alerts WHERE resolved_at IS NULL GROUP BY rule, subject);
DROP INDEX alerts_open;
CREATE UNIQUE INDEX alerts_open ON alerts (rule, subject) WHERE resolved_at IS NULL;
CREATE INDEX alerts_by_end ON alerts (resolved_at) WHERE resolved_at IS NOT NULL;

-- Of several servers on one database, who does something: `holder` until `until`.
CREATE TABLE turns (
    what TEXT PRIMARY KEY,
    holder BLOB NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
