"""Messages that were put aside are replayed beside what arrives, and what they come to is written with them."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from ingest.message import RawMessage
from pulso.db import Database
from pulso.db.adoption import AdoptionRepository, ThingSettings
from pulso.db.rejected import RejectedRepository, Selection
from pulso.errors import StorageError
from tests.support.databases import TestDatabase
from tests.support.ingesting import InProcessIngest
from tests.support.operations import reject
from tests.support.waiting import eventually

pytestmark = pytest.mark.all_databases

NOW = datetime.now(UTC).replace(microsecond=0)
REFUSED = 666
GOOD = RawMessage("pulso/v1/traffic/live", b'{"observations":{"speed":31}}', 0, 1)
MAPPING = """
[[mapping]]
name = "plant"
topic = "plant/{line}/state"
thing = "{line}"
family = "energy"

[[mapping.observation]]
property = "power"
value = "p"
unit = "kW"
"""


def speed(value: float, second: int = 0) -> bytes:
    at = (NOW - timedelta(seconds=600 - second)).isoformat()
    return json.dumps({"phenomenon_time": at, "observations": {"speed": value}}).encode()


def keep(database: TestDatabase, topic: str, payload: bytes, *, state: str = "queued", second: float = 0) -> int:
    return reject(database, topic=topic, payload=payload, state=state, seconds=second, at=NOW)


def states(database: TestDatabase) -> dict[object, tuple[object, ...]]:
    rows = database.query("SELECT rejected_id, state, reason, replays FROM rejected_message")
    return {number: tuple(row) for number, *row in rows}


def results(database: TestDatabase) -> list[object]:
    return [result for (result,) in database.query("SELECT result FROM observation ORDER BY result")]


def refuse_one_result(database: TestDatabase) -> None:
    database.query(f"ALTER TABLE observation ADD CONSTRAINT refused CHECK (result <> {REFUSED})")


async def test_each_replayed_message_says_what_it_came_to(opened: Database, database: TestDatabase) -> None:
    refuse_one_result(database)
    stored = keep(database, "pulso/v1/traffic/a", speed(50))
    again = keep(database, "pulso/v1/traffic/a", speed(50))
    about = keep(database, "pulso/v1/traffic/a/about", b'{"name":"First"}')
    nothing = keep(database, "shellies/announce", b'{"id":"shelly-1"}')
    broken = keep(database, "pulso/v1/traffic/a", b"{")
    refused = keep(database, "pulso/v1/traffic/a", speed(REFUSED, 1))
    other = keep(database, "pulso/v1/traffic/b", speed(70, 2))
    worker = await InProcessIngest.begin(opened)

    await worker.pipeline.replay(await RejectedRepository(opened).take_queued(100))

    told = states(database)
    assert [told[number][0] for number in (stored, again, about, nothing, other)] == ["replayed"] * 5
    assert told[broken] == ("kept", "malformed", 1)
    assert told[refused] == ("kept", "not_storable", 1)
    assert results(database) == [50.0, 70.0]
    assert database.query("SELECT name FROM thing WHERE external_id = 'a'") == [("First",)]
    assert worker.broker.acknowledged == []
    assert database.query("SELECT count(*) FROM ingest_ledger") == [(0,)], "they were received once"


async def test_a_retained_message_without_a_time_stays_without_one(opened: Database, database: TestDatabase) -> None:
    number = keep(database, "pulso/v1/traffic/a", b'{"observations":{"speed":5}}')
    database.query("UPDATE rejected_message SET retained = true")
    worker = await InProcessIngest.begin(opened)
    await worker.pipeline.replay(await RejectedRepository(opened).take_queued(100))
    assert results(database) == [], "nobody knows how old it was when it came"
    assert states(database)[number][0] == "replayed"


async def test_a_database_that_fails_leaves_the_queue_and_holds_up_nobody(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = keep(database, "homie/boiler/loft/temperature/$unit", "°C".encode())
    worker = await InProcessIngest.begin(opened)
    store = worker.pipeline._store.store

    async def fail(*_: object) -> None:
        raise StorageError

    monkeypatch.setattr(worker.pipeline._store, "store", fail)
    with pytest.raises(StorageError):
        await asyncio.wait_for(worker.pipeline.replay(await RejectedRepository(opened).take_queued(100)), 5)
    assert states(database)[number] == ("queued", "unknown_topic", 0)
    assert dict(worker.memory) == {}, "what it told is learned with the transaction that keeps it"
    assert worker.pipeline.storing

    monkeypatch.setattr(worker.pipeline._store, "store", store)
    assert await worker.settle(GOOD)
    await worker.pipeline.replay(await RejectedRepository(opened).take_queued(100))
    assert states(database)[number][0] == "replayed"
    assert database.query("SELECT value FROM decoder_memory") == [("°C",)]


async def test_what_a_dead_worker_left_in_the_queue_is_taken_up(opened: Database, database: TestDatabase) -> None:
    keep(database, "pulso/v1/traffic/a", speed(50))
    worker = await InProcessIngest.begin(opened)
    async with worker.housekeeping():
        await eventually(lambda: results(database) == [50.0])
    assert {state for state, *_ in states(database).values()} == {"replayed"}


async def test_an_adopted_mapping_is_used_for_the_messages_it_was_adopted_for(
    opened: Database, database: TestDatabase
) -> None:
    """Again and again, because the word of the mapping and that of the queue race each other."""
    worker = await InProcessIngest.begin(opened)
    async with worker.housekeeping():
        for count in range(1, 6):
            keep(database, f"plant/line-{count}/state", b'{"p": 2.5}', state="kept", second=count)
            document = MAPPING.replace("plant", f"plant-{count}", 1).replace(
                "plant/{line}", f"plant/{{line:line-{count}}}"
            )
            queued = await AdoptionRepository(opened).adopt(
                [f"line-{count}"],
                ThingSettings(),
                replay=Selection(reason="unknown_topic"),
                document=(f"{count}", document),
            )
            assert queued == 1
            await eventually(
                lambda: not database.query("SELECT 1 FROM rejected_message WHERE state = 'queued'"), what="replayed"
            )
            assert [told[:2] for told in states(database).values()] == [("replayed", "unknown_topic")] * count
    assert results(database) == [2500.0] * 5


async def test_what_arrives_does_not_wait_for_a_long_queue(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.housekeeping._REPLAYED_AT_ONCE", 20)
    database.query(
        "INSERT INTO rejected_message (received_at, topic, payload, reason, detail, fingerprint, state)"
        " SELECT now() - number * interval '1 second', 'pulso/v1/traffic/a',"
        " convert_to('{\"observations\":{\"speed\":' || number || '}}', 'UTF8'), 'malformed', '', '', 'queued'"
        " FROM generate_series(1, 2000) AS number"
    )
    worker = await InProcessIngest.begin(opened)

    def waiting() -> int:
        return int(str(database.query("SELECT count(*) FROM rejected_message WHERE state = 'queued'")[0][0]))

    async with worker.housekeeping():
        await eventually(lambda: waiting() < 2000, what="it has begun")
        assert await worker.settle(GOOD)
        assert waiting() > 1000
        await eventually(lambda: waiting() == 0, within=30, what="the queue is empty")
    assert len(results(database)) == 2001


async def test_steps_that_fail_end_neither_the_others_nor_the_service(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.query("INSERT INTO zone VALUES ('coyoacan', NULL, 'city', 'Coyoacán', 'Coyoacán', 19, -99)")
    database.query("""UPDATE zone SET boundary = '{"type": "Point", "coordinates": [0, 0]}'""")
    keep(database, "pulso/v1/traffic/a", speed(50))
    worker = await InProcessIngest.begin(opened)

    def fail() -> Sequence[object]:
        raise ZeroDivisionError

    monkeypatch.setattr("ingest.housekeeping._LOOK", 0.05)
    monkeypatch.setattr("ingest.housekeeping._CLOCKS", 0.0)
    monkeypatch.setattr(worker.assessing, "take_clocks", fail)
    async with worker.housekeeping():
        await eventually(lambda: results(database) == [50.0])
        keep(database, "pulso/v1/traffic/a", speed(60, 1))
        await eventually(lambda: results(database) == [50.0, 60.0])
    assert {state for state, *_ in states(database).values()} == {"replayed"}


GATE = """
[[mapping]]
name = "gate"
topic = "gate/{gate}"
thing = "{gate}"
family = "traffic"
format = { type = "csv", columns = ["plate", "v"] }
each = "[*]"

[[mapping.observation]]
property = "speed"
value = "v"
unit = "km/h"
"""


async def test_what_a_mapping_tells_to_be_personal_goes_from_messages_that_were_kept_before(
    opened: Database, database: TestDatabase
) -> None:
    good = keep(database, "gate/7", b"AB-12,41.5")
    bad = keep(database, "gate/7", b"CD-34,fast")
    worker = await InProcessIngest.begin(opened, documents={"gate": GATE})
    await worker.replay(Selection(ids=[good, bad]))
    assert results(database) == [41.5]
    assert database.query("SELECT payload, state FROM rejected_message ORDER BY rejected_id") == [
        (b"[removed],41.5", "replayed"),
        (b"[removed],fast", "kept"),
    ]
    assert database.query("SELECT detail FROM rejected_message WHERE detail LIKE '%CD-34%'") == []
