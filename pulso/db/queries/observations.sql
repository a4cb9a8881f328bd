-- observation_savepoint --
SAVEPOINT copying;

-- observation_release --
RELEASE SAVEPOINT copying;

-- observation_roll_back --
ROLLBACK TO SAVEPOINT copying;

-- observation_copy --
-- Straight into the table: a key that is there already refuses all of it. Half the work of staging and inserting.
COPY observation (datastream_id, phenomenon_time, result, quality, received_at, flags)
FROM STDIN (FORMAT binary);

-- observation_copy_told --
-- The same for a batch in which a message told when it was produced, or a unit was converted.
COPY observation (datastream_id, phenomenon_time, result, quality, received_at, flags, result_time, sent_result,
                  sent_unit)
FROM STDIN (FORMAT binary);

-- observation_stage_create --
-- One per session; truncated by each COMMIT. ord is the row's place in the batch.
CREATE TEMPORARY TABLE IF NOT EXISTS stage_observation (
    ord             integer NOT NULL,
    datastream_id   integer NOT NULL,
    phenomenon_time timestamptz NOT NULL,
    result          double precision NOT NULL,
    quality         smallint NOT NULL,
    received_at     timestamptz NOT NULL,
    result_time     timestamptz NOT NULL,
    flags           smallint NOT NULL,
    sent_result     double precision,
    sent_unit       smallint
) ON COMMIT DELETE ROWS;

-- observation_stage_copy --
-- A batch in which nothing was converted, as most are.
COPY stage_observation (ord, datastream_id, phenomenon_time, result, quality, received_at, result_time, flags)
FROM STDIN (FORMAT binary);

-- observation_stage_copy_sent --
-- A batch with conversions: sent_result is NaN and sent_unit 0 where a row has none.
COPY stage_observation (ord, datastream_id, phenomenon_time, result, quality, received_at, result_time, flags,
                        sent_result, sent_unit)
FROM STDIN (FORMAT binary);

-- observation_insert --
-- Inserts what is new and returns the places of rows whose key was there already: none, in the usual case. One probe of
-- the primary key per row; the anti-join hashes the batch only. Rows come sorted by key, so two workers cannot deadlock.
WITH inserted AS (
    INSERT INTO observation (datastream_id, phenomenon_time, result, quality, received_at, result_time, flags,
                             sent_result, sent_unit)
    SELECT datastream_id, phenomenon_time, result, quality, received_at, nullif(result_time, '-infinity'), flags,
           nullif(sent_result, 'NaN'), nullif(sent_unit, 0)
    FROM stage_observation
    ON CONFLICT (datastream_id, phenomenon_time) DO NOTHING
    RETURNING datastream_id, phenomenon_time
)
SELECT staged.ord
FROM stage_observation AS staged
WHERE NOT EXISTS (
    SELECT
    FROM inserted
    WHERE inserted.datastream_id = staged.datastream_id
      AND inserted.phenomenon_time = staged.phenomenon_time
);

-- observation_lock_existing --
-- What stands under the keys that arrived again with another result; locked in key order until COMMIT. One probe of the
-- primary key per key, here and below: a plain join scans the whole history as soon as the batch is large enough. The
-- bounds exclude chunks when the statement is planned; a probe would look into every one of them.
SELECT stored.datastream_id, stored.phenomenon_time, stored.result, stored.quality, stored.received_at,
       stored.result_time, stored.flags, stored.sent_result, stored.sent_unit
FROM (
    SELECT datastream_id, phenomenon_time
    FROM unnest(%(datastream_ids)s::integer[], %(phenomenon_times)s::timestamptz[]) AS key (datastream_id, phenomenon_time)
    ORDER BY datastream_id, phenomenon_time
) AS again
CROSS JOIN LATERAL (
    SELECT datastream_id, phenomenon_time, result, quality, received_at, result_time, flags, sent_result, sent_unit
    FROM observation
    WHERE observation.datastream_id = again.datastream_id
      AND observation.phenomenon_time = again.phenomenon_time
      AND observation.phenomenon_time BETWEEN %(first)s AND %(last)s
    FOR UPDATE
) AS stored;

-- observation_differing --
-- Places of staged rows that are another version than the one that stands: another result, or produced later.
-- Called only when keys arrived again. OFFSET 0 keeps the planner from making a join of the probes.
SELECT staged.ord
FROM stage_observation AS staged
CROSS JOIN LATERAL (
    SELECT result, result_time
    FROM observation
    WHERE observation.datastream_id = staged.datastream_id
      AND observation.phenomenon_time = staged.phenomenon_time
      AND observation.phenomenon_time BETWEEN %(first)s AND %(last)s
    OFFSET 0
) AS stored
WHERE staged.ord = ANY (%(places)s)
  AND (stored.result <> staged.result
       OR staged.result_time > coalesce(stored.result_time, '-infinity'));

-- observation_superseded --
-- Versions that another one took the place of already: they do not come back when they are delivered again.
SELECT correction.datastream_id, correction.phenomenon_time, correction.result, correction.quality,
       correction.received_at, correction.result_time, correction.flags, correction.sent_result, correction.sent_unit
FROM unnest(%(datastream_ids)s::integer[], %(phenomenon_times)s::timestamptz[]) AS again (datastream_id, phenomenon_time)
CROSS JOIN LATERAL (
    SELECT datastream_id, phenomenon_time, result, quality, received_at, result_time, flags, sent_result, sent_unit
    FROM observation_correction
    WHERE observation_correction.datastream_id = again.datastream_id
      AND observation_correction.phenomenon_time = again.phenomenon_time
    OFFSET 0
) AS correction;

-- observation_replace --
UPDATE observation
SET result = %(result)s,
    quality = %(quality)s,
    received_at = %(received_at)s,
    result_time = %(result_time)s,
    flags = %(flags)s,
    sent_result = %(sent_result)s,
    sent_unit = %(sent_unit)s
WHERE datastream_id = %(datastream_id)s
  AND phenomenon_time = %(phenomenon_time)s;

-- observation_keep_superseded --
INSERT INTO observation_correction (datastream_id, phenomenon_time, result, quality, received_at, result_time, flags,
                                    sent_result, sent_unit)
VALUES (%(datastream_id)s, %(phenomenon_time)s, %(result)s, %(quality)s, %(received_at)s, %(result_time)s, %(flags)s,
        %(sent_result)s, %(sent_unit)s);

-- observation_batch_insert --
-- The hand-off to the engine, in the transaction that stores the rows.
INSERT INTO observation_batch (observations, frame)
VALUES (%(observations)s, %(frame)s);

-- observation_batch_notify --
SELECT pg_notify('pulso_observation_batch', '');

-- rejected_insert --
-- A message the broker delivers again (DUP) after a crash keeps its packet identifier, so its fingerprint is known.
INSERT INTO rejected_message (received_at, topic, payload, reason, detail, decoder, fingerprint, source, external_id,
                              content_type, retained)
SELECT %(received_at)s, %(topic)s, %(payload)s, %(reason)s, %(detail)s, %(decoder)s, %(fingerprint)s, %(source)s,
       %(external_id)s, %(content_type)s, %(retained)s
WHERE NOT (
    %(redelivered)s
    AND EXISTS (
        SELECT
        FROM rejected_message
        WHERE fingerprint = %(fingerprint)s
          AND received_at > now() - interval '1 day'
    )
);

-- sent_unit_ensure --
-- Few spellings, known after the first message that has them.
WITH made AS (
    INSERT INTO sent_unit (code)
    SELECT told.code
    FROM unnest(%(codes)s::text[]) AS told (code)
    WHERE NOT EXISTS (SELECT FROM sent_unit WHERE sent_unit.code = told.code)
    ORDER BY told.code
    ON CONFLICT (code) DO NOTHING
    RETURNING code, sent_unit_id
)
SELECT code, sent_unit_id FROM made
UNION ALL
SELECT code, sent_unit_id FROM sent_unit WHERE code = ANY (%(codes)s::text[]);

-- receipts_save --
INSERT INTO message_receipts (receipts) VALUES (%(receipts)s);

-- receipts_recent --
SELECT receipts FROM message_receipts WHERE stored_at > now() - %(age)s::interval ORDER BY stored_at;

-- receipts_delete --
DELETE FROM message_receipts WHERE stored_at < now() - %(older_than)s::interval;
