"""Migrations on every kind of database server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pulso.db import migrate, pending
from pulso.db.migrate import migrations
from tests.support.databases import TestDatabase

pytestmark = pytest.mark.all_databases

HYPERTABLES = {"observation", "rollup_1m", "rollup_1h", "kpi_value"}


def test_an_empty_database_gets_the_whole_schema(empty_database: TestDatabase) -> None:
    applied = migrate(empty_database.dsn)

    assert [migration.number for migration in applied] == [m.number for m in migrations() if m.number]
    assert pending(empty_database.dsn) == []


def test_the_second_run_finds_nothing_to_do(database: TestDatabase) -> None:
    assert migrate(database.dsn) == []


def test_what_is_pending_is_told_without_changing_anything(empty_database: TestDatabase) -> None:
    assert [migration.number for migration in pending(empty_database.dsn)] == [
        m.number for m in migrations() if m.number
    ]
    assert empty_database.query("SELECT 1 FROM pg_class WHERE relname = 'observation'") == []


def test_concurrent_runs_apply_each_migration_once(empty_database: TestDatabase) -> None:
    with ThreadPoolExecutor(8) as pool:
        applied = list(pool.map(migrate, [empty_database.dsn] * 8))

    assert sorted(m.number for run in applied for m in run) == [m.number for m in migrations() if m.number]
    assert empty_database.query("SELECT number FROM schema_migration ORDER BY number") == [
        (m.number,) for m in migrations() if m.number
    ]


def test_the_time_series_are_hypertables_where_the_extension_is(database: TestDatabase) -> None:
    if database.query("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"):
        found = {name for (name,) in database.query("SELECT hypertable_name FROM timescaledb_information.hypertables")}
        assert found >= HYPERTABLES
    else:
        assert database.kind == "embedded"
        assert {name for (name,) in database.query("SELECT relname FROM pg_class WHERE relkind = 'r'")} >= HYPERTABLES


def test_the_embedded_database_gives_the_same_columns_as_any_other(database: TestDatabase) -> None:
    """A table that is a hypertable on one server and plain on the other still has one shape."""
    columns = database.query(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = 'observation' ORDER BY ordinal_position"
    )

    assert columns == [
        ("datastream_id", "integer", "NO"),
        ("phenomenon_time", "timestamp with time zone", "NO"),
        ("result", "double precision", "NO"),
        ("quality", "smallint", "NO"),
        ("received_at", "timestamp with time zone", "NO"),
        ("result_time", "timestamp with time zone", "YES"),
        ("flags", "smallint", "NO"),
        ("sent_result", "double precision", "YES"),
        ("sent_unit", "smallint", "YES"),
    ]
