-- zone_upsert --
-- Zones come from the city pack at every start; their ids never change.
INSERT INTO zone (zone_id, parent_id, kind, name, short_name, latitude, longitude)
VALUES (%(zone_id)s, %(parent_id)s, %(kind)s, %(name)s, %(short_name)s, %(latitude)s, %(longitude)s)
ON CONFLICT (zone_id) DO UPDATE
SET parent_id = excluded.parent_id,
    kind = excluded.kind,
    name = excluded.name,
    short_name = excluded.short_name,
    latitude = excluded.latitude,
    longitude = excluded.longitude;

-- thing_ensure --
-- A thing that is heard of for the first time. What exists is left out before it takes a number: descriptions come again
-- and again, and integers are not without end. What nobody knew of a thing so far is filled in; a family with a better
-- basis takes the place of the other.
WITH told AS (
    SELECT told.*,
           told.family IS NOT NULL
           AND (thing.family IS NULL OR told.family_basis > thing.family_basis) AS takes_family
    FROM unnest(%(external_ids)s::text[], %(families)s::text[], %(family_bases)s::smallint[], %(decoders)s::text[],
                %(models)s::text[], %(zones)s::text[], %(latitudes)s::double precision[],
                %(longitudes)s::double precision[])
         AS told (external_id, family, family_basis, decoder, model, zone_id, latitude, longitude)
    LEFT JOIN thing USING (external_id)
), filled AS (
    UPDATE thing
    SET family = CASE WHEN told.takes_family THEN told.family ELSE thing.family END,
        family_basis = CASE WHEN told.takes_family THEN told.family_basis ELSE thing.family_basis END,
        decoder = coalesce(thing.decoder, told.decoder),
        model = coalesce(thing.model, told.model),
        zone_id = coalesce(thing.zone_id, told.zone_id),
        latitude = coalesce(thing.latitude, told.latitude),
        longitude = coalesce(thing.longitude, told.longitude)
    FROM told
    WHERE thing.external_id = told.external_id
      AND (told.takes_family
           OR (thing.decoder IS NULL AND told.decoder IS NOT NULL)
           OR (thing.model IS NULL AND told.model IS NOT NULL)
           OR (thing.zone_id IS NULL AND told.zone_id IS NOT NULL)
           OR (thing.latitude IS NULL AND told.latitude IS NOT NULL))
)
INSERT INTO thing (external_id, family, family_basis, decoder, model, zone_id, latitude, longitude, state)
SELECT told.external_id, told.family, told.family_basis, told.decoder, told.model, told.zone_id, told.latitude,
       told.longitude, %(state)s
FROM told
WHERE NOT EXISTS (SELECT FROM thing WHERE thing.external_id = told.external_id)
ORDER BY told.external_id
ON CONFLICT (external_id) DO NOTHING;

-- thing_describe --
-- What a description does not tell (NULL, empty) leaves what was known. The last condition keeps an unchanged thing from
-- bumping the registry version, so repeated (retained) descriptions wake nobody. Properties gather to 8 kB and no further.
UPDATE thing
SET name = told.name,
    zone_id = told.zone_id,
    latitude = told.latitude,
    longitude = told.longitude,
    expected_interval = told.expected_interval,
    properties = told.properties
FROM (
    SELECT known.thing_id,
           coalesce(nullif(%(name)s, ''), known.name) AS name,
           coalesce(%(zone_id)s::text, known.zone_id, %(lies_in)s::text) AS zone_id,
           coalesce(%(latitude)s::double precision, known.latitude) AS latitude,
           coalesce(%(longitude)s::double precision, known.longitude) AS longitude,
           %(expected_interval)s::interval AS expected_interval,
           CASE WHEN pg_column_size(known.properties || %(properties)s::jsonb) <= 8192
                THEN known.properties || %(properties)s::jsonb
                ELSE known.properties
           END AS properties
    FROM thing AS known
    WHERE known.external_id = %(external_id)s
      AND coalesce(known.family = %(family)s::text, true)
) AS told
WHERE thing.thing_id = told.thing_id
  AND (thing.name, thing.zone_id, thing.latitude, thing.longitude, thing.expected_interval, thing.properties)
      IS DISTINCT FROM
      (told.name, told.zone_id, told.latitude, told.longitude, told.expected_interval, told.properties);

-- thing_introduce --
SELECT external_id, thing_id, family, state, zone_id, properties, family_basis
FROM thing
WHERE external_id = ANY (%(external_ids)s::text[]);

-- datastream_ensure --
-- The first unit a datastream is seen with is its unit. A thing gets no more than `most` of them, whatever names it
-- makes up, and none in the name of another family.
INSERT INTO datastream (thing_id, observed_property, unit)
SELECT fresh.thing_id, fresh.observed_property, fresh.unit
FROM (
    SELECT thing.thing_id, wanted.observed_property, wanted.unit,
           row_number() OVER (PARTITION BY thing.thing_id ORDER BY wanted.observed_property) AS place
    FROM unnest(%(external_ids)s::text[], %(families)s::text[], %(properties)s::text[], %(units)s::text[])
         AS wanted (external_id, family, observed_property, unit)
    JOIN thing USING (external_id)
    WHERE coalesce(wanted.family = thing.family, true)
      AND NOT EXISTS (
        SELECT
        FROM datastream
        WHERE datastream.thing_id = thing.thing_id AND datastream.observed_property = wanted.observed_property
    )
) AS fresh
WHERE fresh.place <= %(most)s
  AND fresh.place + (SELECT count(*) FROM datastream WHERE datastream.thing_id = fresh.thing_id) <= %(most)s
ON CONFLICT (thing_id, observed_property) DO NOTHING;

-- datastream_find --
-- For each name what its thing is, and the datastream if there is one.
SELECT wanted.external_id, wanted.family, wanted.observed_property, datastream.datastream_id, datastream.unit,
       thing.thing_id, thing.family, thing.state, thing.zone_id, thing.properties, thing.family_basis
FROM unnest(%(external_ids)s::text[], %(families)s::text[], %(properties)s::text[])
     AS wanted (external_id, family, observed_property)
JOIN thing USING (external_id)
LEFT JOIN datastream USING (thing_id, observed_property);

-- registry_all --
-- Every datastream of an active thing with what the engine needs to know of both; a few thousand rows.
SELECT datastream.datastream_id, datastream.observed_property, datastream.unit, thing.thing_id, thing.external_id,
       thing.family, thing.zone_id, extract(epoch FROM thing.expected_interval)::double precision, thing.properties
FROM datastream
JOIN thing USING (thing_id)
WHERE thing.state = 'active'
  AND thing.family IS NOT NULL
ORDER BY datastream.datastream_id;

-- registry_version --
SELECT last_value FROM registry_version;

-- thing_clock_save --
INSERT INTO thing_clock (thing_id, skew, lateness, latest, samples)
VALUES (%(thing_id)s, %(skew)s, %(lateness)s, %(latest)s, %(samples)s)
ON CONFLICT (thing_id) DO UPDATE
SET skew = excluded.skew,
    lateness = excluded.lateness,
    latest = excluded.latest,
    samples = excluded.samples,
    updated_at = now();

-- thing_unread_save --
INSERT INTO thing_unread (thing_id, fields)
SELECT thing.thing_id, %(fields)s::text[]
FROM thing
WHERE thing.external_id = %(external_id)s
ON CONFLICT (thing_id) DO UPDATE
SET fields = excluded.fields, seen_at = now();

-- thing_unread_delete --
DELETE FROM thing_unread
USING thing
WHERE thing.thing_id = thing_unread.thing_id
  AND thing.external_id = ANY (%(external_ids)s::text[]);
