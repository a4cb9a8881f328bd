"""Nothing is acknowledged that is not committed, and no message waits for what is not its own fault."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ingest.message import RawMessage
from pulso.db import Database, ledger
from pulso.db.ledger import LedgerRepository, SessionEnded
from pulso.errors import StorageError
from tests.support.databases import TestDatabase
from tests.support.ingesting import InProcessIngest


def speed(value: float, thing: str = "a") -> RawMessage:
    return RawMessage(f"pulso/v1/traffic/{thing}", b'{"observations":{"speed":%g}}' % value, 0)


def results(database: TestDatabase) -> list[object]:
    return [result for (result,) in database.query("SELECT result FROM observation ORDER BY result")]


def booked(database: TestDatabase) -> tuple[int, ...]:
    """Received, stored, rejected, in flight, returned."""
    (row,) = database.query(
        "SELECT sum(received), sum(stored), sum(rejected), sum(in_flight), sum(returned) FROM ingest_ledger"
    )
    return tuple(int(str(each)) for each in row)


class Failing:
    """Writes the books of a batch, and then fails as often as it has errors left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> None:
        self._flush = ledger.flush
        self._errors: Iterator[Exception] = iter(errors)
        monkeypatch.setattr(ledger, "flush", self)

    async def __call__(self, *arguments: Any) -> None:
        await self._flush(*arguments)
        for error in self._errors:
            raise error


async def test_a_transaction_that_fails_at_its_end_is_tried_again_and_acknowledged_once(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await InProcessIngest.begin(opened)
    Failing(monkeypatch, psycopg.OperationalError("lost"), psycopg.OperationalError("lost again"))
    await worker.settle_at_last(speed(30), RawMessage("nowhere", b"?", 0))
    assert results(database) == [30.0]
    assert len(worker.broker.acknowledged) == 2
    assert database.query("SELECT count(*) FROM rejected_message") == [(1,)]
    assert booked(database) == (2, 1, 1, 0, 0)


async def test_without_a_database_a_worker_that_stops_acknowledges_nothing(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await InProcessIngest.begin(opened)
    Failing(monkeypatch, *[psycopg.OperationalError("away")] * 3)
    with pytest.raises(StorageError):
        await worker.settle(speed(30))
    assert worker.broker.acknowledged == []
    assert results(database) == []

    monkeypatch.undo()
    after = await InProcessIngest.begin(opened)
    assert len(await after.settle(speed(30)._replace(redelivered=True))) == 1
    assert results(database) == [30.0]
    assert booked(database) == (1, 1, 0, 0, 0)


async def test_a_worker_whose_name_is_taken_over_stores_and_acknowledges_nothing_more(
    opened: Database, database: TestDatabase
) -> None:
    worker = await InProcessIngest.begin(opened)
    await LedgerRepository(opened).begin("test")
    with pytest.raises(SessionEnded):
        await worker.settle(speed(30))
    assert worker.broker.acknowledged == []
    assert results(database) == []
    with pytest.raises(SessionEnded):
        async with worker.housekeeping():
            await asyncio.sleep(1)


async def test_books_that_are_refused_are_not_a_messages_fault(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused even when a message is only put aside passes, like any failure."""
    worker = await InProcessIngest.begin(opened)
    refused = psycopg.errors.CheckViolation("the books")
    Failing(monkeypatch, *[refused] * 3)
    await worker.settle_at_last(speed(30))
    assert len(worker.broker.acknowledged) == 1
    assert database.query("SELECT reason FROM rejected_message") == [("not_storable",)]
    assert booked(database) == (1, 0, 1, 0, 0)


async def test_topics_that_no_database_could_hold_harm_no_other_message(
    opened: Database, database: TestDatabase
) -> None:
    """Brokers refuse them; one that does not must not stop the city."""
    worker = await InProcessIngest.begin(opened)
    nul = RawMessage("a\x00b/x", b"1", 0)
    assert len(await worker.settle(speed(30), nul, speed(31, "b"))) == 3
    assert results(database) == [30.0, 31.0]
    assert database.query("SELECT topic, source FROM rejected_message") == [("a\\u0000b/x", "a\\u0000b")]


async def test_a_fault_in_our_own_code_puts_one_message_aside(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await InProcessIngest.begin(opened)
    interpret = worker.interpreter.interpret

    def wrong_kind(message: RawMessage) -> Any:
        meant = interpret(message)
        if message.topic.endswith("bad"):
            first = meant.things[0].observations[0]
            meant.things[0].observations[0] = first._replace(result="thirty")  # type: ignore[arg-type]
        return meant

    monkeypatch.setattr(worker.interpreter, "interpret", wrong_kind)
    assert len(await worker.settle(speed(30), speed(1, "bad"), speed(31))) == 3
    assert results(database) == [30.0, 31.0]
    assert database.query("SELECT reason, decoder FROM rejected_message") == [("decoder_failed", "pulso_json@1")]


async def test_a_cancelled_worker_acknowledges_nothing_that_is_under_way(
    opened: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await InProcessIngest.begin(opened)
    under_way = asyncio.Event()

    async def forever(*_: object) -> None:
        under_way.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(ledger, "flush", forever)
    settling = asyncio.create_task(worker.settle(speed(30)))
    await under_way.wait()
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    assert worker.broker.acknowledged == []
    assert results(database) == []
