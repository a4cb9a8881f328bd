"""What messages tell about later ones reaches these, other workers, and those after a restart."""

from typing import Any

import psycopg
import pytest

from ingest.message import RawMessage
from pulso.db import Database, memory
from tests.support.databases import TestDatabase
from tests.support.ingesting import InProcessIngest
from tests.support.waiting import eventually

pytestmark = pytest.mark.all_databases

LOFT = "homie/boiler/loft/temperature"
UNIT = RawMessage(f"{LOFT}/$unit", "°F".encode(), 0)
VALUE = RawMessage(LOFT, b"212", 0)
REFUSED = RawMessage("pulso/v1/traffic/bad", b'{"observations":{"speed":666}}', 0)
DESCRIBED = RawMessage(
    "homie/5/fan/$description", b'{"nodes":{"hall":{"properties":{"temperature":{"unit":"K"}}}}}', 0, retained=True
)


def stored(database: TestDatabase) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT external_id, round(result::numeric, 2)::float8 FROM observation JOIN datastream USING (datastream_id)"
        " JOIN thing USING (thing_id) ORDER BY 1, 2"
    )


def remembered(database: TestDatabase) -> dict[object, object]:
    return dict(database.query("SELECT key, value FROM decoder_memory"))  # type: ignore[arg-type]


async def test_what_is_learned_counts_for_the_next_message_of_the_same_batch(
    opened: Database, database: TestDatabase
) -> None:
    worker = await InProcessIngest.begin(opened)
    await worker.settle(UNIT, VALUE)
    assert stored(database) == [("boiler", 100.0)]
    assert remembered(database) == {f"homie:{LOFT}/$unit": "°F"}
    assert worker.memory.unsaved == {}


async def test_it_counts_for_the_next_worker(opened: Database, database: TestDatabase) -> None:
    await (await InProcessIngest.begin(opened)).settle(UNIT)
    await (await InProcessIngest.begin(opened)).settle(VALUE)
    assert stored(database) == [("boiler", 100.0)]


async def test_workers_that_run_hear_of_it_and_of_what_is_forgotten(opened: Database, database: TestDatabase) -> None:
    one = await InProcessIngest.begin(opened, worker="one")
    two = await InProcessIngest.begin(opened, worker="two")
    key = f"homie:{LOFT}/$unit"
    async with two.housekeeping():
        await one.settle(UNIT)
        await eventually(lambda: two.memory.get(key) == "°F", within=5)
        await memory.MemoryRepository(opened).save({key: None})
        await eventually(lambda: key not in two.memory, within=5)
    assert remembered(database) == {}


@pytest.mark.parametrize("place", range(3))
async def test_a_message_that_the_database_refuses_takes_nothing_learned_with_it(
    opened: Database, database: TestDatabase, place: int
) -> None:
    database.query("ALTER TABLE observation ADD CONSTRAINT refused CHECK (result <> 666)")
    worker = await InProcessIngest.begin(opened)
    batch = [UNIT, VALUE, DESCRIBED]
    batch.insert(place, REFUSED)
    assert len(await worker.settle(*batch)) == 4
    assert stored(database) == [("boiler", 100.0)]
    assert remembered(database) == {
        f"homie:{LOFT}/$unit": "°F",
        "homie:homie/5/fan": [["hall/temperature", "K", None]],
    }
    assert database.query("SELECT reason FROM rejected_message") == [("not_storable",)]


async def test_a_transaction_that_fails_and_is_tried_again_keeps_it(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await InProcessIngest.begin(opened)
    save, failures = memory.save, iter([True])

    async def fail_once(*arguments: Any) -> bool:
        saved = await save(*arguments)
        if next(failures, False):
            raise psycopg.OperationalError("the connection is lost")
        return saved

    monkeypatch.setattr(memory, "save", fail_once)
    await worker.settle_at_last(UNIT)
    assert remembered(database) == {f"homie:{LOFT}/$unit": "°F"}


async def test_what_no_database_could_hold_is_not_learned_and_harms_nobody(
    opened: Database, database: TestDatabase
) -> None:
    worker = await InProcessIngest.begin(opened)
    long = RawMessage(f"homie/{'x' * 5000}/loft/temperature/$unit", b"W", 0)
    assert len(await worker.settle(long, UNIT, VALUE)) == 3
    assert list(remembered(database)) == [f"homie:{LOFT}/$unit"]
    assert stored(database) == [("boiler", 100.0)]
