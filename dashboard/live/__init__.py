"""Live push: one feed reads the database, one hub hands the same frames to every viewer."""
