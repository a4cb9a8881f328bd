"""Private servers for a benchmark: a real Mosquitto and a real PostgreSQL, durable as in production."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pulso.db import migrate
from pulso.local.broker import find_mosquitto
from pulso.local.identity import unprivileged
from pulso.local.postgres import embedded_programs
from tests.support.databases import timescaledb_programs
from tests.support.servers import MosquittoBroker, PostgresProcess, scratch_directory

_DURABLE = {"fsync": "on", "full_page_writes": "on", "max_wal_size": "2GB", "shared_buffers": "256MB"}
_TIMESCALEDB = {"shared_preload_libraries": "timescaledb", "timescaledb.telemetry_level": "off"}


@contextmanager
def private_broker(limits: Mapping[str, str] | None = None) -> Iterator[MosquittoBroker]:
    """A Mosquitto with the limits Pulso ships, but for `limits`."""
    program = find_mosquitto()
    if program is None:
        raise SystemExit("this benchmark needs Mosquitto: run scripts/services.sh")
    home = scratch_directory("bench-broker")
    broker = MosquittoBroker(program, home, limits or {})
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(home)


@contextmanager
def database_server() -> Iterator[tuple[PostgresProcess, str]]:
    """A server with a migrated database `pulso`, which may be stopped and started, and the server's name."""
    timescaledb = timescaledb_programs()
    programs = timescaledb or embedded_programs(unprivileged())
    home = scratch_directory("bench-database")
    server = PostgresProcess(programs, home, _DURABLE | (_TIMESCALEDB if timescaledb else {}))
    server.start()
    try:
        migrate(server.url("pulso"))
        yield server, "TimescaleDB" if timescaledb else "PostgreSQL"
    finally:
        server.stop()
        shutil.rmtree(home)


@contextmanager
def private_database() -> Iterator[tuple[str, str]]:
    """Address of a migrated database and the name of its server: TimescaleDB where it is installed, else embedded."""
    with database_server() as (server, name):
        yield server.url("pulso"), name
