-- What is due is looked for webhook by webhook, so that one to which a million deliveries are due holds up no other.
CREATE INDEX deliveries_waiting ON deliveries (webhook, next_at) WHERE state = 'waiting';
DROP INDEX deliveries_due;
CREATE INDEX events_by_time ON events (at);
-- How often it was tried in vain since `failing_since`.
ALTER TABLE webhooks ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
UPDATE webhooks SET failures = 1 WHERE failing_since IS NOT NULL;
