"""The engine on a real database: whatever happens to it, its values are those of the stored observations."""

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import psycopg
import pytest

from kpi_engine import engine as engine_module
from kpi_engine.recompute import describe
from pulso.clock import ManualClock
from pulso.db import open_database
from pulso.db.batches import Position, read_unconsumed
from pulso.db.session import reading_session
from pulso.errors import StorageError
from pulso.model import Quality, Window
from pulso.settings import EngineSettings
from tests.support.databases import TestDatabase
from tests.support.kpi import NOON, Feed, Row, drain, open_engine, read_roster, recomputed

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SPEED = {"speed": "km/h", "vehicle_count": "1"}

VALUE = """
    SELECT DISTINCT ON (window_end) window_end, value, coverage, status, revision, band
    FROM kpi_value WHERE kpi_id = %s AND zone_id = %s ORDER BY window_end, revision DESC
"""


@pytest.fixture
def feed(database: TestDatabase) -> Feed:
    feed = Feed(database)
    feed.zones()
    return feed


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


def values(feed: Feed, kpi: str, zone: str = "coyoacan") -> dict[datetime, tuple[object, ...]]:
    """End of window: value, coverage, status, revision, band; newest revision."""
    return {row[0]: row[1:] for row in feed.database.query(VALUE, kpi, zone)}  # type: ignore[misc]


def every(interval: timedelta, first: datetime, last: datetime) -> list[datetime]:
    return [first + n * interval for n in range((last - first) // interval)]


def traffic(streams: dict[str, int], times: Sequence[datetime], speed: float, vehicles: float = 10) -> list[Row]:
    return [
        Row(streams[name], time, value)
        for time in times
        for name, value in (("speed", speed), ("vehicle_count", vehicles))
    ]


def a_small_city(feed: Feed) -> list[Row]:
    """Two districts with all four families, and 40 minutes of observations (13 hours of air) up to noon."""
    rng = random.Random(7)
    rows: list[Row] = []
    for zone in ("coyoacan", "tlalpan"):
        for number in range(2):
            name = f"{zone}-{number}"
            segment = {"length_m": 500 + 100 * number, "free_flow_kmh": 50}
            road = feed.thing(f"traffic-{name}", SPEED, zone=zone, properties=segment)
            container = feed.thing(f"waste-{name}", {"fill_level": "%"}, zone=zone, interval=300)
            meter = feed.thing(f"energy-{name}", {"energy_import": "kWh", "voltage": "V"}, zone=zone)
            station = feed.thing(
                f"air-{name}", {"pm2_5": "ug/m3", "pm10": "ug/m3", "o3": "ppb", "no2": "ppb"}, zone=zone
            )
            shift = timedelta(seconds=rng.randrange(60))
            for time in every(MINUTE, NOON - 40 * MINUTE + shift, NOON):
                rows += traffic(road, [time], round(rng.uniform(2, 60), 1), rng.randrange(30))
                rows.append(Row(meter["voltage"], time, round(rng.uniform(110, 140), 1)))
                register = 99_990 + (time - NOON).total_seconds() / 300 + number
                rows.append(Row(meter["energy_import"], time, round(register, 3)))
            for time in every(5 * MINUTE, NOON - 40 * MINUTE + shift, NOON):
                rows.append(Row(container["fill_level"], time, round(rng.uniform(60, 100), 1)))
            for time in every(2 * MINUTE, NOON - 13 * HOUR + shift, NOON):
                for name, top in (("pm2_5", 60), ("pm10", 120), ("o3", 150), ("no2", 80)):
                    rows.append(Row(station[name], time, round(rng.uniform(5, top), 1)))
    feed.database.query("UPDATE thing SET expected_interval = '2 minutes' WHERE family = 'air'")
    return rows


async def assert_live_equals_replay(
    feed: Feed, at_least: int, *, since: datetime = NOON - 14 * HOUR, until: datetime = NOON
) -> None:
    comparison = await recomputed(feed.database, Window(since, until))
    assert [describe(difference) for difference in comparison.differences] == []
    assert comparison.compared >= at_least


@pytest.mark.all_databases
async def test_any_order_of_arrival_ends_in_what_a_recompute_gives(feed: Feed, clock: ManualClock) -> None:
    rows = a_small_city(feed)
    random.Random(3).shuffle(rows)
    async with open_engine(feed.database, clock) as engine:
        for first in range(0, len(rows), 900):
            feed.store(rows[first : first + 900])
            await engine.step()
    await assert_live_equals_replay(feed, at_least=700)


async def test_every_family_has_values_for_district_and_city(feed: Feed, clock: ManualClock) -> None:
    feed.store(a_small_city(feed))
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    shown = feed.database.query("SELECT DISTINCT kpi_id, zone_id FROM kpi_value WHERE value IS NOT NULL")
    kpis = {row[0] for row in shown}
    assert len(kpis) == 10
    assert {row[1] for row in shown} == {"cdmx", "coyoacan", "tlalpan"}
    assert len(shown) == 30


async def test_a_step_that_dies_before_its_commit_leaves_no_gap_and_counts_nothing_twice(
    feed: Feed, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = a_small_city(feed)
    random.Random(5).shuffle(rows)
    save = engine_module.save_position

    async def die(*_arguments: object) -> None:
        raise StorageError("killed")

    for number, first in enumerate(range(0, len(rows), 2500)):
        feed.store(rows[first : first + 2500])
        async with open_engine(feed.database, clock) as engine:  # a new process each time
            monkeypatch.setattr(engine_module, "save_position", die if number % 2 else save)
            if number % 2:
                with pytest.raises(StorageError):
                    await engine.step()
            else:
                await drain(engine)
    monkeypatch.setattr(engine_module, "save_position", save)
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    await assert_live_equals_replay(feed, at_least=700)


async def test_a_restarted_engine_rewrites_nothing(feed: Feed, clock: ManualClock) -> None:
    feed.store(a_small_city(feed))
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    async with open_engine(feed.database, clock) as engine:
        step = await engine.step()
    assert (step.observations, step.values_written) == (0, 0)


async def test_space_mean_speed_of_a_window_and_its_coverage(feed: Feed, clock: ManualClock) -> None:
    fast, slow = feed.thing("traffic-1", SPEED), feed.thing("traffic-2", SPEED)
    times = every(MINUTE, NOON - 5 * MINUTE, NOON)
    feed.store(traffic(fast, times, 60, 10) + traffic(slow, times, 30, 10))
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    assert values(feed, "traffic_mean_speed")[NOON][:2] == (40.0, 1.0)
    assert values(feed, "traffic_mean_speed", "cdmx")[NOON][:2] == (40.0, 1.0)
    assert values(feed, "traffic_mean_speed", "tlalpan") == {}


async def test_coverage_below_the_minimum_gives_no_value(feed: Feed, clock: ManualClock) -> None:
    road = feed.thing("traffic-1", SPEED)
    feed.thing("traffic-2", SPEED)
    feed.store(traffic(road, every(MINUTE, NOON - 4 * MINUTE, NOON), 50))
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    value, coverage, *_ = values(feed, "traffic_mean_speed")[NOON]
    assert (value, coverage) == (None, 0.4)


async def test_the_city_is_computed_over_things_not_over_districts(feed: Feed, clock: ManualClock) -> None:
    times = every(5 * MINUTE, NOON - 30 * MINUTE, NOON)
    for number, (zone, level) in enumerate((("coyoacan", 10), ("coyoacan", 20), ("coyoacan", 30), ("tlalpan", 100))):
        streams = feed.thing(f"waste-{number}", {"fill_level": "%"}, zone=zone, interval=300)
        feed.store(Row(streams["fill_level"], time, level) for time in times)
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    newest = max(values(feed, "waste_mean_fill", "cdmx"))
    assert values(feed, "waste_mean_fill", "cdmx")[newest][0] == 40.0  # not 60, the mean of 20 and 100
    assert values(feed, "waste_overflow_rate", "cdmx")[newest][0] == 25.0


async def test_a_window_becomes_final_when_the_watermark_passes(feed: Feed, clock: ManualClock) -> None:
    road, other = feed.thing("traffic-1", SPEED), feed.thing("traffic-2", SPEED)
    async with open_engine(feed.database, clock) as engine:
        for end in (NOON, NOON + 2 * MINUTE):
            feed.store(traffic(road, every(MINUTE, end - 2 * MINUTE, end), 50))
            await engine.step()
        feed.store(traffic(other, [NOON - MINUTE], 50))  # the other is behind: it holds the watermark back
        await engine.step()
        assert values(feed, "traffic_mean_speed")[NOON][2] == "provisional"
        feed.store(traffic(other, [NOON + 2 * MINUTE], 50) + traffic(road, [NOON + 2 * MINUTE], 50))
        await engine.step()
        assert values(feed, "traffic_mean_speed")[NOON][2:4] == ("final", 0)
        assert values(feed, "traffic_mean_speed")[NOON + MINUTE][2] == "provisional"


async def test_windows_become_final_when_all_things_fall_silent(feed: Feed, clock: ManualClock) -> None:
    road = feed.thing("traffic-1", SPEED)
    feed.store(traffic(road, every(MINUTE, NOON - 5 * MINUTE, NOON), 50))
    async with open_engine(feed.database, clock) as engine:
        await engine.step()
        assert values(feed, "traffic_mean_speed")[NOON][2] == "provisional"
        clock.advance(9 * MINUTE)
        step = await engine.step()
    assert step.finalised > 0
    assert values(feed, "traffic_mean_speed")[NOON][2] == "final"


async def settled(feed: Feed, clock: ManualClock, road: dict[str, int], ago: timedelta) -> None:
    """Five minutes of traffic that ended `ago`, final in every window."""
    feed.store(traffic(road, every(MINUTE, NOON - ago - 5 * MINUTE, NOON - ago), 50))
    feed.store(traffic(road, every(MINUTE, NOON - 10 * MINUTE, NOON), 50))
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)


@pytest.mark.parametrize("ago", [20 * MINUTE, 10 * HOUR, 400 * HOUR], ids=["in memory", "hours ago", "weeks ago"])
async def test_late_data_makes_a_revision(feed: Feed, clock: ManualClock, ago: timedelta) -> None:
    road = feed.thing("traffic-1", SPEED)
    await settled(feed, clock, road, ago)
    assert values(feed, "traffic_mean_speed")[NOON - ago][:4] == (50.0, 1.0, "final", 0)
    feed.store(traffic(road, [NOON - ago - timedelta(seconds=90)], 25, 50))
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    value, _, status, revision, _ = values(feed, "traffic_mean_speed")[NOON - ago]
    assert (value, status, revision) == (41.666667, "revised", 1)
    await assert_live_equals_replay(feed, at_least=10, since=NOON - ago - HOUR, until=NOON - ago + HOUR)


@pytest.mark.parametrize("ago", [20 * MINUTE, 10 * HOUR], ids=["in memory", "hours ago"])
async def test_a_correction_restates_what_depends_on_it(feed: Feed, clock: ManualClock, ago: timedelta) -> None:
    road = feed.thing("traffic-1", SPEED)
    await settled(feed, clock, road, ago)
    feed.store([Row(road["speed"], NOON - ago - MINUTE, 5.0)], corrects=True)
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    value, _, status, revision, band = values(feed, "traffic_mean_speed")[NOON - ago]
    assert (value, status, revision, band) == (17.857143, "revised", 1, "watch")
    await assert_live_equals_replay(feed, at_least=20)


async def test_a_correction_to_bad_quality_takes_the_observation_out(feed: Feed, clock: ManualClock) -> None:
    road = feed.thing("traffic-1", SPEED)
    await settled(feed, clock, road, 20 * MINUTE)
    at = NOON - 21 * MINUTE
    feed.store([Row(road["speed"], at, 5.0, Quality.FAIL)], corrects=True)
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    assert values(feed, "traffic_mean_speed")[at + MINUTE][:4] == (50.0, 0.8, "revised", 1)
    pane = "SELECT 1 FROM rollup_1m WHERE datastream_id = %s AND start = %s"
    assert feed.database.query(pane, road["speed"], at) == []
    await assert_live_equals_replay(feed, at_least=20)


async def test_a_rebuilt_pane_does_not_count_what_is_still_to_come(
    feed: Feed, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table holds the observations of batches not taken up yet; a rebuild must leave them to their batch."""
    monkeypatch.setattr(engine_module, "BATCHES_PER_STEP", 1)
    road = feed.thing("traffic-1", SPEED)
    first = NOON - 3 * MINUTE
    feed.store(traffic(road, [first], 60))
    feed.store(traffic(road, [first], 30), corrects=True)
    feed.store(traffic(road, [first + timedelta(seconds=10)], 30))
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    counts = feed.database.query("SELECT DISTINCT count FROM rollup_1m UNION SELECT count FROM rollup_1h")
    assert counts == [(2,)]
    await assert_live_equals_replay(feed, at_least=2)


async def test_a_batch_that_commits_after_a_younger_one_is_not_skipped(feed: Feed, clock: ManualClock) -> None:
    slow, quick = feed.thing("traffic-1", SPEED), feed.thing("traffic-2", SPEED)
    feed.store(traffic(quick, [NOON - 3 * MINUTE], 60))  # makes TimescaleDB's chunk, which is locked until COMMIT
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
        with psycopg.connect(feed.database.dsn) as connection:
            feed.store_in(connection, traffic(slow, [NOON - 2 * MINUTE], 30))
            feed.store(traffic(quick, [NOON - 2 * MINUTE], 60))
            assert (await engine.step()).observations == 0
        await drain(engine)
    await assert_live_equals_replay(feed, at_least=2)
    assert feed.database.query("SELECT count(*) FROM rollup_1m") == [(6,)]


async def test_batches_are_taken_up_in_the_order_of_numbers_not_of_text(feed: Feed, clock: ManualClock) -> None:
    road = feed.thing("traffic-1", SPEED)
    for number in range(4):
        feed.store(traffic(road, [NOON - 5 * MINUTE + number * MINUTE], 30))
    feed.database.query("UPDATE observation_batch SET transaction_id = (97 + batch_id)::text::xid8")  # 98, 99, 100, 101
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
        await drain(engine)
    assert feed.database.query("SELECT DISTINCT count FROM rollup_1m") == [(1,)]
    assert feed.database.query("SELECT transaction_id::text FROM consumer_position") == [("101",)]


async def test_a_thing_that_moves_to_another_district_takes_its_recent_values_along(
    feed: Feed, clock: ManualClock
) -> None:
    road = feed.thing("traffic-1", SPEED)
    feed.store(traffic(road, every(MINUTE, NOON - 5 * MINUTE, NOON), 50))
    async with open_engine(feed.database, clock) as engine:
        await engine.step()
        feed.database.query("UPDATE thing SET zone_id = 'tlalpan'")
        engine.update_roster(await read_roster(feed.database))
        await engine.step()
    assert values(feed, "traffic_mean_speed", "tlalpan")[NOON][:2] == (50.0, 1.0)


async def test_only_one_engine_works_at_a_time(feed: Feed, clock: ManualClock) -> None:
    async with open_engine(feed.database, clock):
        second = asyncio.create_task(open_engine(feed.database, clock).__aenter__())
        done, _ = await asyncio.wait({second}, timeout=1.5)
        assert not done
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second


async def test_observations_ahead_of_the_clock_are_counted_once_it_gets_there(feed: Feed, clock: ManualClock) -> None:
    road = feed.thing("traffic-1", SPEED)
    ahead = NOON + 40 * MINUTE
    async with open_engine(feed.database, clock) as engine:
        feed.store(traffic(road, [ahead], 50))
        await engine.step()
        clock.advance(41 * MINUTE)
        feed.store(traffic(road, [ahead + timedelta(seconds=5)], 25))
        await engine.step()
    assert feed.database.query("SELECT DISTINCT count FROM rollup_1m") == [(2,)]
    await assert_live_equals_replay(feed, at_least=2, until=clock.now())


async def test_a_sensor_with_its_clock_ahead_opens_no_window_for_the_others(feed: Feed, clock: ManualClock) -> None:
    road, ahead = feed.thing("traffic-1", SPEED), feed.thing("traffic-2", SPEED)
    feed.store(traffic(road, every(MINUTE, NOON - 5 * MINUTE, NOON), 50) + traffic(ahead, [NOON + 3 * MINUTE], 50))
    async with open_engine(feed.database, clock) as engine:
        await engine.step()
        assert max(values(feed, "traffic_mean_speed")) == NOON + MINUTE
        clock.advance(5 * MINUTE)
        await engine.step()
    await assert_live_equals_replay(feed, at_least=10, until=clock.now())


async def test_a_month_of_hourly_history_is_taken_up_in_seconds(feed: Feed, clock: ManualClock) -> None:
    road = feed.thing("traffic-1", SPEED)
    feed.store(traffic(road, every(HOUR, NOON - 720 * HOUR, NOON), 40))
    async with open_engine(feed.database, clock, EngineSettings()) as engine:
        await asyncio.wait_for(drain(engine), timeout=20)
    assert feed.database.query("SELECT count(*) FROM rollup_1h") == [(1440,)]


async def test_what_is_to_come_is_read_for_the_datastreams_asked_for(feed: Feed) -> None:
    road, other = feed.thing("traffic-1", SPEED), feed.thing("traffic-2", SPEED)
    for number in range(250):
        feed.store(traffic(road if number % 50 == 0 else other, [NOON + number * MINUTE], 50))
    pool = await open_database(feed.database.settings)
    try:
        async with reading_session(pool) as session, session.transaction() as transaction:
            found = await read_unconsumed(transaction, Position(), np.array([road["speed"]]))
    finally:
        await pool.close()

    assert [frame.datastream_id.tolist() for frame in found] == [[road["speed"]]] * 5


async def test_positions_of_another_server_do_not_hold_the_engine_up(feed: Feed, clock: ManualClock) -> None:
    """A dump brings the numbers of transactions along; the server it is loaded into counts from its own."""
    road = feed.thing("traffic-1", SPEED)
    feed.store(traffic(road, [NOON - 3 * MINUTE], 50))
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    feed.store(traffic(road, [NOON - 2 * MINUTE], 50))
    feed.database.query("UPDATE observation_batch SET transaction_id = '900000000000' RETURNING 1")
    feed.database.query("UPDATE consumer_position SET transaction_id = '900000000000' RETURNING 1")
    feed.store(traffic(road, [NOON - 1 * MINUTE], 50))
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)
    async with open_engine(feed.database, clock) as engine:
        await drain(engine)

    assert feed.database.query("SELECT sum(count)::int FROM rollup_1m") == [(6,)]
