-- Devices of any make: where a message came from, what was left aside and may be replayed, what decoders have to remember,
-- what an assessment found, and the books. Every column has a default, so the release before runs against this schema.

-- A thing may be heard of before anything tells its family; it feeds no indicator until then.
ALTER TABLE thing ALTER COLUMN family DROP NOT NULL;
ALTER TABLE thing ADD COLUMN decoder text;
ALTER TABLE thing ADD COLUMN model text;
COMMENT ON COLUMN thing.decoder IS 'decoder or mapping that understood its first message';
COMMENT ON COLUMN thing.model IS 'kind of device, as its messages tell it';

ALTER TABLE zone ADD COLUMN boundary jsonb;
COMMENT ON COLUMN zone.boundary IS 'GeoJSON geometry (Polygon or MultiPolygon), CRS84; imported, never set by a city pack';

ALTER TABLE observation ADD COLUMN flags smallint NOT NULL DEFAULT 0;
ALTER TABLE observation ADD COLUMN sent_result double precision;
ALTER TABLE observation ADD COLUMN sent_unit smallint;
ALTER TABLE observation_correction ADD COLUMN flags smallint NOT NULL DEFAULT 0;
ALTER TABLE observation_correction ADD COLUMN sent_result double precision;
ALTER TABLE observation_correction ADD COLUMN sent_unit smallint;
COMMENT ON COLUMN observation.flags IS 'why quality is not pass, bits: 1 range, 2 rate, 4 spike, 8 stuck, 16 neighbours, 32 clock, 64 reset, 128 rollover, 256 exchange';
COMMENT ON COLUMN observation.sent_result IS 'as it stood in the message, in sent_unit; NULL if nothing was converted';
COMMENT ON COLUMN observation.sent_unit IS 'sent_unit.sent_unit_id; NULL if nothing was converted';

CREATE TABLE sent_unit (
    sent_unit_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code         text NOT NULL UNIQUE
);
COMMENT ON TABLE sent_unit IS 'units as messages spell them';

ALTER TABLE rejected_message ADD COLUMN source text;
ALTER TABLE rejected_message ADD COLUMN external_id text;
ALTER TABLE rejected_message ADD COLUMN content_type text;
ALTER TABLE rejected_message ADD COLUMN retained boolean NOT NULL DEFAULT false;
ALTER TABLE rejected_message ADD COLUMN state text NOT NULL DEFAULT 'kept'
    CHECK (state IN ('kept', 'queued', 'replayed', 'discarded'));
ALTER TABLE rejected_message ADD COLUMN replayed_at timestamptz;
ALTER TABLE rejected_message ADD COLUMN replays integer NOT NULL DEFAULT 0;
CREATE INDEX rejected_message_queued ON rejected_message (rejected_id) WHERE state = 'queued';
CREATE INDEX rejected_message_by_thing ON rejected_message (external_id, rejected_id) WHERE state = 'kept';
COMMENT ON COLUMN rejected_message.state IS 'kept; queued for a replay; replayed: understood at last; discarded by a person';
COMMENT ON COLUMN rejected_message.decoder IS 'name and version: ttn_v3@1, mapping:acme-air-box@1f2e3d4c';
COMMENT ON COLUMN rejected_message.external_id IS 'the device, where the message told it';
COMMENT ON COLUMN rejected_message.replays IS 'how often a replay was tried';

-- Mappings and profiles that were adopted while running; those of the city pack stay in its files.
CREATE TABLE device_document (
    name       text PRIMARY KEY,
    document   text NOT NULL,
    adopted_at timestamptz NOT NULL DEFAULT now(),
    adopted_by text NOT NULL DEFAULT ''
);
COMMENT ON TABLE device_document IS 'TOML of the mapping language, one document a row';

-- What decoders learned from births, descriptions and discovery, for every worker and over restarts.
CREATE TABLE decoder_memory (
    key        text PRIMARY KEY,
    value      jsonb NOT NULL,
    learned_at timestamptz NOT NULL DEFAULT now()
);

-- When messages without a time of their own were received: one that is delivered again keeps its first time.
CREATE TABLE message_receipts (
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    receipts  bytea NOT NULL
);
CREATE INDEX message_receipts_by_time ON message_receipts (stored_at);
COMMENT ON COLUMN message_receipts.receipts IS '16 bytes a message: beginning of its fingerprint, microseconds since 1970 UTC (big-endian)';

CREATE TABLE thing_clock (
    thing_id   integer PRIMARY KEY REFERENCES thing (thing_id) ON DELETE CASCADE,
    skew       double precision NOT NULL,
    lateness   double precision NOT NULL,
    latest     double precision NOT NULL,
    samples    bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN thing_clock.skew IS 'seconds its clock is ahead of ours (negative: behind); the least delay seen counts';
COMMENT ON COLUMN thing_clock.lateness IS 'seconds from phenomenon to receipt, exponentially weighted mean';
COMMENT ON COLUMN thing_clock.latest IS 'seconds from phenomenon to receipt, largest of the last day';

-- The books: what became of each message, by the worker session that received it, the source and the minute of receipt.
CREATE TABLE ingest_session (
    session_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    worker     text NOT NULL,
    began_at   timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz
);
COMMENT ON COLUMN ingest_session.ended_at IS 'when it left, or when its successor found it dead: what it had in flight went back to the broker';

CREATE TABLE ingest_ledger (
    session_id bigint NOT NULL REFERENCES ingest_session (session_id),
    source     text NOT NULL,
    minute     timestamptz NOT NULL,
    received   bigint NOT NULL DEFAULT 0,
    stored     bigint NOT NULL DEFAULT 0,
    duplicate  bigint NOT NULL DEFAULT 0,
    rejected   bigint NOT NULL DEFAULT 0,
    ignored    bigint NOT NULL DEFAULT 0,
    returned   bigint NOT NULL DEFAULT 0,
    in_flight  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (minute, source, session_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE ingest_ledger IS 'received = stored + duplicate + rejected + ignored + returned + in flight, per source and minute of receipt';
COMMENT ON COLUMN ingest_ledger.returned IS 'given back to the broker unacknowledged, which delivers them again: those of a lost connection or a dead session';
COMMENT ON COLUMN ingest_ledger.in_flight IS 'counted by the worker in its hands, not computed from the other columns';
