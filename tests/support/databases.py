"""A database per test: cloned from a migrated template, on every kind of server the schema supports."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, Protocol, cast

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pulso.db import migrate
from pulso.local.identity import unprivileged
from pulso.local.postgres import embedded_programs
from pulso.settings import DatabaseSettings, load
from tests.support.servers import PostgresProcess, scratch_directory

ROOT = Path(__file__).parents[2]
_CONTAINER = ROOT / ".services" / "database.url"  # written by scripts/services.sh where a container serves
_DEBIAN = Path("/usr/lib/postgresql")
_PATIENCE = 30.0


class Server(Protocol):
    """Where databases are made."""

    def url(self, database: str) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...


class ExternalServer:
    """A server that is not ours to stop; `address` must allow to create databases."""

    def __init__(self, address: str) -> None:
        self._address = address

    def url(self, database: str) -> str:
        return make_conninfo(self._address, dbname=database)

    def start(self) -> None:
        """It runs already."""

    def stop(self) -> None:
        """It is left running."""

    def kill(self) -> None:
        raise NotImplementedError("an external server is not ours to kill")

    restart = kill


@dataclass(frozen=True)
class TestDatabase:
    """One database of one test; `kill`, `start`, `stop` and `restart` act on the whole server."""

    __test__ = False

    name: str
    kind: str
    server: Server

    @property
    def dsn(self) -> str:
        """Its address, password included."""
        return self.server.url(self.name)

    @property
    def settings(self) -> DatabaseSettings:
        """Settings as a service gets them."""
        (settings,) = load(DatabaseSettings, DatabaseSettings={"url": self.dsn})
        return cast("DatabaseSettings", settings)

    def kill(self) -> None:
        """Kill the server with SIGKILL; `start` brings it back with its data."""
        self.server.kill()

    def start(self) -> None:
        """Start the server after `kill` or `stop`."""
        self.server.start()

    def stop(self) -> None:
        """Stop the server the regular way."""
        self.server.stop()

    def restart(self) -> None:
        """Stop and start the server."""
        self.server.restart()

    def query(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Rows of one statement, committed; for looking at what the tested code did."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []


class DatabaseServer:
    """A running server with a migrated template to clone from."""

    def __init__(self, kind: str, server: Server) -> None:
        self.kind = kind
        self.server = server
        self._template = f"pulso_template_{secrets.token_hex(4)}"
        self._admin("CREATE DATABASE {}", self._template)
        migrate(server.url(self._template))
        self._stop_background_workers()

    def _admin(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _stop_background_workers(self) -> None:
        """TimescaleDB's scheduler connects to every database with the extension, and a template must be alone."""
        with psycopg.connect(self.server.url(self._template), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone():
                connection.execute("SELECT _timescaledb_functions.stop_background_workers()")

    @contextmanager
    def new(self, *, empty: bool = False) -> Iterator[TestDatabase]:
        """A database cloned from the template, or one without a schema; dropped at the end."""
        name = f"pulso_test_{secrets.token_hex(6)}"
        if empty:
            self._admin("CREATE DATABASE {}", name)
        else:
            self._clone(name)
        try:
            yield TestDatabase(name, self.kind, self.server)
        finally:
            self._drop(name)

    def _drop(self, name: str) -> None:
        try:
            self._admin("DROP DATABASE {} WITH (FORCE)", name)
        except psycopg.OperationalError:  # a test that failed left the server killed; the others need it
            self.server.start()
            self._admin("DROP DATABASE {} WITH (FORCE)", name)

    def _clone(self, name: str) -> None:
        """Clone, again if a background worker was in the template (TimescaleDB issues 4048 and 9080)."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return self._admin("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, self._template)
            except psycopg.errors.ObjectInUse:
                if time.monotonic() > deadline:
                    raise
                self._stop_background_workers()

    def close(self) -> None:
        """Drop the template."""
        self._admin("DROP DATABASE {} WITH (FORCE)", self._template)


def external_address() -> str | None:
    """A server given by the environment or by scripts/services.sh."""
    given = os.environ.get("PULSO_TEST_DATABASE_URL")
    return given or (_CONTAINER.read_text(encoding="utf-8").strip() if _CONTAINER.is_file() else None)


def timescaledb_programs() -> Path | None:
    """Programs of the newest installed PostgreSQL that has TimescaleDB."""
    for programs in sorted(_DEBIAN.glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True):
        if (programs.parent / "lib" / "timescaledb.so").exists() and (programs / "postgres").exists():
            return programs
    return None


@contextmanager
def running_server(kind: str) -> Iterator[DatabaseServer | None]:
    """A server of this kind with its template, for one test session; None where the machine has none."""
    if kind == "external":
        address = external_address()
        server: Server | None = ExternalServer(address) if address else None
        home = None
    else:
        programs = embedded_programs(unprivileged()) if kind == "embedded" else timescaledb_programs()
        home = scratch_directory(kind)
        server = PostgresProcess(programs, home, _settings(kind)) if programs else None
    try:
        yield from _serve(kind, server)
    finally:
        if home:
            shutil.rmtree(home, ignore_errors=True)


def _serve(kind: str, server: Server | None) -> Iterator[DatabaseServer | None]:
    if server is None:
        yield None
        return
    server.start()
    try:
        yield DatabaseServer(kind, server)
    finally:
        server.stop()


def _settings(kind: str) -> dict[str, str]:
    if kind == "embedded":
        return {}
    return {
        "shared_preload_libraries": "timescaledb",
        "timescaledb.telemetry_level": "off",
        "timescaledb.max_background_workers": "8",
        "max_worker_processes": "24",
    }
