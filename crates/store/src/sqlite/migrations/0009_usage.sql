-- What was used, by minutes, hours and days: each request counts in one row of each grain (0, 1, 2). `start` is the minute since
-- the Unix epoch in which a row's time begins. An organization's time at one grain is one walk. Empty texts and keys are "none".
CREATE TABLE usage_sums (
    grain INTEGER NOT NULL CHECK (grain IN (0, 1, 2)),
    organization TEXT NOT NULL,
    start INTEGER NOT NULL,
    key BLOB NOT NULL CHECK (length(key) IN (0, 16)),
    api TEXT NOT NULL,
    route TEXT NOT NULL,
    model TEXT NOT NULL,
    status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    requests INTEGER NOT NULL,
    latency_micros INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    tokens_input INTEGER NOT NULL,
    tokens_cached INTEGER NOT NULL,
    tokens_cache_written INTEGER NOT NULL,
    tokens_output INTEGER NOT NULL,
    tokens_reasoning INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    cost_billionths INTEGER NOT NULL,
    first_minute INTEGER NOT NULL,
    last_minute INTEGER NOT NULL,
    latencies BLOB NOT NULL,
    PRIMARY KEY (grain, organization, start, key, api, route, model, status, reason)
) STRICT, WITHOUT ROWID;

-- Row by row, because a sum of large figures is an error in SQL. Latencies were not kept.
INSERT INTO usage_sums
SELECT grains.grain, coalesce((SELECT organization FROM keys WHERE id = usage.key), ''), minute - minute % grains.minutes,
    key, api, route, '', status, '', requests, latency_micros, bytes_in, bytes_out, 0, 0, 0, 0, 0, 0, 0, minute, minute, x''
FROM (SELECT 0 AS grain, 1 AS minutes UNION ALL SELECT 1, 60 UNION ALL SELECT 2, 1440) AS grains CROSS JOIN usage
WHERE true
ON CONFLICT DO UPDATE SET
    requests = iif(requests > 9223372036854775807 - excluded.requests,
        9223372036854775807, requests + excluded.requests),
    latency_micros = iif(latency_micros > 9223372036854775807 - excluded.latency_micros,
        9223372036854775807, latency_micros + excluded.latency_micros),
    bytes_in = iif(bytes_in > 9223372036854775807 - excluded.bytes_in,
        9223372036854775807, bytes_in + excluded.bytes_in),
    bytes_out = iif(bytes_out > 9223372036854775807 - excluded.bytes_out,
        9223372036854775807, bytes_out + excluded.bytes_out),
    first_minute = min(first_minute, excluded.first_minute),
    last_minute = max(last_minute, excluded.last_minute);

DROP TABLE usage;
