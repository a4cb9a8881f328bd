"""The live feed against a real database."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from dashboard.board import load_board
from dashboard.gate import DatabaseGate
from dashboard.live.city_state import CityState
from dashboard.live.feed import Feed
from dashboard.live.hub import Hub
from dashboard.metrics import WebMetrics
from pulso.city import load_pack
from pulso.clock import SystemClock
from tests.support.databases import TestDatabase
from tests.support.waiting import eventually
from tests.support.web_seed import Value, WebSeed

PACK = load_pack("cdmx")
MINUTE = timedelta(minutes=1)


class Live:
    """Gate, feed and hub as the web process has them."""

    def __init__(self, database: TestDatabase) -> None:
        self.metrics = WebMetrics()
        self.gate = DatabaseGate(database.settings, SystemClock())
        self.hub = Hub("build", self.metrics)
        self.feed = Feed(CityState(PACK, load_board(PACK)), self.gate, self.hub, SystemClock(), self.metrics)

    def reads(self) -> float:
        return sum(
            sample.value
            for metric in self.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "pulso_web_live_reads_total"
        )

    async def frames(self) -> AsyncIterator[dict]:
        async for event in self.hub.frames():
            for line in event.decode().splitlines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    async def until(self, wanted, within: float = 10.0) -> dict:
        """The first frame of a new viewer for which `wanted` is true."""
        async with asyncio.timeout(within):
            async for frame in self.frames():
                if wanted(frame):
                    return frame
        raise AssertionError("the stream ended")


@asynccontextmanager
async def running(database: TestDatabase) -> AsyncIterator[Live]:
    live = Live(database)
    task = asyncio.create_task(live.feed.run())
    try:
        yield live
    finally:
        live.hub.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await live.gate.close()


def cells(frame: dict) -> dict[tuple[str, str], dict]:
    return {(cell["kpi"], cell["zone"]): cell for cell in frame.get("cells", ())}


@pytest.fixture
def seed(database: TestDatabase) -> WebSeed:
    seed = WebSeed(database.dsn)
    seed.zones()
    return seed


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.all_databases
async def test_snapshot_holds_values_points_families_and_incidents(database: TestDatabase, seed: WebSeed) -> None:
    seed.city(now())
    gone = '{"in_service_until": 1420070400}'  # since 2015, so it is not counted as a silent detector
    database.query("INSERT INTO thing (external_id, family, properties) VALUES ('gone', 'traffic', %s)", gone)
    async with running(database) as live:
        await live.until(lambda frame: frame.get("families") and frame.get("incidents") and frame.get("points"))
        frame = await live.until(lambda frame: frame["reset"])
    speed = cells(frame)["traffic_mean_speed", "cdmx"]
    assert speed["state"] == "ok"
    assert speed["observedUntil"] <= frame["now"]
    assert "difference" in speed
    assert cells(frame)["air_pm25_12h", "tlahuac"]["state"] == "stale"
    assert cells(frame)["energy_voltage_compliance", "cdmx"] == {
        "kpi": "energy_voltage_compliance", "zone": "cdmx", "state": "insufficient", "coverage": 0.38,
        "observedUntil": cells(frame)["energy_voltage_compliance", "cdmx"]["observedUntil"],
    }  # fmt: skip
    assert len(frame["points"]["traffic_mean_speed"]) >= 100
    assert [(family["family"], family["things"]) for family in frame["families"]] == [
        ("traffic", 160), ("waste", 128), ("energy", 96), ("air", 48),
    ]  # fmt: skip
    worst = frame["incidents"][0]
    assert (worst["zone"], worst["band"]) == ("iztapalapa", "critical")
    assert worst["since"] < frame["now"]
    assert frame["delay"] >= 0


@pytest.mark.all_databases
async def test_newest_window_with_a_value_is_shown_and_a_null_revision_hides_its_window(
    database: TestDatabase, seed: WebSeed
) -> None:
    end = now().replace(second=0, microsecond=0)
    seed.values([
        Value("traffic_mean_speed", "cdmx", 20.0, end, observed_until=now()),
        Value("traffic_mean_speed", "cdmx", 21.0, end + MINUTE, observed_until=now()),
        Value("traffic_mean_speed", "cdmx", None, end + MINUTE, revision=1, coverage=0.1, status="revised"),
        Value("traffic_mean_speed", "cdmx", None, end + 2 * MINUTE, coverage=0.1),
    ])  # fmt: skip
    async with running(database) as live:
        frame = await live.until(lambda frame: cells(frame).get(("traffic_mean_speed", "cdmx")))
    assert cells(frame)["traffic_mean_speed", "cdmx"]["value"] == 20.0


async def test_a_new_value_is_pushed_within_a_second_of_its_notification(database: TestDatabase, seed: WebSeed) -> None:
    end = now().replace(second=0, microsecond=0) + MINUTE
    seed.values([Value("traffic_mean_speed", "cdmx", 20.0, end, observed_until=now())])
    async with running(database) as live:
        key = ("traffic_mean_speed", "cdmx")
        await live.until(lambda frame: cells(frame).get(key, {}).get("value") == 20.0)
        seed.values([Value("traffic_mean_speed", "cdmx", 12.3, end, observed_until=now())])
        frame = await live.until(lambda frame: cells(frame).get(key, {}).get("value") == 12.3, within=1.0)
    assert cells(frame)[key]["band"] == "bad"


async def test_queries_do_not_depend_on_the_number_of_viewers(database: TestDatabase, seed: WebSeed) -> None:
    """Ten beats with one viewer, then ten with forty: the same queries, give or take the one that is due every 5 s."""
    seed.values([Value("traffic_mean_speed", "cdmx", 20.0, now() + MINUTE, observed_until=now())])
    async with running(database) as live:

        async def reads_of_some_beats(viewers: int) -> float:
            streams = [live.frames() for _ in range(viewers)]
            await asyncio.gather(*(anext(stream) for stream in streams))
            before = live.reads()
            for _ in range(5):
                await asyncio.gather(*(anext(stream) for stream in streams))
            for stream in streams:
                await stream.aclose()
            return live.reads() - before

        await live.until(cells)
        alone = await reads_of_some_beats(1)
        crowd = await reads_of_some_beats(40)
    assert crowd <= alone + 4


async def test_lost_database_is_told_and_healed_while_frames_go_on(database: TestDatabase, seed: WebSeed) -> None:
    end = now().replace(second=0, microsecond=0) + MINUTE
    seed.values([Value("traffic_mean_speed", "cdmx", 20.0, end, observed_until=now())])
    async with running(database) as live:
        await live.until(lambda frame: cells(frame) and "databaseAwaySince" not in frame)
        database.kill()
        try:
            await live.until(lambda frame: "databaseAwaySince" in frame)
            lost = await live.until(lambda frame: frame["reset"])
            assert cells(lost)["traffic_mean_speed", "cdmx"]["value"] == 20.0
            stream = live.frames()
            beats = [(await anext(stream))["now"] for _ in range(4)]
            await stream.aclose()
            assert max(b - a for a, b in pairwise(beats)) < 2000
        finally:
            database.start()
        await live.until(lambda frame: "databaseAwaySince" not in frame, within=15)
        await eventually(lambda: live.gate.away_since is None)
        seed.values([Value("traffic_mean_speed", "cdmx", 23.0, end, observed_until=now())])
        await live.until(lambda frame: cells(frame).get(("traffic_mean_speed", "cdmx"), {}).get("value") == 23.0)


async def test_one_slow_thing_does_not_let_a_whole_family_grow_stale(database: TestDatabase, seed: WebSeed) -> None:
    """A thing that reports once a day, replayed for instance, stands beside detectors of a minute."""
    for number in range(3):
        seed.thing(f"detector-{number}", "traffic", "coyoacan", prop="speed", unit="km/h", interval=60)
    seed.thing("daily", "traffic", "coyoacan", prop="speed", unit="km/h", interval=86_400)
    silent = now() - 5 * MINUTE
    seed.values([Value("traffic_mean_speed", "coyoacan", 20.0, now() + MINUTE, observed_until=silent)])
    async with running(database) as live:
        frame = await live.until(lambda frame: cells(frame).get(("traffic_mean_speed", "coyoacan")))
        assert cells(frame)["traffic_mean_speed", "coyoacan"]["state"] == "stale"


async def test_an_incident_begins_with_the_first_window_whose_latest_revision_is_bad(
    database: TestDatabase, seed: WebSeed
) -> None:
    end = now().replace(second=0, microsecond=0)
    speeds = [(40.0, 3, 0), (40.0, 2, 0), (12.0, 2, 1), (12.0, 1, 0), (12.0, 0, 0)]
    seed.values(
        Value("traffic_mean_speed", "coyoacan", speed, end - back * MINUTE, status="final", revision=revision,
              observed_until=end) for speed, back, revision in speeds
    )  # fmt: skip
    async with running(database) as live:
        frame = await live.until(lambda frame: frame.get("incidents"))
    (incident,) = frame["incidents"]
    assert incident["since"] == round((end - 2 * MINUTE).timestamp() * 1000)
