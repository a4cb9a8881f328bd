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

-- thing_upsert --
-- What a description does not tell (NULL, empty) leaves what was known. The WHERE keeps an unchanged thing from bumping
-- the registry version, so repeated (retained) descriptions wake nobody.
INSERT INTO thing AS known (external_id, family, name, zone_id, latitude, longitude, expected_interval, properties)
VALUES (%(external_id)s, %(family)s, %(name)s, %(zone_id)s, %(latitude)s, %(longitude)s, %(expected_interval)s, %(properties)s)
ON CONFLICT (external_id) DO UPDATE
SET name = coalesce(nullif(excluded.name, ''), known.name),
    zone_id = coalesce(excluded.zone_id, known.zone_id),
    latitude = coalesce(excluded.latitude, known.latitude),
    longitude = coalesce(excluded.longitude, known.longitude),
    expected_interval = excluded.expected_interval,
    properties = known.properties || excluded.properties
WHERE (known.name, known.zone_id, known.latitude, known.longitude, known.expected_interval, known.properties)
      IS DISTINCT FROM
      (coalesce(nullif(excluded.name, ''), known.name), coalesce(excluded.zone_id, known.zone_id),
       coalesce(excluded.latitude, known.latitude), coalesce(excluded.longitude, known.longitude),
       excluded.expected_interval, known.properties || excluded.properties);

-- thing_ensure --
-- A thing that sends before it was described; its description may follow.
INSERT INTO thing (external_id, family)
SELECT * FROM unnest(%(external_ids)s::text[], %(families)s::text[])
ON CONFLICT (external_id) DO NOTHING;

-- datastream_ensure --
-- The first unit a datastream is seen with is its unit.
INSERT INTO datastream (thing_id, observed_property, unit)
SELECT thing.thing_id, wanted.observed_property, wanted.unit
FROM unnest(%(external_ids)s::text[], %(properties)s::text[], %(units)s::text[])
     AS wanted (external_id, observed_property, unit)
JOIN thing USING (external_id)
ON CONFLICT (thing_id, observed_property) DO NOTHING;

-- datastream_find --
SELECT thing.external_id, datastream.observed_property, datastream.datastream_id, datastream.unit
FROM unnest(%(external_ids)s::text[], %(properties)s::text[]) AS wanted (external_id, observed_property)
JOIN thing USING (external_id)
JOIN datastream USING (thing_id, observed_property);

-- registry_all --
-- Every datastream of an active thing with what the engine needs to know of both; a few thousand rows.
SELECT datastream.datastream_id, datastream.observed_property, datastream.unit, thing.thing_id, thing.external_id,
       thing.family, thing.zone_id, extract(epoch FROM thing.expected_interval)::double precision, thing.properties
FROM datastream
JOIN thing USING (thing_id)
WHERE thing.state = 'active'
ORDER BY datastream.datastream_id;

-- registry_version --
SELECT last_value FROM registry_version;
