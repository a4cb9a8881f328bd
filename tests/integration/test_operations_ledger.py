"""The books: they balance whatever happens to workers, and show it when a message is lost."""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulso.db import Database, open_database
from pulso.db.ledger import LedgerRepository, SessionEnded, Total, flush
from tests.support.databases import TestDatabase

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 22, 18, tzinfo=UTC)
NOON_MINUTE = int(NOON.timestamp()) // 60


class Page(NamedTuple):
    source: str
    minute: int = NOON_MINUTE
    received: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: int = 0
    ignored: int = 0
    in_flight: int = 0


@pytest.fixture
def ledger(opened: Database) -> LedgerRepository:
    return LedgerRepository(opened)


async def whole(ledger: LedgerRepository, source: str | None = None) -> Total:
    return await ledger.total(NOON, NOON + 10 * MINUTE, source=source)


@pytest.mark.all_databases
async def test_writing_pages_again_changes_nothing(ledger: LedgerRepository) -> None:
    session = await ledger.begin("worker-1")
    pages = [Page("plant", received=10, stored=6, duplicate=1, rejected=1, in_flight=2), Page("city", received=3)]
    await ledger.flush(session, pages)
    await ledger.flush(session, pages)
    await ledger.flush(session, [Page("plant", received=12, stored=9, duplicate=1, rejected=1, ignored=1)])

    assert [row[1:] for row in await ledger.balance(NOON, NOON + MINUTE)] == [
        ("city", 3, 0, 0, 0, 0, 0, 0, 3),
        ("plant", 12, 9, 1, 1, 1, 0, 0, 0),
    ]
    assert await whole(ledger) == (15, 9, 1, 1, 1, 0, 0, 3)
    assert (await whole(ledger, "plant")).difference == 0


@pytest.mark.all_databases
async def test_workers_are_added_up_and_minutes_put_together(ledger: LedgerRepository) -> None:
    for worker in ("worker-1", "worker-2"):
        session = await ledger.begin(worker)
        await ledger.flush(
            session, [Page("plant", NOON_MINUTE + n, received=2, stored=1, in_flight=1) for n in (0, 1, 5)]
        )

    by_minute = await ledger.balance(NOON, NOON + 10 * MINUTE)
    assert [(row.period, row.received) for row in by_minute] == [
        (NOON + 5 * MINUTE, 4), (NOON + MINUTE, 4), (NOON, 4),
    ]  # fmt: skip
    by_five = await ledger.balance(NOON, NOON + 10 * MINUTE, step=5 * MINUTE)
    assert [(row.period, row.received, row.in_flight) for row in by_five] == [(NOON + 5 * MINUTE, 4, 2), (NOON, 8, 4)]
    assert [row.period for row in await ledger.balance(NOON + MINUTE, NOON + 5 * MINUTE)] == [NOON + MINUTE]


@pytest.mark.all_databases
async def test_pages_of_the_balance_follow_each_other(ledger: LedgerRepository) -> None:
    session = await ledger.begin("worker-1")
    await ledger.flush(session, [Page(name, NOON_MINUTE + n, received=1) for n in range(3) for name in "abc"])
    seen: list[tuple[datetime, str]] = []
    after = None
    while rows := await ledger.balance(NOON, NOON + 10 * MINUTE, limit=2, after=after):
        seen += [(row.period, row.source) for row in rows]
        after = seen[-1]
    assert seen == [(NOON + n * MINUTE, name) for n in (2, 1, 0) for name in "abc"]


@pytest.mark.all_databases
async def test_what_a_dead_worker_had_in_flight_counts_as_returned_when_its_successor_begins(
    ledger: LedgerRepository, database: TestDatabase
) -> None:
    first = await ledger.begin("worker-1")
    await ledger.begin("worker-2")
    await ledger.flush(first, [Page("plant", received=5, stored=2, in_flight=3)])
    await ledger.begin("worker-1")

    assert await whole(ledger) == (5, 2, 0, 0, 0, 3, 0, 0)
    assert database.query("SELECT worker FROM ingest_session WHERE ended_at IS NULL ORDER BY 1") == [
        ("worker-1",), ("worker-2",),
    ]  # fmt: skip


@pytest.mark.all_databases
async def test_a_worker_that_was_replaced_cannot_book_any_more(opened: Database, ledger: LedgerRepository) -> None:
    first = await ledger.begin("worker-1")
    await ledger.flush(first, [Page("plant", received=5, in_flight=5)])
    await ledger.begin("worker-1")
    with pytest.raises(SessionEnded):
        async with opened.connection() as connection:
            await flush(connection.cursor(), first, [Page("plant", received=5, stored=5)])

    assert await whole(ledger) == (5, 0, 0, 0, 0, 5, 0, 0)


@pytest.mark.all_databases
async def test_a_worker_that_is_silent_counts_as_dead_until_it_is_heard_of_again(
    ledger: LedgerRepository, database: TestDatabase
) -> None:
    session = await ledger.begin("worker-1")
    await ledger.flush(session, [Page("plant", received=5, stored=2, in_flight=3)])
    assert (await whole(ledger)).in_flight == 3
    database.query("UPDATE ingest_session SET seen_at = now() - interval '31 seconds'")
    assert await whole(ledger) == (5, 2, 0, 0, 0, 3, 0, 0)
    await ledger.flush(session)
    assert await whole(ledger) == (5, 2, 0, 0, 0, 0, 3, 0)


@pytest.mark.all_databases
async def test_leaving_gives_back_what_is_in_flight(ledger: LedgerRepository) -> None:
    session = await ledger.begin("worker-1")
    await ledger.flush(session, [Page("plant", received=5, stored=4, in_flight=1)])
    await ledger.end(session)
    await ledger.end(session)
    assert await whole(ledger) == (5, 4, 0, 0, 0, 1, 0, 0)


@pytest.mark.all_databases
async def test_old_lines_go_with_their_sessions(ledger: LedgerRepository, database: TestDatabase) -> None:
    now = datetime.now(UTC)
    for age in (40, 1):
        session = await ledger.begin(f"worker-{age}")
        minute = int((now - timedelta(days=age)).timestamp()) // 60
        await ledger.flush(session, [Page("plant", minute, received=1, stored=1)])
        await ledger.end(session)
    database.query("UPDATE ingest_session SET seen_at = now() - interval '40 days',"
                   " ended_at = now() - interval '40 days' WHERE worker = 'worker-40'")  # fmt: skip
    assert await ledger.delete(timedelta(days=30)) == 1
    assert database.query("SELECT worker FROM ingest_session") == [("worker-1",)]


# --- whatever happens -------------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """A worker as ingest has them: counts since its session began, what it holds, and what it lost."""

    session: int
    source: str
    counts: dict[int, dict[str, int]] = field(default_factory=dict)

    def line(self, minute: int) -> dict[str, int]:
        return self.counts.setdefault(minute, dict.fromkeys(("received", "held", *KINDS), 0))

    def pages(self) -> Iterator[Page]:
        for minute, line in self.counts.items():
            settled = {kind: line[kind] for kind in KINDS}
            yield Page(self.source, NOON_MINUTE + minute, line["received"], in_flight=line["held"], **settled)


KINDS = ("stored", "duplicate", "rejected", "ignored")
amounts = st.integers(1, 20)
minutes = st.integers(0, 3)
workers = st.integers(0, 1)
steps = st.one_of(
    st.tuples(st.just("receive"), workers, minutes, amounts),
    st.tuples(st.just("settle"), workers, minutes, amounts, st.sampled_from(KINDS)),
    st.tuples(st.just("flush"), workers),
    st.tuples(st.just("die"), workers),
    st.tuples(st.just("leave"), workers),
)


@given(happened=st.lists(steps, max_size=25), lost=st.integers(0, 3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_books_balance_whatever_happens_and_a_lost_message_shows(
    database: TestDatabase, happened: list[tuple[object, ...]], lost: int
) -> None:
    asyncio.run(_tell(database, happened, lost))


async def _tell(database: TestDatabase, happened: list[tuple[object, ...]], lost: int) -> None:
    opened = await open_database(database.settings)
    try:
        ledger, name = LedgerRepository(opened), secrets.token_hex(4)
        at_work = [Worker(await ledger.begin(f"{name}-{number}"), name) for number in range(2)]
        for step in happened:
            await _take(ledger, at_work, name, step)
            assert (await whole(ledger, name)).difference == 0, step

        worker = at_work[0]
        line = worker.line(0)
        line["received"] += lost
        line["held"] += lost
        await ledger.flush(worker.session, worker.pages())
        assert (await whole(ledger, name)).difference == 0
        line["held"] -= lost  # out of its hands, and nothing says what became of them
        await ledger.flush(worker.session, worker.pages())
        assert (await whole(ledger, name)).difference == lost
        await ledger.begin(f"{name}-0")
        assert (await whole(ledger, name)).difference == lost
    finally:
        await opened.close()


async def _take(ledger: LedgerRepository, at_work: list[Worker], name: str, step: tuple[object, ...]) -> None:
    match step:
        case ("receive", int(who), int(minute), int(amount)):
            line = at_work[who].line(minute)
            line["received"] += amount
            line["held"] += amount
        case ("settle", int(who), int(minute), int(amount), str(kind)):
            line = at_work[who].line(minute)
            amount = min(amount, line["held"])
            line["held"] -= amount
            line[kind] += amount
        case ("flush", int(who)):
            await ledger.flush(at_work[who].session, at_work[who].pages())
        case ("die" | "leave" as how, int(who)):
            if how == "leave":
                await ledger.end(at_work[who].session)
            at_work[who] = Worker(await ledger.begin(f"{name}-{who}"), name)
