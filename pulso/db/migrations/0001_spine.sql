-- The spine of design section "Data": what is observed, by what and where; what was rejected; what it was turned into.
-- Later migrations add; they do not change what stands here.

CREATE TABLE zone (
    zone_id    text PRIMARY KEY,
    parent_id  text REFERENCES zone (zone_id),
    kind       text NOT NULL CHECK (kind IN ('city', 'district')),
    name       text NOT NULL,
    short_name text NOT NULL,
    latitude   double precision NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude  double precision NOT NULL CHECK (longitude BETWEEN -180 AND 180)
);
COMMENT ON COLUMN zone.latitude IS 'seat, degrees WGS 84';
COMMENT ON COLUMN zone.longitude IS 'seat, degrees WGS 84';

CREATE TABLE thing (
    thing_id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    external_id       text NOT NULL UNIQUE,
    family            text NOT NULL CHECK (family IN ('traffic', 'waste', 'energy', 'air')),
    name              text NOT NULL DEFAULT '',
    zone_id           text REFERENCES zone (zone_id),
    latitude          double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude         double precision CHECK (longitude BETWEEN -180 AND 180),
    expected_interval interval NOT NULL DEFAULT '1 minute' CHECK (expected_interval > '0'),
    state             text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'quarantined', 'retired')),
    properties        jsonb NOT NULL DEFAULT '{}',
    created_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX thing_by_zone ON thing (zone_id, family);
COMMENT ON COLUMN thing.expected_interval IS 'time between two observations of a healthy thing';
COMMENT ON COLUMN thing.properties IS 'numbers that formulas need, unit in the key: length_m, free_flow_kmh, capacity_l, register_max_kwh';

CREATE TABLE datastream (
    datastream_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thing_id          integer NOT NULL REFERENCES thing (thing_id),
    observed_property text NOT NULL,
    unit              text NOT NULL,
    UNIQUE (thing_id, observed_property)
);
COMMENT ON COLUMN datastream.unit IS 'UCUM code of every result of this datastream';

-- Changes of thing or datastream bump this sequence; readers compare it before using what they remember.
CREATE SEQUENCE registry_version;
CREATE FUNCTION registry_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('registry_version');
    PERFORM pg_notify('pulso_registry', '');
    RETURN NULL;
END $$;
-- For each row, because a statement that changes no row is no news; notifications of one transaction are sent once.
CREATE TRIGGER thing_changed AFTER INSERT OR UPDATE OR DELETE ON thing
    FOR EACH ROW EXECUTE FUNCTION registry_changed();
CREATE TRIGGER datastream_changed AFTER INSERT OR UPDATE OR DELETE ON datastream
    FOR EACH ROW EXECUTE FUNCTION registry_changed();

-- No foreign key to datastream: it would cost a lookup per row on the bulk path, and ingest takes ids from there anyway.
CREATE TABLE observation (
    datastream_id   integer NOT NULL,
    phenomenon_time timestamptz NOT NULL,
    result          double precision NOT NULL,
    quality         smallint NOT NULL,
    received_at     timestamptz NOT NULL,
    result_time     timestamptz,
    PRIMARY KEY (datastream_id, phenomenon_time)
);
COMMENT ON COLUMN observation.result IS 'in datastream.unit';
COMMENT ON COLUMN observation.quality IS 'QARTOD: 1 pass, 2 not evaluated, 3 suspect, 4 fail, 9 missing';
COMMENT ON COLUMN observation.result_time IS 'when the result was produced, if the message told; orders corrections';
SELECT pulso_hypertable('observation', 'phenomenon_time', '7 days');

CREATE TABLE observation_correction (
    datastream_id   integer NOT NULL,
    phenomenon_time timestamptz NOT NULL,
    result          double precision NOT NULL,
    quality         smallint NOT NULL,
    received_at     timestamptz NOT NULL,
    result_time     timestamptz,
    replaced_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX observation_correction_by_key ON observation_correction (datastream_id, phenomenon_time);
COMMENT ON TABLE observation_correction IS 'versions of an observation that another one took the place of';

CREATE TABLE observation_batch (
    batch_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    stored_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    observations   integer NOT NULL,
    frame          bytea NOT NULL
);
CREATE INDEX observation_batch_in_order ON observation_batch (transaction_id, batch_id);
COMMENT ON TABLE observation_batch IS 'outbox to the engine: one columnar frame (pulso.frame) per committed batch';

CREATE TABLE rejected_message (
    rejected_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL,
    topic       text NOT NULL,
    payload     bytea NOT NULL,
    reason      text NOT NULL,
    detail      text NOT NULL,
    decoder     text,
    fingerprint bytea NOT NULL
);
CREATE INDEX rejected_message_by_fingerprint ON rejected_message (fingerprint);
CREATE INDEX rejected_message_by_time ON rejected_message (received_at);
COMMENT ON COLUMN rejected_message.fingerprint IS 'SHA-256 of packet identifier, topic and payload: a message the broker delivers again (DUP) is kept once';

CREATE TABLE rollup_1m (
    datastream_id integer NOT NULL,
    start         timestamptz NOT NULL,
    count         integer NOT NULL,
    sum           double precision NOT NULL,
    sum_squares   double precision NOT NULL,
    min           double precision NOT NULL,
    max           double precision NOT NULL,
    first         double precision NOT NULL,
    first_time    timestamptz NOT NULL,
    last          double precision NOT NULL,
    last_time     timestamptz NOT NULL,
    PRIMARY KEY (datastream_id, start)
);
COMMENT ON TABLE rollup_1m IS 'one-minute panes [start, start + 1 min), of observations whose quality counts; values in datastream.unit';
SELECT pulso_hypertable('rollup_1m', 'start', '7 days');

CREATE TABLE rollup_1h (LIKE rollup_1m INCLUDING COMMENTS);
ALTER TABLE rollup_1h ADD PRIMARY KEY (datastream_id, start);
COMMENT ON TABLE rollup_1h IS 'one-hour panes [start, start + 1 h), merged from rollup_1m';
SELECT pulso_hypertable('rollup_1h', 'start', '30 days');

CREATE TABLE kpi_definition (
    kpi_id     text NOT NULL,
    version    text NOT NULL,
    document   jsonb NOT NULL,
    valid_from timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kpi_id, version)
);
COMMENT ON COLUMN kpi_definition.version IS 'first 12 hexadecimal digits of the SHA-256 of the document';

CREATE TABLE kpi_value (
    kpi_id         text NOT NULL,
    zone_id        text NOT NULL REFERENCES zone (zone_id),
    window_end     timestamptz NOT NULL,
    revision       integer NOT NULL DEFAULT 0,
    window_start   timestamptz NOT NULL,
    value          double precision,
    band           text,
    coverage       double precision NOT NULL CHECK (coverage BETWEEN 0 AND 1),
    status         text NOT NULL CHECK (status IN ('provisional', 'final', 'revised')),
    observed_until timestamptz,
    detail         jsonb NOT NULL DEFAULT '{}',
    version        text NOT NULL,
    known_at       timestamptz NOT NULL,
    PRIMARY KEY (kpi_id, zone_id, window_end, revision)
);
CREATE INDEX kpi_value_open ON kpi_value (kpi_id, window_end) WHERE status = 'provisional';
COMMENT ON TABLE kpi_value IS 'revision 0 is provisional, refreshed in place, then final; every later change is a row of its own';
COMMENT ON COLUMN kpi_value.value IS 'in the unit of the definition; NULL where coverage is below its minimum';
COMMENT ON COLUMN kpi_value.band IS 'state of the band the value lies in: good, watch, bad, critical, extreme';
COMMENT ON COLUMN kpi_value.coverage IS 'present share of expected inputs over the whole window, 0 to 1';
COMMENT ON COLUMN kpi_value.observed_until IS 'phenomenon time of the newest observation that counted';
COMMENT ON COLUMN kpi_value.detail IS 'what the formula adds to its value, for instance the responsible pollutant';
SELECT pulso_hypertable('kpi_value', 'window_end', '7 days');

-- Where a consumer of observation_batch stands; saved in the transaction that saves its results.
CREATE TABLE consumer_position (
    consumer       text PRIMARY KEY,
    transaction_id xid8 NOT NULL,
    batch_id       bigint NOT NULL,
    moved_at       timestamptz NOT NULL DEFAULT now()
);
