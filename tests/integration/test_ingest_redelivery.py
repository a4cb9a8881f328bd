"""A message that comes again after a crash between COMMIT and PUBACK is the same message, also without a time."""

import time

import pytest

from ingest.message import RawMessage
from pulso.db import Database
from tests.support.databases import TestDatabase
from tests.support.ingesting import InProcessIngest

pytestmark = pytest.mark.all_databases

NOW = time.time_ns() // 1000


def plug(*, mid: int, received_at: int, redelivered: bool, power: int = 12) -> RawMessage:
    """A plug tells its power and no time."""
    return RawMessage(
        "zigbee2mqtt/plug", b'{"power": %d}' % power, received_at, mid, 1, redelivered=redelivered, connection=mid
    )


def stored(database: TestDatabase) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT result, (extract(epoch FROM phenomenon_time) * 1000000)::bigint FROM observation ORDER BY 2"
    )


def booked(database: TestDatabase) -> tuple[object, ...]:
    (row,) = database.query(
        "SELECT sum(received)::int, sum(stored)::int, sum(duplicate)::int,"
        " sum(received - stored - duplicate - rejected - ignored - returned - in_flight)::int FROM ingest_ledger"
    )
    return row


async def test_it_is_stored_once(opened: Database, database: TestDatabase) -> None:
    first = await InProcessIngest.begin(opened)
    await first.settle(plug(mid=7, received_at=NOW, redelivered=False))
    second = await InProcessIngest.begin(opened)  # the first one was killed before its PUBACK went out
    later = plug(mid=7, received_at=NOW + 90_000_000, redelivered=True)
    assert await second.settle(later) == [later._replace(received_at=NOW)]

    assert stored(database) == [(12.0, NOW)]
    assert booked(database) == (2, 1, 1, 0)


async def test_what_never_was_stored_counts_from_now(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    await worker.settle(plug(mid=7, received_at=NOW, redelivered=False))
    await worker.settle(
        plug(mid=8, received_at=NOW + 1, redelivered=True),  # another packet, though it says the same
        plug(mid=9, received_at=NOW + 2, redelivered=True, power=13),
        plug(mid=7, received_at=NOW + 3, redelivered=False),  # a new message with a packet identifier of old
    )
    assert stored(database) == [(12.0, NOW), (12.0, NOW + 1), (13.0, NOW + 2), (12.0, NOW + 3)]


async def test_receipts_are_kept_only_for_what_tells_no_time(opened: Database, database: TestDatabase) -> None:
    worker = await InProcessIngest.begin(opened)
    timed = RawMessage(
        "pulso/v1/traffic/a", b'{"phenomenon_time":"2026-11-01T00:00:00Z","observations":{"speed":3}}', NOW, 5
    )
    await worker.settle(timed)
    assert database.query("SELECT count(*) FROM message_receipts") == [(0,)]
    await worker.settle(plug(mid=6, received_at=NOW, redelivered=False))
    assert database.query("SELECT octet_length(receipts) FROM message_receipts") == [(16,)]
