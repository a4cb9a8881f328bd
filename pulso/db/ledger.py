"""The books of ingest: what became of every message, per source and minute of receipt.

received = stored + duplicate + rejected + ignored + returned + in flight. All but the last are counted when they
happen; `in_flight` is what the worker holds in its hands, counted there and not computed from the others. So the
identity can fail: a message that was received and is neither settled nor in anybody's hands shows as a difference.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from pulso.db.connection import Database
from pulso.db.sql import SQL
from pulso.errors import AppError

PATIENCE = timedelta(seconds=30)
"""A session that has not flushed for so long counts as dead in the balance; a living one flushes every few seconds."""

MINUTE = timedelta(minutes=1)


class SessionEnded(AppError):
    """Another worker of the same name has taken over; what this one holds is delivered to that one."""


class Page(NamedTuple):
    """What a worker has counted of one source and minute of receipt since its session began.

    `minute` in minutes since 1970 UTC; `in_flight` counted in the worker's hands, not computed from the others.
    """

    source: str
    minute: int
    received: int
    stored: int
    duplicate: int
    rejected: int
    ignored: int
    in_flight: int

    @property
    def difference(self) -> int:
        """Messages that nobody accounts for; 0 if the books balance."""
        return self.received - self.stored - self.duplicate - self.rejected - self.ignored - self.in_flight


class Balance(NamedTuple):
    """The books of one source and period. `difference` is 0 where they balance."""

    period: datetime
    source: str
    received: int
    stored: int
    duplicate: int
    rejected: int
    ignored: int
    returned: int
    in_flight: int
    difference: int


class Total(NamedTuple):
    """The books of a whole range."""

    received: int
    stored: int
    duplicate: int
    rejected: int
    ignored: int
    returned: int
    in_flight: int
    difference: int


class LedgerRepository:
    """Sessions of workers, and what they book. Every method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, worker: str) -> int:
        """Open a session and return its number.

        Sessions of the same worker that are still open are ended: what they had in flight counts as returned. Call it
        before the first message is taken.
        """
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["session_lock_worker"], {"worker": worker})
            await cursor.execute(SQL["session_end_others"], {"worker": worker})
            await cursor.execute(SQL["session_begin"], {"worker": worker})
            row = await cursor.fetchone()
            assert row is not None  # noqa: S101 (INSERT ... RETURNING)
            return int(row[0])

    async def flush(self, session_id: int, pages: Iterable[Page] = ()) -> None:
        """`flush` in a transaction of its own; without pages a sign of life. Raises SessionEnded."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await flush(cursor, session_id, pages)

    async def end(self, session_id: int) -> None:
        """Close a session; what it still has in flight counts as returned."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["session_end"], {"session_id": session_id})

    async def balance(  # noqa: PLR0913 (a range, a filter and a page)
        self,
        since: datetime,
        until: datetime,
        *,
        source: str | None = None,
        step: timedelta = MINUTE,
        limit: int = 10_000,
        after: tuple[datetime, str] | None = None,
    ) -> list[Balance]:
        """The books of [since, until) per source and period of `step`, the newest period first.

        Minutes belong to the range by their beginning. `after` is the (period, source) of the last line of the page
        before. What a dead session had in flight counts as returned; dead is one that was ended, or has not flushed
        for PATIENCE: should that one be heard of again, it counts as in flight again.
        """
        wanted = {
            **_range(since, until, source),
            "step": step,
            "limit": limit,
            "before": after[0] if after else None,
            "after": after[1] if after else "",
        }
        return [Balance(*row) for row in await self._rows("ledger_balance", wanted)]

    async def total(self, since: datetime, until: datetime, *, source: str | None = None) -> Total:
        """The books of [since, until) in one line."""
        return Total(*(await self._rows("ledger_total", _range(since, until, source)))[0])

    async def delete(self, older_than: timedelta) -> int:
        """Delete lines of minutes longer ago, and sessions without any; returns how many lines."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["ledger_delete"], {"older_than": older_than})
            deleted = cursor.rowcount
            await cursor.execute(SQL["session_delete"], {"older_than": older_than})
            return deleted

    async def _rows(self, statement: str, parameters: dict[str, Any]) -> Sequence[TupleRow]:
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL[statement], parameters)
            return await cursor.fetchall()


async def flush(cursor: AsyncCursor[TupleRow], session_id: int, pages: Iterable[Page]) -> None:
    """Write the pages that have changed since the last flush that was committed, within the caller's transaction.

    They hold the counts since the session began, so writing them again changes nothing.

    Raises SessionEnded if a successor has ended the session; the caller's transaction must not be committed then, for
    the broker has given its messages to the successor.
    """
    await cursor.execute(SQL["session_seen"], {"session_id": session_id})
    if not cursor.rowcount:
        raise SessionEnded
    ordered = sorted(pages, key=lambda page: (page.minute, page.source))  # one order: no deadlocks
    if ordered:
        columns = {name: [getattr(page, name) for page in ordered] for name in Page._fields}
        await cursor.execute(SQL["ledger_write"], {"session_id": session_id, **columns})


def _range(since: datetime, until: datetime, source: str | None) -> dict[str, Any]:
    return {"since": since, "until": until, "source": source, "patience": PATIENCE}
