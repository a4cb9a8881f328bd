-- document_list --
-- What was adopted last is asked first, so it comes last.
SELECT name, document, adopted_at, adopted_by
FROM device_document
ORDER BY adopted_at, name;

-- document_put --
INSERT INTO device_document (name, document, adopted_by)
VALUES (%(name)s, %(document)s, %(adopted_by)s)
ON CONFLICT (name) DO UPDATE
SET document = excluded.document, adopted_by = excluded.adopted_by, adopted_at = now();

-- document_delete --
DELETE FROM device_document WHERE name = %(name)s;

-- document_notify --
-- Also for boundaries of zones and for what a person says of a thing: what workers keep in memory of how to understand
-- messages has changed.
SELECT pg_notify('pulso_devices', '');

-- memory_load --
SELECT key, value FROM decoder_memory;

-- memory_save --
-- What is known already is not written again: births come with every restart of a gateway.
INSERT INTO decoder_memory (key, value)
SELECT told.key, told.value
FROM unnest(%(keys)s::text[], %(values)s::jsonb[]) AS told (key, value)
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, learned_at = now()
WHERE decoder_memory.value IS DISTINCT FROM excluded.value;

-- memory_forget --
DELETE FROM decoder_memory WHERE key = ANY (%(keys)s::text[]);

-- memory_notify --
SELECT pg_notify('pulso_memory', '');

-- boundary_list --
SELECT zone_id, boundary FROM zone WHERE boundary IS NOT NULL ORDER BY zone_id;

-- boundary_set --
UPDATE zone SET boundary = %(boundary)s WHERE zone_id = %(zone_id)s;

-- things_without_zone --
SELECT external_id, latitude, longitude
FROM thing
WHERE zone_id IS NULL AND latitude IS NOT NULL AND longitude IS NOT NULL
ORDER BY external_id;

-- things_place --
UPDATE thing
SET zone_id = placed.zone_id
FROM unnest(%(external_ids)s::text[], %(zone_ids)s::text[]) AS placed (external_id, zone_id)
WHERE thing.external_id = placed.external_id AND thing.zone_id IS NULL;

-- things_list --
-- Keyset paging by external id. The last observation is one index probe per datastream of the page.
SELECT thing.external_id, thing.family, thing.name, thing.zone_id, thing.latitude, thing.longitude,
       extract(epoch FROM thing.expected_interval)::double precision, thing.state, thing.decoder, thing.model,
       streams.datastreams, streams.last_observed, thing_clock.skew, thing_clock.lateness,
       coalesce(thing_unread.fields, '{}')
FROM thing
LEFT JOIN zone USING (zone_id)
LEFT JOIN thing_clock USING (thing_id)
LEFT JOIN thing_unread USING (thing_id)
LEFT JOIN LATERAL (
    SELECT count(*) AS datastreams, max(latest.phenomenon_time) AS last_observed
    FROM datastream
    LEFT JOIN LATERAL (
        SELECT phenomenon_time
        FROM observation
        WHERE observation.datastream_id = datastream.datastream_id
        ORDER BY phenomenon_time DESC
        LIMIT 1
    ) AS latest ON true
    WHERE datastream.thing_id = thing.thing_id
) AS streams ON true
WHERE thing.external_id > %(after)s
  AND (%(external_id)s::text IS NULL OR thing.external_id = %(external_id)s)
  AND (%(family)s::text IS NULL OR coalesce(thing.family, 'none') = %(family)s)
  AND (%(zone_id)s::text IS NULL OR coalesce(thing.zone_id, 'none') = %(zone_id)s OR zone.parent_id = %(zone_id)s)
  AND (%(state)s::text IS NULL OR thing.state = %(state)s)
  AND (%(decoder)s::text IS NULL OR thing.decoder = %(decoder)s OR starts_with(thing.decoder, %(decoder)s || '@'))
  AND (%(unread)s::boolean IS NULL OR (thing_unread.thing_id IS NOT NULL) = %(unread)s)
ORDER BY CASE WHEN %(newest)s THEN thing.thing_id END DESC, thing.external_id
LIMIT %(limit)s;

-- thing_change --
-- What is NULL stays as it was.
UPDATE thing
SET family = coalesce(%(family)s::text, family),
    family_basis = CASE WHEN %(family)s::text IS NULL THEN family_basis ELSE 2 END,
    zone_id = coalesce(%(zone_id)s::text, zone_id),
    state = coalesce(%(state)s::text, state),
    name = coalesce(%(name)s::text, name),
    expected_interval = coalesce(%(expected_interval)s::interval, expected_interval)
WHERE external_id = %(external_id)s;

-- thing_adopt --
-- A person vouches for the thing: it is active from here on, whether it was heard of before or not.
INSERT INTO thing (external_id, family, zone_id, name, expected_interval)
VALUES (
    %(external_id)s, %(family)s::text, %(zone_id)s::text, coalesce(%(name)s::text, ''),
    coalesce(%(expected_interval)s::interval, '1 minute')
)
ON CONFLICT (external_id) DO UPDATE
SET family = coalesce(%(family)s::text, thing.family),
    family_basis = CASE WHEN %(family)s::text IS NULL THEN thing.family_basis ELSE 2 END,
    zone_id = coalesce(%(zone_id)s::text, thing.zone_id),
    name = coalesce(%(name)s::text, thing.name),
    expected_interval = coalesce(%(expected_interval)s::interval, thing.expected_interval),
    state = 'active';

-- zone_ids --
SELECT zone_id FROM zone ORDER BY kind, zone_id;
