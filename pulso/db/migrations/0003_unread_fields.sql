-- What stands in messages of a known envelope beside what was understood: numbers whose names nothing gives a meaning.

CREATE TABLE thing_unread (
    thing_id integer PRIMARY KEY REFERENCES thing (thing_id) ON DELETE CASCADE,
    fields   text[] NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE thing_unread IS 'as of the last message that told something new, or was the first one read with changed profiles';
COMMENT ON COLUMN thing_unread.fields IS 'names, those of nested fields with dots; never values';
