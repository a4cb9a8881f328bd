-- What the family of a thing rests on: a bin whose first message holds but a temperature is no air station for ever.

ALTER TABLE thing ADD COLUMN family_basis smallint NOT NULL DEFAULT 2;
COMMENT ON COLUMN thing.family_basis IS '0 what stands in many devices beside something else, 1 what it observes, 2 told by a message, profile or person; more takes the place of less';
