"""What the broker had kept from before we came: a value without a time is nobody's news, a description is."""

from datetime import UTC, datetime, timedelta

import pytest

from ingest.message import RawMessage
from pulso.db import Database
from tests.support.databases import TestDatabase
from tests.support.ingesting import InProcessIngest

pytestmark = pytest.mark.all_databases

TOPIC = "pulso/v1/traffic/det-1"
AT = (datetime.now(UTC) - timedelta(minutes=10)).replace(microsecond=0)


def retained(topic: str, payload: str) -> RawMessage:
    return RawMessage(topic, payload.encode(), 0, retained=True)


def observed(database: TestDatabase) -> list[tuple[object, ...]]:
    return database.query("SELECT phenomenon_time, result FROM observation ORDER BY result")


def booked(database: TestDatabase) -> tuple[object, ...]:
    (row,) = database.query("SELECT sum(received), sum(stored), sum(rejected), sum(ignored) FROM ingest_ledger")
    return tuple(int(str(each)) for each in row)


async def test_a_value_without_a_time_is_ignored_and_its_thing_is_not_made(
    opened: Database, database: TestDatabase
) -> None:
    worker = await InProcessIngest.begin(opened)
    assert len(await worker.settle(retained(TOPIC, '{"observations":{"speed":5}}'))) == 1
    assert observed(database) == []
    assert database.query("SELECT count(*) FROM thing") == [(0,)]
    assert booked(database) == (1, 0, 0, 1)


async def test_a_value_with_its_time_is_stored(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    message = retained(TOPIC, f'{{"phenomenon_time":"{AT.isoformat()}","observations":{{"speed":5}}}}')
    await worker.settle(message)
    await worker.settle(message._replace(mid=2))  # at the next connection
    assert observed(database) == [(AT, 5.0)]


async def test_of_a_list_what_tells_its_time_is_stored(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    records = (
        f'[{{"observations":{{"speed":4}}}},{{"phenomenon_time":"{AT.isoformat()}","observations":{{"speed":5}}}}]'
    )
    await worker.settle(retained(TOPIC, records))
    assert observed(database) == [(AT, 5.0)]


async def test_what_cannot_be_true_is_put_aside_as_if_it_were_new(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await worker.settle(retained(TOPIC, f'{{"phenomenon_time":"{ahead}","observations":{{"speed":5}}}}'))
    assert database.query("SELECT reason, retained FROM rejected_message") == [("future_timestamp", True)]


async def test_descriptions_and_units_are_taken_up(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    await worker.settle(
        retained(f"{TOPIC}/about", '{"name":"Corner"}'),
        retained("homie/boiler/loft/temperature/$unit", "°F"),
        retained("homie/boiler/loft/temperature", "50"),
        RawMessage("homie/boiler/loft/temperature", b"212", 0),
    )
    assert database.query("SELECT name FROM thing WHERE external_id = 'det-1'") == [("Corner",)]
    assert [round(float(str(result)), 6) for _, result in observed(database)] == [100.0]
