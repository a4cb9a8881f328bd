-- session_lock --
-- Whether this session now holds the lock of that name; it is released when the session ends, however it ends.
SELECT pg_try_advisory_lock(hashtextextended('pulso/' || %(name)s, 0));

-- engine_stages --
-- Landing places for COPY, once per session; emptied by every commit.
CREATE TEMPORARY TABLE stage_pane (LIKE rollup_1m) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE stage_key (datastream_id integer NOT NULL, start timestamptz NOT NULL) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE stage_kpi_value (LIKE kpi_value) ON COMMIT DELETE ROWS;

-- position_read --
SELECT transaction_id::text, batch_id
FROM consumer_position
WHERE consumer = %(consumer)s;

-- position_is_foreign --
-- Whether position or batches were numbered by another server: here no such transaction has begun yet.
SELECT %(transaction_id)s::text::xid8 >= pg_snapshot_xmax(pg_current_snapshot())
    OR EXISTS (
        SELECT
        FROM observation_batch
        WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
    );

-- batches_delete_consumed_abroad --
-- Those of the other server by its order; what this one has stored since by its own, which goes on with batch_id.
DELETE FROM observation_batch
WHERE CASE
          WHEN transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
          THEN (transaction_id, batch_id) <= (%(transaction_id)s::text::xid8, %(batch_id)s::bigint)
          ELSE batch_id <= %(batch_id)s::bigint
      END;

-- batches_renumber --
-- Before every transaction of this server.
UPDATE observation_batch
SET transaction_id = '1'
WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot());

-- position_save --
INSERT INTO consumer_position (consumer, transaction_id, batch_id)
VALUES (%(consumer)s, %(transaction_id)s::text::xid8, %(batch_id)s)
ON CONFLICT (consumer) DO UPDATE
SET transaction_id = excluded.transaction_id, batch_id = excluded.batch_id, moved_at = now();

-- batches_next --
-- Below xmin nothing can still commit, so the order of the index is final; a range scan of that index.
-- Qualified, because a bare ORDER BY transaction_id would mean the text of the output: 1000 before 999.
SELECT transaction_id::text, batch_id, stored_at, frame
FROM observation_batch
WHERE (transaction_id, batch_id) > (%(transaction_id)s::text::xid8, %(batch_id)s::bigint)
  AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY observation_batch.transaction_id, observation_batch.batch_id
LIMIT %(limit)s;

-- batches_visible --
-- Everything behind the position that this snapshot sees, also what is not below xmin yet; read with a cursor.
SELECT frame
FROM observation_batch
WHERE (transaction_id, batch_id) > (%(transaction_id)s::text::xid8, %(batch_id)s::bigint)
ORDER BY observation_batch.transaction_id, observation_batch.batch_id;

-- batches_delete --
-- What the slowest consumer is done with; without a consumer nothing is deleted.
DELETE FROM observation_batch
WHERE (transaction_id, batch_id) <= (
        SELECT transaction_id, batch_id FROM consumer_position ORDER BY transaction_id, batch_id LIMIT 1
      )
  AND stored_at < now() - %(older_than)s;

-- stage_pane_clear --
DELETE FROM stage_pane;

-- stage_pane_fill --
COPY stage_pane (datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time)
FROM STDIN (FORMAT BINARY);

-- stage_key_clear --
DELETE FROM stage_key;

-- stage_key_fill --
COPY stage_key (datastream_id, start) FROM STDIN (FORMAT BINARY);

-- rollup_1m_upsert --
-- The stage holds the merged state, so a repeated write is the same write. Ordered: pages are touched once.
INSERT INTO rollup_1m (datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time)
SELECT datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time
FROM stage_pane
ORDER BY datastream_id, start
ON CONFLICT (datastream_id, start) DO UPDATE
SET count = excluded.count,
    sum = excluded.sum,
    sum_squares = excluded.sum_squares,
    min = excluded.min,
    max = excluded.max,
    first = excluded.first,
    first_time = excluded.first_time,
    last = excluded.last,
    last_time = excluded.last_time;

-- rollup_1h_upsert --
INSERT INTO rollup_1h (datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time)
SELECT datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time
FROM stage_pane
ORDER BY datastream_id, start
ON CONFLICT (datastream_id, start) DO UPDATE
SET count = excluded.count,
    sum = excluded.sum,
    sum_squares = excluded.sum_squares,
    min = excluded.min,
    max = excluded.max,
    first = excluded.first,
    first_time = excluded.first_time,
    last = excluded.last,
    last_time = excluded.last_time;

-- rollup_1m_delete_staged --
-- Panes whose last counting observation is gone after a correction.
DELETE FROM rollup_1m USING stage_key
WHERE rollup_1m.datastream_id = stage_key.datastream_id AND rollup_1m.start = stage_key.start
  AND rollup_1m.start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s);

-- rollup_1h_delete_staged --
DELETE FROM rollup_1h USING stage_key
WHERE rollup_1h.datastream_id = stage_key.datastream_id AND rollup_1h.start = stage_key.start
  AND rollup_1h.start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s);

-- rollup_1m_by_key --
-- OFFSET 0 keeps the planner from turning one index probe per key into a scan of the table; the bounds, here and where
-- else keys are staged, exclude chunks.
COPY (
    SELECT pane.*
    FROM stage_key
    CROSS JOIN LATERAL (
        SELECT datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time
        FROM rollup_1m
        WHERE rollup_1m.datastream_id = stage_key.datastream_id AND rollup_1m.start = stage_key.start
          AND rollup_1m.start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s)
        OFFSET 0
    ) AS pane
) TO STDOUT (FORMAT BINARY);

-- rollup_1h_by_key --
COPY (
    SELECT pane.*
    FROM stage_key
    CROSS JOIN LATERAL (
        SELECT datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time
        FROM rollup_1h
        WHERE rollup_1h.datastream_id = stage_key.datastream_id AND rollup_1h.start = stage_key.start
          AND rollup_1h.start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s)
        OFFSET 0
    ) AS pane
) TO STDOUT (FORMAT BINARY);

-- rollup_1m_range --
-- One index range per datastream; the constant bounds exclude chunks.
COPY (
    SELECT pane.*
    FROM unnest(%(ids)s::integer[]) AS wanted (datastream_id)
    CROSS JOIN LATERAL (
        SELECT datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time
        FROM rollup_1m
        WHERE rollup_1m.datastream_id = wanted.datastream_id
          AND start >= to_timestamp(%(first)s) AND start < to_timestamp(%(end)s)
        OFFSET 0
    ) AS pane
) TO STDOUT (FORMAT BINARY);

-- rollup_1h_range --
COPY (
    SELECT pane.*
    FROM unnest(%(ids)s::integer[]) AS wanted (datastream_id)
    CROSS JOIN LATERAL (
        SELECT datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time
        FROM rollup_1h
        WHERE rollup_1h.datastream_id = wanted.datastream_id
          AND start >= to_timestamp(%(first)s) AND start < to_timestamp(%(end)s)
        OFFSET 0
    ) AS pane
) TO STDOUT (FORMAT BINARY);

-- rollup_1m_recent --
-- Every datastream's panes since a moment, retired things included: what memory holds after a start.
COPY (
    SELECT pane.*
    FROM datastream
    CROSS JOIN LATERAL (
        SELECT datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time
        FROM rollup_1m
        WHERE rollup_1m.datastream_id = datastream.datastream_id
          AND start >= to_timestamp(%(first)s) AND start < to_timestamp(%(end)s)
        OFFSET 0
    ) AS pane
) TO STDOUT (FORMAT BINARY);

-- rollup_1h_recent --
-- Every datastream's panes since a moment, retired things included: what memory holds after a start.
COPY (
    SELECT pane.*
    FROM datastream
    CROSS JOIN LATERAL (
        SELECT datastream_id, start, count, sum, sum_squares, min, max, first, first_time, last, last_time
        FROM rollup_1h
        WHERE rollup_1h.datastream_id = datastream.datastream_id
          AND start >= to_timestamp(%(first)s) AND start < to_timestamp(%(end)s)
        OFFSET 0
    ) AS pane
) TO STDOUT (FORMAT BINARY);

-- rollup_newest --
-- The end of each datastream's index range: one probe per datastream.
COPY (
    SELECT newest.datastream_id, newest.last_time
    FROM datastream
    CROSS JOIN LATERAL (
        SELECT datastream_id, last_time
        FROM rollup_1m
        WHERE rollup_1m.datastream_id = datastream.datastream_id
        ORDER BY start DESC
        LIMIT 1
    ) AS newest
) TO STDOUT (FORMAT BINARY);

-- observations_by_minute --
COPY (
    SELECT found.*
    FROM stage_key
    CROSS JOIN LATERAL (
        SELECT datastream_id, phenomenon_time, result, quality
        FROM observation
        WHERE observation.datastream_id = stage_key.datastream_id
          AND phenomenon_time >= stage_key.start AND phenomenon_time < stage_key.start + interval '1 minute'
          AND phenomenon_time BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s) + interval '1 minute'
        OFFSET 0
    ) AS found
) TO STDOUT (FORMAT BINARY);

-- observations_range --
COPY (
    SELECT found.*
    FROM unnest(%(ids)s::integer[]) AS wanted (datastream_id)
    CROSS JOIN LATERAL (
        SELECT datastream_id, phenomenon_time, result, quality
        FROM observation
        WHERE observation.datastream_id = wanted.datastream_id
          AND phenomenon_time >= to_timestamp(%(first)s) AND phenomenon_time < to_timestamp(%(end)s)
        OFFSET 0
    ) AS found
) TO STDOUT (FORMAT BINARY);

-- kpi_definition_record --
INSERT INTO kpi_definition (kpi_id, version, document)
VALUES (%(kpi_id)s, %(version)s, %(document)s)
ON CONFLICT (kpi_id, version) DO NOTHING;

-- kpi_value_latest --
-- Newest revision of each window asked for: one probe of the primary key each.
SELECT latest.kpi_id, latest.zone_id, latest.window_start, latest.window_end, latest.value, latest.band,
       latest.coverage, latest.status, latest.revision, latest.observed_until, latest.version, latest.detail
FROM unnest(%(kpi_ids)s::text[], %(zone_ids)s::text[], %(ends)s::timestamptz[]) AS wanted (kpi_id, zone_id, window_end)
CROSS JOIN LATERAL (
    SELECT *
    FROM kpi_value
    WHERE kpi_value.kpi_id = wanted.kpi_id
      AND kpi_value.zone_id = wanted.zone_id
      AND kpi_value.window_end = wanted.window_end
      AND kpi_value.window_end BETWEEN %(first_end)s AND %(last_end)s
    ORDER BY revision DESC
    LIMIT 1
) AS latest;

-- kpi_value_latest_range --
-- Newest revision of every window of one KPI that ends within (first, last].
SELECT DISTINCT ON (zone_id, window_end)
       kpi_id, zone_id, window_start, window_end, value, band,
       coverage, status, revision, observed_until, version, detail
FROM kpi_value
WHERE kpi_id = %(kpi_id)s AND window_end > %(first)s AND window_end <= %(last)s
ORDER BY zone_id, window_end, revision DESC;

-- stage_kpi_value_fill --
COPY stage_kpi_value (kpi_id, zone_id, window_end, revision, window_start, value, band, coverage, status,
                      observed_until, detail, version, known_at)
FROM STDIN;

-- kpi_value_upsert --
-- Only a provisional row is ever replaced, later revisions are rows of their own; a settled row is told how far its
-- observations reach, and keeps the moment it became known.
INSERT INTO kpi_value (kpi_id, zone_id, window_end, revision, window_start, value, band, coverage, status,
                       observed_until, detail, version, known_at)
SELECT kpi_id, zone_id, window_end, revision, window_start, value, band, coverage, status,
       observed_until, detail, version, known_at
FROM stage_kpi_value
ON CONFLICT (kpi_id, zone_id, window_end, revision) DO UPDATE
SET value = excluded.value,
    band = excluded.band,
    coverage = excluded.coverage,
    status = excluded.status,
    observed_until = excluded.observed_until,
    detail = excluded.detail,
    version = excluded.version,
    known_at = CASE WHEN kpi_value.status = 'provisional' THEN excluded.known_at ELSE kpi_value.known_at END;

-- kpi_value_finalise --
-- The provisional rows are few and have an index of their own. They are fresh: whatever changes a pane
-- evaluates its windows in the same transaction.
UPDATE kpi_value
SET status = 'final', known_at = %(known_at)s
FROM unnest(%(kpi_ids)s::text[], %(zone_ids)s::text[], %(limits)s::timestamptz[]) AS passed (kpi_id, zone_id, until)
WHERE kpi_value.status = 'provisional'
  AND kpi_value.kpi_id = passed.kpi_id
  AND kpi_value.zone_id = passed.zone_id
  AND kpi_value.window_end <= passed.until;

-- kpi_value_notify --
NOTIFY pulso_kpi_value;
