"""The flow that ingest is measured against."""
