"""The service around the engine: restarts, lost databases, commands."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from kpi_engine import service as service_module
from kpi_engine.__main__ import app
from kpi_engine.service import Service, Status
from pulso.city import load_pack
from pulso.clock import SystemClock
from pulso.db import connect_forever
from pulso.settings import EngineSettings
from tests.support.databases import TestDatabase
from tests.support.kpi import Feed, Row
from tests.support.waiting import eventually

SPEED = {"speed": "km/h", "vehicle_count": "1"}
MINUTE = timedelta(minutes=1)


@asynccontextmanager
async def running(database: TestDatabase, settings: EngineSettings | None = None) -> AsyncIterator[Status]:
    """The service, stopped the graceful way at the end."""
    status, stop = Status(), asyncio.Event()
    service = Service(load_pack("cdmx"), settings or EngineSettings(tick=0.1), SystemClock(), status)
    pool = await connect_forever(database.settings)
    listening = asyncio.create_task(service.listen(pool))
    working = asyncio.create_task(service.run(pool, stop))
    try:
        yield status
    finally:
        stop.set()
        await asyncio.wait_for(working, timeout=10)
        listening.cancel()
        await pool.close()


@pytest.fixture
def feed(database: TestDatabase) -> Feed:
    feed = Feed(database)
    feed.zones()
    return feed


def send(feed: Feed, road: dict[str, int], number: int) -> None:
    """One minute of traffic, `number` minutes after an hour ago."""
    time = datetime.now(UTC).replace(second=5, microsecond=0) + (number - 60) * MINUTE
    feed.store([Row(road["speed"], time, 50.0), Row(road["vehicle_count"], time, 10)])


def has_counted(feed: Feed, observations: int) -> bool:
    return feed.database.query("SELECT coalesce(sum(count), 0)::int FROM rollup_1m") == [(observations,)]


async def test_a_stored_batch_becomes_values_without_being_asked_for(feed: Feed) -> None:
    async with running(feed.database) as status:
        await eventually(lambda: status.working)
        road = feed.thing("traffic-1", SPEED)  # registered while the engine runs
        for number in range(5):
            send(feed, road, number)
        await eventually(lambda: has_counted(feed, 10))
        query = "SELECT 1 FROM kpi_value WHERE kpi_id = 'traffic_mean_speed' AND zone_id = 'coyoacan' AND value = 50"
        await eventually(lambda: feed.database.query(query))


async def test_the_engine_comes_back_after_the_database_did(feed: Feed) -> None:
    road = feed.thing("traffic-1", SPEED)
    async with running(feed.database) as status:
        send(feed, road, 1)
        await eventually(lambda: has_counted(feed, 2))
        feed.database.kill()
        await eventually(lambda: not status.working)
        feed.database.start()
        send(feed, road, 2)
        await eventually(lambda: has_counted(feed, 4), within=20)


async def test_consumed_batches_are_deleted_after_their_retention(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "_TIDY_EVERY", 0.0)
    road = feed.thing("traffic-1", SPEED)
    send(feed, road, 1)
    feed.database.query("UPDATE observation_batch SET stored_at = now() - interval '2 hours'")
    send(feed, road, 2)
    async with running(feed.database):
        await eventually(lambda: feed.database.query("SELECT count(*) FROM observation_batch") == [(1,)])
    assert has_counted(feed, 4)


def check(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    monkeypatch.setenv("PULSO_DB_URL", feed.database.dsn)
    now = datetime.now(UTC)
    period = ["--from", f"{now - timedelta(hours=2):%Y-%m-%dT%H:%M:%S}", "--to", f"{now:%Y-%m-%dT%H:%M:%S}"]
    result = CliRunner().invoke(app, ["recompute", *period, "--check"])
    return result.exit_code, result.stdout


async def test_recompute_finds_what_does_not_follow_from_the_observations(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    road = feed.thing("traffic-1", SPEED)
    for number in range(5):
        send(feed, road, number)
    async with running(feed.database):
        await eventually(lambda: has_counted(feed, 10))
    code, output = await asyncio.to_thread(check, feed, monkeypatch)
    assert (code, output.splitlines()[-1].endswith(" 0 differ")) == (0, True)
    feed.database.query("UPDATE kpi_value SET value = 51 WHERE zone_id = 'coyoacan' AND value = 50")
    code, output = await asyncio.to_thread(check, feed, monkeypatch)
    assert code == 1
    assert "traffic_mean_speed coyoacan window to" in output
    assert "stored 51.0" in output


@contextmanager
def process(feed: Feed) -> Iterator[subprocess.Popen[bytes]]:
    """`pulso kpi` as it is run in production."""
    environment = os.environ | {"PULSO_DB_URL": feed.database.dsn, "PULSO_KPI_TICK": "0.05"}
    with subprocess.Popen(
        [sys.executable, "-m", "pulso", "kpi"], env=environment, stderr=subprocess.DEVNULL
    ) as running:
        try:
            yield running
        finally:
            running.kill()


async def test_a_process_killed_again_and_again_ends_with_the_values_of_a_recompute(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    road = feed.thing("traffic-1", SPEED)
    for round_ in range(3):
        with process(feed) as running:
            for number in range(round_ * 15, round_ * 15 + 15):
                send(feed, road, number)
                if number % 15 == 7:
                    await eventually(lambda: feed.database.query("SELECT 1 FROM consumer_position"))
            running.kill()
    with process(feed) as running:
        await eventually(lambda: has_counted(feed, 90), within=20)
        running.terminate()
        assert await asyncio.to_thread(running.wait, 10) == 0
    code, output = await asyncio.to_thread(check, feed, monkeypatch)
    assert (code, output.splitlines()[-1].endswith(" 0 differ")) == (0, True)


def test_help_says_what_the_command_is_for() -> None:
    result = CliRunner().invoke(app, ["recompute", "--help"], env={"COLUMNS": "200"})
    assert "Recompute KPI values from the raw observations" in result.stdout
    assert "--check" in result.stdout
