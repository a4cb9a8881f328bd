"""What the server behind an address is and can do; for people and start-up checks, not for services."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from pulso.errors import StorageError


@dataclass(frozen=True, slots=True)
class ServerReport:
    """One look at a database. `size` in bytes, `clock` the server's own."""

    version: str
    database: str
    edition: str
    max_connections: int
    connections: int
    size: int
    clock: datetime


_LOOK = """
SELECT current_setting('server_version'),
       current_database(),
       (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
       current_setting('timescaledb.license', true),
       current_setting('max_connections')::integer,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       pg_database_size(current_database()),
       clock_timestamp()
"""


def inspect(conninfo: str) -> ServerReport:
    """Look at the database. Raises StorageError if it cannot be reached."""
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            row = connection.execute(_LOOK).fetchone()
    except psycopg.Error as error:
        raise StorageError(f"the database cannot be reached: {error}") from error
    assert row is not None  # noqa: S101 (a SELECT without FROM has one row)
    version, database, extension, licence, limit, used, size, clock = row
    return ServerReport(version, database, _edition(extension, licence), limit, used, size, clock)


def _edition(extension: str | None, licence: str | None) -> str:
    if extension is None:
        return "plain PostgreSQL, without TimescaleDB"
    return f"TimescaleDB {extension}, {'Community' if licence == 'timescale' else 'Apache'} edition"
