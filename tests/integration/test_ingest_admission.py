"""Things nobody knows: admitted at once, or kept waiting until somebody adopts them."""

import asyncio
from typing import Any

import pytest

from ingest.message import RawMessage
from pulso.db import Database
from pulso.db.adoption import AdoptionRepository, ThingSettings
from pulso.db.rejected import Selection
from pulso.model import Family, ThingState
from tests.support.databases import TestDatabase
from tests.support.ingesting import InProcessIngest
from tests.support.waiting import eventually

pytestmark = pytest.mark.all_databases

SQUARE = {"type": "Polygon", "coordinates": [[[-100, 19], [-99, 19], [-99, 20], [-100, 20], [-100, 19]]]}
STRANGER = "pulso/v1/traffic/det-9"


def speed(value: float, topic: str = STRANGER) -> RawMessage:
    return RawMessage(topic, b'{"observations":{"speed":%g}}' % value, 0)


def results(database: TestDatabase) -> list[object]:
    return [result for (result,) in database.query("SELECT result FROM observation ORDER BY result")]


def reasons(database: TestDatabase) -> list[tuple[object, ...]]:
    return database.query("SELECT reason, state, external_id FROM rejected_message ORDER BY rejected_id")


def thing(database: TestDatabase, external_id: str = "det-9") -> tuple[object, ...]:
    (row,) = database.query("SELECT state, family, zone_id FROM thing WHERE external_id = %s", external_id)
    return row


async def test_strangers_wait_and_their_messages_are_replayed_when_they_are_adopted(
    opened: Database, database: TestDatabase
) -> None:
    worker = await InProcessIngest.begin(opened, admit=False)
    about = RawMessage(f"{STRANGER}/about", b'{"name":"Corner"}', 0)
    assert len(await worker.settle(about, speed(31), speed(32))) == 3
    assert len(await worker.settle(speed(33))) == 4
    assert thing(database) == ("quarantined", "traffic", None)
    assert results(database) == []
    assert reasons(database) == [("unknown_thing", "kept", "det-9")] * 3

    async with worker.housekeeping():
        adoption = AdoptionRepository(opened)
        assert await adoption.adopt(["det-9"], ThingSettings(), replay=Selection(device="det-9")) == 3
        await eventually(lambda: results(database) == [31.0, 32.0, 33.0])
        assert reasons(database) == [("unknown_thing", "replayed", "det-9")] * 3
        await worker.settle(speed(34))
    assert results(database) == [31.0, 32.0, 33.0, 34.0]
    assert thing(database)[0] == "active"


async def test_a_replay_before_the_adoption_changes_nothing(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened, admit=False)
    await worker.settle(speed(31))
    assert await worker.replay(Selection()) == 1
    assert reasons(database) == [("unknown_thing", "kept", "det-9")]
    assert results(database) == []


async def test_a_thing_that_is_retired_while_it_reports_is_put_aside_from_then_on(
    opened: Database, database: TestDatabase
) -> None:
    worker = await InProcessIngest.begin(opened)
    await worker.settle(speed(31))
    async with worker.housekeeping():
        await AdoptionRepository(opened).change("det-9", ThingSettings(state=ThingState.RETIRED))

        async def put_aside() -> bool:
            await worker.settle(speed(32))
            return bool(reasons(database))

        await eventually(put_aside, within=5)
    assert reasons(database) == [("unknown_thing", "kept", "det-9")]


async def test_a_family_that_is_told_late_is_filled_in(opened: Database, database: TestDatabase) -> None:
    """A thing whose observations tell no family is first heard of by a format that has none."""
    database.query("INSERT INTO thing (external_id) VALUES ('det-9')")
    database.query("INSERT INTO datastream (thing_id, observed_property, unit)"
                   " SELECT thing_id, 'temperature', 'Cel' FROM thing")  # fmt: skip
    worker = await InProcessIngest.begin(opened)
    senml = RawMessage("site/senml", b'[{"bn":"det-9:","n":"temperature","u":"Cel","v":20}]', 0)
    told = RawMessage("pulso/v1/air/det-9", b'{"observations":{"temperature":21}}', 0)
    await worker.settle(senml)
    await worker.settle(told)
    assert thing(database) == ("active", "air", None)
    await worker.settle(speed(30))
    assert [row[0] for row in reasons(database)] == ["family_mismatch"]


async def test_a_family_that_was_guessed_gives_way_to_a_better_one(opened: Database, database: TestDatabase) -> None:
    def senml(name: str, unit: str, value: float) -> RawMessage:
        return RawMessage(
            "site/senml", b'[{"bn":"det-9:","n":"%b","u":"%b","v":%g}]' % (name.encode(), unit.encode(), value), 0
        )

    worker = await InProcessIngest.begin(opened)
    await worker.settle(senml("temperature", "Cel", 20))
    assert thing(database) == ("active", "air", None)
    await worker.settle(senml("fill_level", "%", 71))
    assert thing(database) == ("active", "waste", None)
    await worker.settle(senml("co2", "ppm", 420))
    assert thing(database) == ("active", "waste", None), "of two equal guesses the first stays"

    other = await InProcessIngest.begin(opened, worker="other")
    await other.settle(speed(30))
    await worker.settle(speed(31))
    assert thing(database) == ("active", "traffic", None)
    await worker.settle(RawMessage("pulso/v1/waste/det-9", b'{"observations":{"fill_level":72}}', 0))
    assert [row[0] for row in reasons(database)] == ["family_mismatch"], "what was told stays"


@pytest.mark.parametrize("told_first", [True, False])
async def test_a_family_that_is_told_counts_before_a_guess_of_the_same_batch(
    opened: Database, database: TestDatabase, told_first: bool
) -> None:
    guessed = RawMessage("site/senml", b'[{"bn":"det-9:","n":"temperature","u":"Cel","v":20}]', 0)
    worker = await InProcessIngest.begin(opened)
    await worker.settle(*((speed(30), guessed) if told_first else (guessed, speed(30))))
    assert thing(database) == ("active", "traffic", None)
    assert reasons(database) == []


async def test_a_family_that_a_person_says_is_no_guess(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    await worker.settle(RawMessage("site/senml", b'[{"bn":"det-9:","n":"temperature","u":"Cel","v":20}]', 0))
    await AdoptionRepository(opened).change("det-9", ThingSettings(family=Family.WASTE))
    await worker.settle(RawMessage("site/senml", b'[{"bn":"det-9:","n":"co2","u":"ppm","v":420}]', 0))
    assert thing(database) == ("active", "waste", None)


async def test_the_unit_that_comes_first_is_the_datastreams(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    topic = "pulso/v1/air/station-1"
    await worker.settle(
        RawMessage(topic, b'{"observations":{"no2":20}}', 0),
        RawMessage(topic, b'{"observations":{"no2":{"result":40,"unit":"ug/m3"}}}', 0),
        RawMessage(topic, b'{"observations":{"no2":{"result":21,"unit":"ppb"}}}', 0),
    )
    assert database.query("SELECT unit FROM datastream") == [("ppb",)]
    assert results(database) == [20.0, 21.0]
    assert [row[0] for row in reasons(database)] == ["unit_mismatch"]


async def test_a_thing_gets_the_district_its_position_lies_in_unless_it_has_one(
    opened: Database, database: TestDatabase
) -> None:
    database.query("INSERT INTO zone VALUES ('coyoacan', NULL, 'city', 'Coyoacán', 'Coyoacán', 19, -99),"
                   " ('tlalpan', NULL, 'city', 'Tlalpan', 'Tlalpan', 19, -99)")  # fmt: skip
    worker = await InProcessIngest.begin(opened, zones={"coyoacan": SQUARE})
    where = RawMessage(f"{STRANGER}/about", b'{"latitude":19.5,"longitude":-99.5}', 0)
    await worker.settle(where)
    assert thing(database)[2] == "coyoacan"

    await AdoptionRepository(opened).change("det-9", ThingSettings(zone_id="tlalpan"))
    await worker.settle(where)
    assert thing(database)[2] == "tlalpan", "what a person says stands"


async def test_things_that_are_forgotten_while_new_ones_are_registered_are_found_again(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message brings a known and a new datastream; somebody changes the thing while the new one is registered."""
    monkeypatch.setattr("ingest.housekeeping._LOOK", 0.02)
    worker = await InProcessIngest.begin(opened)
    await worker.settle(speed(31))
    ensure = worker.pipeline._things.ensure_datastreams

    async def slowly(*arguments: Any, **named: Any) -> object:
        await AdoptionRepository(opened).change("det-9", ThingSettings(name="Corner"))
        await asyncio.sleep(0.3)
        return await ensure(*arguments, **named)

    async with worker.housekeeping():
        await eventually(lambda: not worker.translator._things, what="the first look forgets")
        await worker.settle(speed(32))
        monkeypatch.setattr(worker.pipeline._things, "ensure_datastreams", slowly)
        await worker.settle(RawMessage(STRANGER, b'{"observations":{"speed":33,"vehicle_count":4}}', 0))
        await eventually(lambda: not worker.translator._things, what="it is forgotten after the batch")
    assert results(database) == [4.0, 31.0, 32.0, 33.0]
    assert reasons(database) == []
