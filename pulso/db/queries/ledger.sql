-- session_end_others --
-- Sessions of the same worker that never said good-bye: their connection to the broker is gone, or goes with this one,
-- which has the same client id. What they had in flight the broker delivers again.
WITH dead AS (
    UPDATE ingest_session
    SET ended_at = now()
    WHERE worker = %(worker)s AND ended_at IS NULL
    RETURNING session_id
)
UPDATE ingest_ledger
SET returned = returned + in_flight, in_flight = 0
FROM dead
WHERE ingest_ledger.session_id = dead.session_id AND in_flight <> 0;

-- session_begin --
INSERT INTO ingest_session (worker) VALUES (%(worker)s) RETURNING session_id;

-- session_lock_worker --
SELECT pg_advisory_xact_lock(hashtextextended('pulso ingest session ' || %(worker)s, 0));

-- session_seen --
-- Locks the session, so that a successor cannot end it before this transaction has.
UPDATE ingest_session SET seen_at = clock_timestamp() WHERE session_id = %(session_id)s AND ended_at IS NULL;

-- session_end --
WITH ended AS (
    UPDATE ingest_session
    SET ended_at = now(), seen_at = clock_timestamp()
    WHERE session_id = %(session_id)s AND ended_at IS NULL
    RETURNING session_id
)
UPDATE ingest_ledger
SET returned = returned + in_flight, in_flight = 0
FROM ended
WHERE ingest_ledger.session_id = ended.session_id AND in_flight <> 0;

-- ledger_write --
-- Counts since the session began, so writing them twice is writing them once. `returned` belongs to who ends a session.
INSERT INTO ingest_ledger (session_id, source, minute, received, stored, duplicate, rejected, ignored, in_flight)
SELECT %(session_id)s, told.source, to_timestamp(told.minute * 60), told.received, told.stored, told.duplicate,
       told.rejected, told.ignored, told.in_flight
FROM unnest(
    %(source)s::text[], %(minute)s::bigint[], %(received)s::bigint[], %(stored)s::bigint[], %(duplicate)s::bigint[],
    %(rejected)s::bigint[], %(ignored)s::bigint[], %(in_flight)s::bigint[]
) AS told (source, minute, received, stored, duplicate, rejected, ignored, in_flight)
ON CONFLICT (minute, source, session_id) DO UPDATE
SET received = excluded.received,
    stored = excluded.stored,
    duplicate = excluded.duplicate,
    rejected = excluded.rejected,
    ignored = excluded.ignored,
    in_flight = excluded.in_flight;

-- ledger_balance --
-- A session that has not been heard of for `patience` counts as dead, until it is heard of again: what it had in flight
-- counts as returned. The newest period first.
SELECT period, source, received, stored, duplicate, rejected, ignored, returned, in_flight,
       received - stored - duplicate - rejected - ignored - returned - in_flight AS difference
FROM (
    SELECT date_bin(%(step)s::interval, minute, 'epoch') AS period,
           source,
           sum(received)::bigint AS received,
           sum(stored)::bigint AS stored,
           sum(duplicate)::bigint AS duplicate,
           sum(rejected)::bigint AS rejected,
           sum(ignored)::bigint AS ignored,
           sum(returned + CASE WHEN is_alive THEN 0 ELSE in_flight END)::bigint AS returned,
           sum(CASE WHEN is_alive THEN in_flight ELSE 0 END)::bigint AS in_flight
    FROM ingest_ledger
    JOIN (
        SELECT session_id, ended_at IS NULL AND seen_at > clock_timestamp() - %(patience)s::interval AS is_alive
        FROM ingest_session
    ) AS session USING (session_id)
    WHERE minute >= %(since)s
      AND minute < %(until)s
      AND (%(source)s::text IS NULL OR source = %(source)s)
    GROUP BY 1, 2
) AS booked
WHERE %(before)s::timestamptz IS NULL OR period < %(before)s OR period = %(before)s AND source > %(after)s
ORDER BY period DESC, source
LIMIT %(limit)s;

-- ledger_total --
SELECT coalesce(sum(received), 0)::bigint,
       coalesce(sum(stored), 0)::bigint,
       coalesce(sum(duplicate), 0)::bigint,
       coalesce(sum(rejected), 0)::bigint,
       coalesce(sum(ignored), 0)::bigint,
       coalesce(sum(returned + CASE WHEN is_alive THEN 0 ELSE in_flight END), 0)::bigint,
       coalesce(sum(CASE WHEN is_alive THEN in_flight ELSE 0 END), 0)::bigint,
       coalesce(sum(received - stored - duplicate - rejected - ignored - returned - in_flight), 0)::bigint
FROM ingest_ledger
JOIN (
    SELECT session_id, ended_at IS NULL AND seen_at > clock_timestamp() - %(patience)s::interval AS is_alive
    FROM ingest_session
) AS session USING (session_id)
WHERE minute >= %(since)s
  AND minute < %(until)s
  AND (%(source)s::text IS NULL OR source = %(source)s);

-- ledger_delete --
DELETE FROM ingest_ledger WHERE minute < now() - %(older_than)s::interval;

-- session_delete --
DELETE FROM ingest_session
WHERE coalesce(ended_at, seen_at) < now() - %(older_than)s::interval
  AND NOT EXISTS (SELECT FROM ingest_ledger WHERE ingest_ledger.session_id = ingest_session.session_id);
