"""A batch is read while the one before it is being stored, and comes to the same as if it had waited."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from ingest.mapping import load_devices
from ingest.message import RawMessage
from pulso.db import Database
from pulso.db.memory import MemoryRepository
from tests.support.databases import TestDatabase
from tests.support.examples import SOIL
from tests.support.ingesting import InProcessIngest
from tests.support.waiting import eventually

pytestmark = pytest.mark.all_databases

NOW = time.time_ns() // 1000
LOFT = "homie/boiler/loft/temperature"
UNIT = RawMessage(f"{LOFT}/$unit", "°F".encode(), NOW)
VALUE = RawMessage(LOFT, b"212", NOW + 1)


def speed(result: float) -> RawMessage:
    return RawMessage("pulso/v1/traffic/det-1", b'{"observations":{"speed":%g}}' % result, NOW)


def stored(database: TestDatabase) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT external_id, round(result::numeric, 2)::float8 FROM observation JOIN datastream USING (datastream_id)"
        " JOIN thing USING (thing_id) ORDER BY 1, 2"
    )


@asynccontextmanager
async def held_up(database: TestDatabase) -> AsyncIterator[None]:
    """Nobody can store an observation within."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("LOCK TABLE observation IN SHARE MODE")
        yield


async def read_ahead(worker: InProcessIngest) -> None:
    """Until a message that tells a unit was read."""
    await eventually(lambda: worker.memory.get(f"homie:{UNIT.topic}") == "°F", within=5, what="the unit was read")


async def test_the_next_batch_is_read_meanwhile_and_stored_after_it(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened, batch=1)
    async with held_up(database):
        settling = asyncio.create_task(worker.settle(speed(31), UNIT, VALUE))
        await read_ahead(worker)
        assert worker.broker.acknowledged == []
        assert await MemoryRepository(opened).load() == {}, "it is kept with its own batch"
    assert await settling == [speed(31), UNIT, VALUE]
    assert stored(database) == [("boiler", 100.0), ("det-1", 31.0)]
    assert worker.memory.unsaved == {}


async def test_what_was_read_behind_a_refused_batch_is_read_anew(opened: Database, database: TestDatabase) -> None:
    database.query("ALTER TABLE observation ADD CONSTRAINT refused CHECK (result <> 666)")
    worker = await InProcessIngest.begin(opened, batch=1)
    async with held_up(database):
        settling = asyncio.create_task(worker.settle(speed(666), UNIT, VALUE))
        await read_ahead(worker)
    await settling
    assert stored(database) == [("boiler", 100.0)]
    assert await MemoryRepository(opened).load() == {f"homie:{UNIT.topic}": "°F"}
    assert database.query("SELECT reason FROM rejected_message") == [("not_storable",)]


async def test_what_was_read_before_the_devices_changed_is_read_anew(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened, batch=2)
    probe = RawMessage("soil/p-1", b'{"m": 41.5}', NOW)

    async def adopt() -> None:
        async with worker.pipeline.between_batches():
            worker.interpreter.use(load_devices([], {"soil": SOIL}))

    async with held_up(database):
        settling = asyncio.create_task(worker.settle(speed(31), speed(32), probe, UNIT))
        await read_ahead(worker)
        adopting = asyncio.create_task(adopt())
        await asyncio.sleep(0)
    await settling
    await adopting
    assert stored(database)[-1] == ("p-1", 41.5)
    assert database.query("SELECT reason FROM rejected_message") == []


async def test_what_comes_again_waits_for_what_may_tell_when_it_came_first(
    opened: Database, database: TestDatabase
) -> None:
    worker = await InProcessIngest.begin(opened, batch=1)
    plug = RawMessage("zigbee2mqtt/plug", b'{"power": 12}', NOW, 7, 1, connection=1)
    again = plug._replace(received_at=NOW + 90_000_000, redelivered=True, connection=2)
    async with held_up(database):
        settling = asyncio.create_task(worker.settle(plug, again))
        await eventually(lambda: len(worker.inbox) == 0, within=5, what="both are taken up")
    await settling
    assert stored(database) == [("plug", 12.0)]
