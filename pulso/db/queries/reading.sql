-- reading_zones --
SELECT zone_id, parent_id, kind, name, short_name, latitude, longitude
FROM zone
ORDER BY kind, zone_id;

-- reading_things --
-- Keyset paging by external id: every page costs the same. A city as `zone_id` stands for all its districts.
SELECT thing.external_id, thing.family, thing.name, thing.zone_id, thing.latitude, thing.longitude,
       extract(epoch FROM thing.expected_interval)::double precision, thing.state, thing.properties,
       coalesce(thing_unread.fields, '{}')
FROM thing
LEFT JOIN zone USING (zone_id)
LEFT JOIN thing_unread USING (thing_id)
WHERE thing.external_id > %(after)s
  AND (%(external_id)s::text IS NULL OR thing.external_id = %(external_id)s)
  AND (%(family)s::text IS NULL OR thing.family = %(family)s)
  AND (%(zone_id)s::text IS NULL OR thing.zone_id = %(zone_id)s OR zone.parent_id = %(zone_id)s)
ORDER BY thing.external_id
LIMIT %(limit)s;

-- reading_datastreams --
-- The latest observation is one index probe per datastream of the page, however long the history.
SELECT datastream.datastream_id, thing.external_id, datastream.observed_property, datastream.unit,
       latest.phenomenon_time, latest.result, latest.quality
FROM datastream
JOIN thing USING (thing_id)
LEFT JOIN LATERAL (
    SELECT observation.phenomenon_time, observation.result, observation.quality
    FROM observation
    WHERE observation.datastream_id = datastream.datastream_id
    ORDER BY observation.phenomenon_time DESC
    LIMIT 1
) AS latest ON true
WHERE datastream.datastream_id > %(after)s
  AND (%(datastream_id)s::integer IS NULL OR datastream.datastream_id = %(datastream_id)s)
  AND (%(external_id)s::text IS NULL OR thing.external_id = %(external_id)s)
  AND (%(observed_property)s::text IS NULL OR datastream.observed_property = %(observed_property)s)
ORDER BY datastream.datastream_id
LIMIT %(limit)s;

-- reading_observations --
-- Newest first within [start, end), along the primary key.
SELECT phenomenon_time, result, quality, received_at, result_time, flags, sent_result,
       (SELECT code FROM sent_unit WHERE sent_unit.sent_unit_id = observation.sent_unit)
FROM observation
WHERE datastream_id = %(datastream_id)s
  AND phenomenon_time >= coalesce(%(start)s::timestamptz, '-infinity')
  AND phenomenon_time < coalesce(%(end)s::timestamptz, 'infinity')
ORDER BY phenomenon_time DESC
LIMIT %(limit)s;

-- reading_kpi_values --
-- The latest revision of each window, newest window first, window ends within [start, end).
SELECT DISTINCT ON (window_end)
       window_start, window_end, value, band, coverage, status, revision, observed_until, detail, version, known_at
FROM kpi_value
WHERE kpi_id = %(kpi_id)s
  AND zone_id = %(zone_id)s
  AND window_end >= coalesce(%(start)s::timestamptz, '-infinity')
  AND window_end < coalesce(%(end)s::timestamptz, 'infinity')
ORDER BY window_end DESC, revision DESC
LIMIT %(limit)s;

-- reading_shown_values --
-- For every KPI and zone two index probes. `shown`: the newest window after `since` that has a value in its latest
-- revision; windows without a value have to be passed over, so what it costs is bounded by `since`, of which `oldest` is
-- the least and excludes chunks. `running`: the window that ended last, or the first to end if none has ended yet; its
-- coverage says why nothing is shown.
SELECT wanted.kpi_id, place.zone_id,
       shown.window_end, shown.value, shown.band, shown.coverage, shown.status, shown.observed_until, shown.detail,
       running.window_end, running.value, running.coverage, running.observed_until
FROM unnest(%(kpi_ids)s::text[], %(steps)s::interval[], %(since)s::timestamptz[]) AS wanted (kpi_id, step, since)
CROSS JOIN unnest(%(zone_ids)s::text[]) AS place (zone_id)
LEFT JOIN LATERAL (
    SELECT candidate.window_end, candidate.value, candidate.band, candidate.coverage, candidate.status,
           candidate.observed_until, candidate.detail
    FROM kpi_value AS candidate
    WHERE candidate.kpi_id = wanted.kpi_id
      AND candidate.zone_id = place.zone_id
      AND candidate.window_end > wanted.since
      AND candidate.window_end > %(oldest)s
      AND candidate.value IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM kpi_value AS later
          WHERE later.kpi_id = candidate.kpi_id
            AND later.zone_id = candidate.zone_id
            AND later.window_end = candidate.window_end
            AND later.window_end > %(oldest)s
            AND later.revision > candidate.revision
      )
    ORDER BY candidate.window_end DESC
    LIMIT 1
) AS shown ON true
LEFT JOIN LATERAL (
    SELECT candidate.window_end, candidate.value, candidate.coverage, candidate.observed_until
    FROM kpi_value AS candidate
    WHERE candidate.kpi_id = wanted.kpi_id
      AND candidate.zone_id = place.zone_id
      AND candidate.window_end > %(now)s - wanted.step
      AND candidate.window_end > %(oldest)s
    ORDER BY candidate.window_end, candidate.revision DESC
    LIMIT 1
) AS running ON true;

-- reading_history --
-- The latest revision of each window of one zone since `since`, for the sparklines. LATERAL, so that each KPI is one range
-- of the primary key: as a plain join the planner reads the whole table. `oldest`, the least `since`, excludes chunks.
SELECT wanted.kpi_id, latest.window_end, latest.value
FROM unnest(%(kpi_ids)s::text[], %(since)s::timestamptz[]) AS wanted (kpi_id, since)
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (kpi_value.window_end) kpi_value.window_end, kpi_value.value
    FROM kpi_value
    WHERE kpi_value.kpi_id = wanted.kpi_id
      AND kpi_value.zone_id = %(zone_id)s
      AND kpi_value.window_end > wanted.since
      AND kpi_value.window_end > %(oldest)s
    ORDER BY kpi_value.window_end DESC, kpi_value.revision DESC
) AS latest
ORDER BY wanted.kpi_id, latest.window_end;

-- reading_band_since --
-- Since when a KPI has been in one of `bands` without a break, looking back one day at most: the first window after the
-- last one whose latest revision is in another band. A window still open is known about before it ends.
SELECT wanted.kpi_id, wanted.zone_id, first_bad.since
FROM unnest(%(kpi_ids)s::text[], %(zone_ids)s::text[]) AS wanted (kpi_id, zone_id)
LEFT JOIN LATERAL (
    SELECT calm.window_end
    FROM kpi_value AS calm
    WHERE calm.kpi_id = wanted.kpi_id
      AND calm.zone_id = wanted.zone_id
      AND calm.window_end > %(now)s - interval '1 day'
      AND calm.value IS NOT NULL
      AND calm.band <> ALL (%(bands)s::text[])
      AND NOT EXISTS (
          SELECT FROM kpi_value AS later
          WHERE later.kpi_id = calm.kpi_id
            AND later.zone_id = calm.zone_id
            AND later.window_end = calm.window_end
            AND later.window_end > %(now)s - interval '1 day'
            AND later.revision > calm.revision
      )
    ORDER BY calm.window_end DESC
    LIMIT 1
) AS last_calm ON true
LEFT JOIN LATERAL (
    SELECT least(window_end, known_at) AS since
    FROM kpi_value
    WHERE kpi_id = wanted.kpi_id
      AND zone_id = wanted.zone_id
      AND window_end > coalesce(last_calm.window_end, %(now)s - interval '1 day')
      AND band = ANY (%(bands)s::text[])
    ORDER BY window_end
    LIMIT 1
) AS first_bad ON true;

-- reading_activity --
-- Per family: active things, how many were heard within twice their interval, observations of the minute that ended ten
-- seconds ago (so that what is still on its way counts too), newest stamps. Two bounded index probes per datastream.
SELECT thing.family,
       count(DISTINCT thing.thing_id),
       count(DISTINCT thing.thing_id) FILTER (WHERE latest.phenomenon_time > %(now)s - 2 * thing.expected_interval),
       coalesce(sum(minute.observations), 0)::bigint,
       max(latest.phenomenon_time),
       max(latest.received_at)
FROM thing
LEFT JOIN datastream USING (thing_id)
LEFT JOIN LATERAL (
    SELECT phenomenon_time, received_at
    FROM observation
    WHERE observation.datastream_id = datastream.datastream_id
      AND observation.phenomenon_time > %(now)s - interval '1 day'
    ORDER BY phenomenon_time DESC
    LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS observations
    FROM observation
    WHERE observation.datastream_id = datastream.datastream_id
      AND observation.phenomenon_time > %(now)s - interval '70 seconds'
      AND observation.phenomenon_time <= %(now)s - interval '10 seconds'
) AS minute ON true
WHERE thing.state = 'active'
  AND thing.family IS NOT NULL
  AND coalesce((thing.properties ->> 'in_service_until')::double precision, 'infinity') > extract(epoch FROM %(now)s)
GROUP BY thing.family;

-- reading_newest_batch --
-- When the newest batch was stored; NULL once the engine has consumed and removed them all.
SELECT (SELECT stored_at FROM observation_batch ORDER BY batch_id DESC LIMIT 1);

-- reading_intervals --
-- The usual interval of active things, per family and zone, and per family as a whole (zone NULL): the median, so that
-- one slow or eager thing among many does not change what silence means. One pass over `thing`.
SELECT family, zone_id, percentile_disc(0.5) WITHIN GROUP (ORDER BY expected_interval)
FROM thing
WHERE state = 'active'
  AND family IS NOT NULL
  AND coalesce((properties ->> 'in_service_until')::double precision, 'infinity') > extract(epoch FROM now())
GROUP BY GROUPING SETS ((family, zone_id), (family))
HAVING grouping(zone_id) = 1 OR zone_id IS NOT NULL;
