-- What migrations themselves use. Runs before every set of migrations, so it replaces itself.

CREATE OR REPLACE FUNCTION pulso_hypertable(table_name regclass, time_column name, chunk interval)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- A hypertable where the extension is installed, an ordinary table with the same keys where it is not.
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        PERFORM create_hypertable(table_name, time_column, chunk_time_interval => chunk, create_default_indexes => false);
    END IF;
END $$;
