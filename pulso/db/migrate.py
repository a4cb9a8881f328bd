"""Forward-only migrations: numbered SQL files, applied once each, under an advisory lock."""

import re
from dataclasses import dataclass
from importlib.resources import files

import psycopg
import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from pulso.errors import StorageError

log = structlog.get_logger()

_LOCK = 0x70756C736F  # "pulso"; any other program using the same advisory lock would have to mean us
_NAME = re.compile(r"^(\d{4})_(\w+)\.sql$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str


def migrations() -> list[Migration]:
    """All migrations that ship with this version, in order; number 0 is support that runs every time."""
    found = [
        Migration(int(match[1]), match[2], file.read_text(encoding="utf-8"))
        for file in (files("pulso.db") / "migrations").iterdir()
        if (match := _NAME.match(file.name))
    ]
    return sorted(found, key=lambda migration: migration.number)


def migrate(conninfo: str) -> list[Migration]:
    """Bring the schema up to this version and return what was applied.

    Safe to call from many processes at once: the first takes the lock, the others wait and find nothing to do.
    Each migration commits on its own, so an interrupted run goes on where it was. Raises StorageError.
    """
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            _create_extension(connection)
            return _apply_missing(connection)
    except psycopg.Error as error:
        raise StorageError(f"the schema could not be migrated: {error}") from error


def pending(conninfo: str) -> list[Migration]:
    """Migrations of this version that the database does not have yet. Raises StorageError."""
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            exists = connection.execute("SELECT to_regclass('schema_migration') IS NOT NULL").fetchone()
            done = _applied(connection) if exists and exists[0] else set()
    except psycopg.Error as error:
        raise StorageError(f"the schema could not be read: {error}") from error
    return [migration for migration in migrations() if migration.number and migration.number not in done]


def _create_extension(connection: Connection[TupleRow]) -> None:
    """Create TimescaleDB where the server has it loaded; without it the same schema works on plain tables."""
    available = connection.execute(
        "SELECT FROM pg_available_extensions WHERE name = 'timescaledb' AND installed_version IS NULL"
        " AND current_setting('shared_preload_libraries') LIKE '%timescaledb%'"
    ).fetchone()
    if available is None:
        return
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.errors.InsufficientPrivilege:
        log.warning(
            "timescaledb_not_created",
            hint="CREATE EXTENSION timescaledb as a superuser, before the first migration",
        )


def _applied(connection: Connection[TupleRow]) -> set[int]:
    return {number for (number,) in connection.execute("SELECT number FROM schema_migration")}


def _apply_missing(connection: Connection[TupleRow]) -> list[Migration]:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration"
        " (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    done = _applied(connection)
    missing = [migration for migration in migrations() if migration.number not in done]
    applied = [migration for migration in missing if migration.number]
    if not applied:
        return []
    for migration in missing:
        with connection.transaction():
            connection.execute(migration.text.encode())  # bytes: psycopg's way of saying that we know where it is from
            if migration.number:
                connection.execute(
                    "INSERT INTO schema_migration (number, name) VALUES (%s, %s)",
                    (migration.number, migration.name),
                )
                log.info("migration_applied", number=migration.number, name=migration.name)
    return applied
