"""The read queries find rows by key: what they cost does not grow with the history."""

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from pulso.db.sql import SQL
from tests.support.databases import TestDatabase
from tests.support.web_seed import WebSeed

ROWS = 60_000
NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def history(database: TestDatabase) -> int:
    """Six weeks of one datastream and of one KPI, one per minute; returns the datastream."""
    seed = WebSeed(database.dsn)
    seed.zones()
    stream = seed.thing("detector", "traffic", "coyoacan", prop="speed", unit="km/h")
    with seed.connect() as connection:
        connection.execute(
            "INSERT INTO observation SELECT %s, %s - n * interval '1 minute', 30, 2, now(), NULL"
            " FROM generate_series(0, %s) AS n",
            (stream, NOW, ROWS),
        )
        connection.execute(
            "INSERT INTO kpi_value SELECT 'traffic_mean_speed', 'cdmx', moment, 0, moment - interval '5 minutes', 30,"
            " 'good', 1, 'final', moment, '{}', 'v', moment"
            " FROM generate_series(0, %s) AS n, LATERAL (SELECT %s - n * interval '1 minute' AS moment) AS at",
            (ROWS, NOW),
        )
        connection.execute("ANALYZE")
    return stream


def rows_touched(database: TestDatabase, query: str, parameters: dict[str, object], tables: tuple[str, ...]) -> int:
    """Rows that scans of `tables` (or of their chunks) read, those filtered away included."""
    with psycopg.connect(database.dsn) as connection:
        (document,) = connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {SQL[query]}".encode(), parameters
        ).fetchone() or ([],)
    plans = json.loads(document) if isinstance(document, str) else document
    return sum(touched for table, touched in scans(plans[0]["Plan"]) if table.startswith((*tables, "_hyper")))


def scans(plan: dict) -> list[tuple[str, int]]:
    mine = []
    if "Relation Name" in plan and plan["Node Type"] != "Custom Scan":  # which passes on what its chunks read
        each = (
            plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        )
        mine = [(plan["Relation Name"], round(each * plan["Actual Loops"]))]
    return mine + [one for child in plan.get("Plans", ()) for one in scans(child)]


@pytest.mark.all_databases
def test_latest_observation_of_a_datastream_is_one_probe(database: TestDatabase, history: int) -> None:
    wanted = {"after": 0, "limit": 10, "datastream_id": history, "external_id": None, "observed_property": None}
    assert rows_touched(database, "reading_datastreams", wanted, ("observation",)) <= 5


@pytest.mark.all_databases
def test_shown_values_are_two_probes_per_kpi_and_zone(database: TestDatabase, history: int) -> None:
    kpis, zones = ["traffic_mean_speed", "waste_mean_fill"], ["cdmx", "coyoacan", "tlalpan"]
    since = NOW - 2 * DAY
    wanted = {"kpi_ids": kpis, "steps": [timedelta(minutes=1)] * 2, "since": [since] * 2, "oldest": since,
              "zone_ids": zones, "now": NOW}  # fmt: skip
    assert rows_touched(database, "reading_shown_values", wanted, ("kpi_value",)) <= 12 * len(kpis) * len(zones)


@pytest.mark.all_databases
def test_a_page_of_observations_reads_a_page(database: TestDatabase, history: int) -> None:
    wanted = {"datastream_id": history, "start": NOW - 30 * DAY, "end": None, "limit": 101}
    assert rows_touched(database, "reading_observations", wanted, ("observation",)) <= 120


@pytest.mark.all_databases
def test_a_page_of_kpi_values_reads_a_page(database: TestDatabase, history: int) -> None:
    wanted = {"kpi_id": "traffic_mean_speed", "zone_id": "cdmx", "start": None, "end": None, "limit": 101}
    assert rows_touched(database, "reading_kpi_values", wanted, ("kpi_value",)) <= 240


@pytest.mark.all_databases
def test_activity_reads_the_last_minutes_only(database: TestDatabase, history: int) -> None:
    assert rows_touched(database, "reading_activity", {"now": NOW}, ("observation",)) <= 10


@pytest.mark.all_databases
def test_sparklines_read_their_windows_only(database: TestDatabase, history: int) -> None:
    since = NOW - timedelta(hours=2)
    wanted = {"kpi_ids": ["traffic_mean_speed", "waste_mean_fill"], "since": [since] * 2, "oldest": since,
              "zone_id": "cdmx"}  # fmt: skip
    assert rows_touched(database, "reading_history", wanted, ("kpi_value",)) <= 150


@pytest.mark.all_databases
def test_windows_without_a_value_are_passed_over_back_to_since_only(database: TestDatabase, history: int) -> None:
    with WebSeed(database.dsn).connect() as connection:
        connection.execute("UPDATE kpi_value SET value = NULL, band = NULL")
        connection.execute("ANALYZE")
    since = NOW - timedelta(minutes=10)
    wanted = {"kpi_ids": ["traffic_mean_speed"], "steps": [timedelta(minutes=1)], "since": [since], "oldest": since,
              "zone_ids": ["cdmx"], "now": NOW}  # fmt: skip
    assert rows_touched(database, "reading_shown_values", wanted, ("kpi_value",)) <= 30
