"""Beside each result: what stood in the message, and why it is not trusted."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.api.models import ObservationOut
from ingest.message import RawMessage
from pulso.db import Database
from pulso.db.adoption import AdoptionRepository
from pulso.db.reading import ReadingRepository
from pulso.model import Flag, Quality
from tests.support.databases import TestDatabase
from tests.support.ingesting import InProcessIngest
from tests.support.waiting import eventually

pytestmark = pytest.mark.all_databases

TOPIC = "pulso/v1/air/station-1"
AT = (datetime.now(UTC) - timedelta(minutes=30)).replace(microsecond=0)


def reading(
    name: str, result: float, unit: str | None = None, *, second: int = 0, produced: int | None = None
) -> RawMessage:
    body: dict[str, object] = {
        "phenomenon_time": (AT + timedelta(seconds=second)).isoformat(),
        "observations": {name: result if unit is None else {"result": result, "unit": unit}},
    }
    if produced is not None:
        body["result_time"] = (AT + timedelta(seconds=second + produced)).isoformat()
    return RawMessage(TOPIC, json.dumps(body).encode(), 0)


def facts(database: TestDatabase, table: str = "observation") -> list[tuple[object, ...]]:
    """Result, what was sent, and why it is not trusted, in order of time and result."""
    return database.query(
        f"SELECT round(result::numeric, 6)::float8, sent_result, code, quality, flags FROM {table}"
        " LEFT JOIN sent_unit ON sent_unit_id = sent_unit ORDER BY phenomenon_time, result"
    )


async def answered(opened: Database) -> list[ObservationOut]:
    return [ObservationOut.of(row) for row in await ReadingRepository(opened).observations(1, None, None, 10)]


async def test_what_was_sent_can_be_read_again(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    await worker.settle(
        reading("temperature", 68, "°F"),
        reading("temperature", 21, second=1),
        reading("temperature", 22, "°C", second=2),
        reading("temperature", 300, "K", second=3),
    )
    assert [row[:3] for row in facts(database)] == [
        (20.0, 68.0, "°F"),
        (21.0, None, None),
        (22.0, None, None),
        (26.85, 300.0, "K"),
    ]
    newest, *_, oldest = await answered(opened)
    assert newest.sent is not None
    assert (newest.sent.result, newest.sent.unit) == (300.0, "K")
    assert oldest.model_dump()["sent"] == {"result": 68.0, "unit": "°F"}
    assert [each.sent for each in await answered(opened)][1:3] == [None, None]


async def test_why_a_result_is_not_trusted_is_kept_and_answered(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    await worker.settle(reading("temperature", 20), reading("temperature", 900, second=60))
    assert [row[3:] for row in facts(database)] == [(Quality.PASS, 0), (Quality.FAIL, Flag.RANGE)]
    newest, oldest = await answered(opened)
    assert (newest.quality, newest.flags) == (Quality.FAIL, ["range"])
    assert (oldest.quality, oldest.flags) == (Quality.PASS, [])


async def test_a_batch_that_is_refused_for_another_message_is_assessed_once(
    opened: Database, database: TestDatabase
) -> None:
    """A leap of temperature is one when it is tried again behind itself, too."""
    database.query("ALTER TABLE observation ADD CONSTRAINT refused CHECK (result <> 66.5)")
    worker = await InProcessIngest.begin(opened)
    await worker.settle(
        reading("temperature", 20), reading("temperature", 45, second=60), reading("humidity", 66.5, second=60)
    )
    assert [row[3:] for row in facts(database)] == [(Quality.PASS, 0), (Quality.SUSPECT, Flag.RATE)]
    assert database.query("SELECT reason FROM rejected_message") == [("not_storable",)]


async def test_a_correction_keeps_the_facts_of_both_versions(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    await worker.settle(reading("temperature", 1652, "°F", produced=1))
    await worker.settle(reading("temperature", 293.15, "K", produced=2))
    assert facts(database) == [(20.0, 293.15, "K", Quality.PASS, 0)]
    assert facts(database, "observation_correction") == [(900.0, 1652.0, "°F", Quality.FAIL, Flag.RANGE)]


async def test_versions_within_one_batch_keep_their_facts_too(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    batch = [
        reading("temperature", 68, "°F", produced=2),
        reading("temperature", 25, produced=1),
        reading("temperature", 300, "K", produced=3),
        reading("temperature", 68, "°F", produced=2),
    ]
    await worker.settle(*batch)
    assert [row[:3] for row in facts(database)] == [(26.85, 300.0, "K")]
    superseded = [row[:3] for row in facts(database, "observation_correction")]
    assert superseded == [(20.0, 68.0, "°F"), (25.0, None, None)]


async def test_a_unit_that_another_worker_names_at_the_same_moment_is_found(
    opened: Database, database: TestDatabase
) -> None:
    """The other worker commits between the look and the insertion, so the statement sees neither."""
    database.query(
        "CREATE FUNCTION beaten() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        "CREATE TRIGGER beaten BEFORE INSERT ON sent_unit FOR EACH ROW WHEN (pg_trigger_depth() = 0)"
        " EXECUTE FUNCTION beaten()"
    )
    worker = await InProcessIngest.begin(opened)
    looked = 0
    connection = worker.database.connection

    def counted() -> object:
        nonlocal looked
        looked += 1
        if looked == 2:
            database.query("DROP TRIGGER beaten ON sent_unit")
        return connection()

    worker.pipeline._store._database = type("Counted", (), {"connection": staticmethod(counted)})()  # type: ignore[assignment]
    await worker.settle(reading("temperature", 68, "°F"))
    assert [row[:3] for row in facts(database)] == [(20.0, 68.0, "°F")]


PROFILE = """
[[profile]]
name = "lid"
match.devices = ["bin-1"]

[[profile.observation]]
property = "fill_level"
value = "lvl"
unit = "%"
"""


async def test_what_nothing_gives_a_meaning_is_told_of_the_thing_until_a_profile_does(
    opened: Database, database: TestDatabase
) -> None:
    uplink = RawMessage(
        "v3/city@ttn/devices/bin-1/up",
        b'{"end_device_ids":{"device_id":"bin-1"},"uplink_message":{"decoded_payload":{"temperature":21.5,"lvl":40}}}',
        0,
    )

    async def shown() -> list[str]:
        (thing,) = await ReadingRepository(opened).things(limit=1, external_id="bin-1")
        return list(thing.unread_fields)

    worker = await InProcessIngest.begin(opened)
    await worker.settle(uplink)
    async with worker.housekeeping():
        await eventually(shown, within=5)
    assert await shown() == ["lvl"]
    assert [each.external_id for each in await AdoptionRepository(opened).things(limit=5, unread=True)] == ["bin-1"]
    successor = await InProcessIngest.begin(opened, documents={"lid": PROFILE})
    await successor.settle(uplink)
    async with successor.housekeeping():
        await eventually(lambda: not database.query("SELECT fields FROM thing_unread"), within=5)
    assert await shown() == []
