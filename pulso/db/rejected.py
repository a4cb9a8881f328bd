"""Dead letters: messages that were not understood, kept with their bytes until they are, or until they are too old."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from pulso.db.connection import Database
from pulso.db.sql import SQL
from pulso.rejection import ADOPTABLE

MOST_BYTES_AT_ONCE = 16 << 20
"""Bytes of payload that `take_queued` hands out at one time, but for a first message that is larger."""

# A topic level that holds a digit is taken for the id of a device. `v1` and its like are versions of a format, `co2`
# and `pm10` are what is measured.
_NO_IDS = "v[0-9]{1,2}|spBv1[.]0|[Cc][Oo]2|[Nn][Oo]2|[Ss][Oo]2|[Oo]3|[Pp][Mm][0-9]{1,3}(?:[._][0-9]{1,2})?"
_LEVELS_WITH_DIGITS = rf"(^|/)(?!(?:{_NO_IDS})(?:/|$))[^/]*[0-9][^/]*(?=/|$)"


_MOVED_AT_ONCE = 20_000


def _pattern(device: str | None) -> dict[str, str | None]:
    """What finds the topics of a pattern, the cheap test first: all of them begin alike."""
    return {"levels": _LEVELS_WITH_DIGITS, "topics_begin": None if device is None else device.partition("+")[0]}


class RejectedState(StrEnum):
    """Where a rejected message stands."""

    KEPT = "kept"
    QUEUED = "queued"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages are meant; what is None does not matter. `since` is inclusive, `until` exclusive.

    `device` is an external id or, for messages that tell none, the pattern under which `quarantined` lists them;
    `decoder` a name, or a name with its version (`ttn_v3@1`).
    """

    ids: Sequence[int] | None = None
    reason: str | None = None
    source: str | None = None
    device: str | None = None
    topic_prefix: str | None = None
    decoder: str | None = None
    state: RejectedState | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it down."""
        return all(value is None for value in self._fields().values())

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def parameters(self) -> dict[str, Any]:
        """As the statements take it."""
        return {
            **self._fields(),
            "ids": None if self.ids is None else list(self.ids),
            **_pattern(self.device),
        }


class RejectedRow(NamedTuple):
    """One rejected message without its bytes. `size` is their number."""

    rejected_id: int
    received_at: datetime
    topic: str
    source: str | None
    external_id: str | None
    reason: str
    detail: str
    decoder: str | None
    content_type: str | None
    retained: bool
    state: str
    replayed_at: datetime | None
    replays: int
    size: int


class KeptMessage(NamedTuple):
    """One rejected message with its bytes."""

    row: RejectedRow
    payload: bytes


class SummaryRow(NamedTuple):
    """How many messages there are of one kind."""

    reason: str
    source: str | None
    decoder: str | None
    state: str
    messages: int
    first_seen: datetime
    last_seen: datetime


class QuarantinedDevice(NamedTuple):
    """A device that is not understood. `device` is its id or, where `external_id` is None, the pattern of its topics.

    `topic` and `decoder` are those of the newest message, `reasons` how many messages have each reason, `latest` the
    ids of the last five messages, newest first. `family` and `state` are those of the thing, if there is one.
    """

    device: str
    external_id: str | None
    topic: str
    source: str | None
    decoder: str | None
    messages: int
    first_seen: datetime
    last_seen: datetime
    reasons: Mapping[str, int]
    latest: Sequence[int]
    family: str | None
    state: str | None


class QueuedMessage(NamedTuple):
    """A message to be replayed, as it arrived."""

    rejected_id: int
    received_at: datetime
    topic: str
    payload: bytes
    content_type: str | None
    retained: bool
    source: str | None


class Settlement(NamedTuple):
    """What the replay of one message came to; `reason` and `detail` are needed where it was not understood again.

    `payload` are its bytes as they may be kept today; None leaves what is kept.
    """

    rejected_id: int
    understood: bool
    reason: str | None = None
    detail: str | None = None
    decoder: str | None = None
    external_id: str | None = None
    payload: bytes | None = None


class RejectedRepository:
    """Reads and moves rejected messages. Every method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, selection: Selection, *, limit: int, before: int | None = None) -> Sequence[RejectedRow]:
        """Messages with an id less than `before`, newest first."""
        wanted = {**selection.parameters(), "limit": limit, "before": before}
        return [RejectedRow(*row) for row in await self._rows("rejected_list", wanted)]

    async def with_bytes(self, ids: Sequence[int]) -> Sequence[KeptMessage]:
        """These messages with their payloads, newest first; those that do not exist are absent."""
        rows = await self._rows("rejected_with_bytes", {"ids": list(ids)})
        return [KeptMessage(RejectedRow(*row[:-1]), bytes(row[-1])) for row in rows]

    async def summary(
        self, since: datetime | None = None, until: datetime | None = None, *, limit: int = 1000
    ) -> Sequence[SummaryRow]:
        """Counts by reason, source, decoder and state, the largest first."""
        wanted = {"since": since, "until": until, "limit": limit}
        return [SummaryRow(*row) for row in await self._rows("rejected_summary", wanted)]

    async def quarantined(
        self,
        *,
        limit: int,
        device: str | None = None,
        since: datetime | None = None,
        after: tuple[datetime, str] | None = None,
        reasons: Sequence[str] = ADOPTABLE,
    ) -> Sequence[QuarantinedDevice]:
        """Devices with kept messages of these reasons, the last seen first.

        `after` is the (last seen, device) of the last one of the page before.
        """
        wanted = {
            "device": device,
            "since": since,
            "reasons": [str(reason) for reason in reasons],
            "before": after[0] if after else None,
            "after": after[1] if after else "",
            **_pattern(device),
            "limit": limit,
        }
        return [QuarantinedDevice(*row) for row in await self._rows("quarantine_devices", wanted)]

    async def countable(self, selection: Selection, target: RejectedState = RejectedState.QUEUED) -> int:
        """How many messages `queue` (or `discard`) would take."""
        return int((await self._rows("rejected_count", {**selection.parameters(), "target": target}))[0][0])

    async def queue(self, selection: Selection) -> int:
        """Queue what is selected for a replay and wake the workers; returns how many messages.

        Only kept messages are queued; discarded ones if the selection names that state.
        """
        async with self._database.connection() as connection, connection.cursor() as cursor:
            return await queue(cursor, selection)

    async def take_queued(self, limit: int, *, most_bytes: int = MOST_BYTES_AT_ONCE) -> Sequence[QueuedMessage]:
        """Queued messages that no worker has in an open transaction, oldest first.

        Nothing is held afterwards: two workers may take the same message. What they store is the same, and the first
        to `settle` it decides what is said of it.
        """
        async with self._database.connection() as connection, connection.cursor() as cursor:
            return await take_queued(cursor, limit, most_bytes=most_bytes)

    async def discard(self, selection: Selection) -> int:
        """Mark kept messages as of no use; they stay until they are too old. Returns how many."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            return await _move(cursor, selection, RejectedState.DISCARDED)

    async def delete(self, older_than: timedelta) -> int:
        """Delete messages that were received longer ago, but for those that wait for a replay; returns how many."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["rejected_delete"], {"older_than": older_than})
            return cursor.rowcount

    async def _rows(self, statement: str, parameters: dict[str, Any]) -> Sequence[TupleRow]:
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL[statement], parameters)
            return await cursor.fetchall()


async def queue(cursor: AsyncCursor[TupleRow], selection: Selection) -> int:
    """Queue what is selected within the caller's transaction; the workers are woken by its COMMIT."""
    count = await _move(cursor, selection, RejectedState.QUEUED)
    if count:
        await cursor.execute(SQL["rejected_notify"])
    return count


async def _move(cursor: AsyncCursor[TupleRow], selection: Selection, target: RejectedState) -> int:
    """Move what is selected, so many at a time that no statement runs into its time-out."""
    wanted = {**selection.parameters(), "target": target, "limit": _MOVED_AT_ONCE}
    moved, last = 0, 0
    while True:
        await cursor.execute(SQL["rejected_move"], {**wanted, "after": last})
        row = await cursor.fetchone()
        if row is None or row[1] is None:
            return moved
        moved, last = moved + row[0], row[1]


async def take_queued(
    cursor: AsyncCursor[TupleRow], limit: int, *, most_bytes: int = MOST_BYTES_AT_ONCE
) -> Sequence[QueuedMessage]:
    """Queued messages that no other worker holds, oldest first; they are this worker's until its transaction ends."""
    await cursor.execute(SQL["rejected_take"], {"limit": limit, "most_bytes": most_bytes})
    return [
        QueuedMessage(number, received_at, topic, bytes(payload), content_type, retained, source)
        for number, received_at, topic, payload, content_type, retained, source in await cursor.fetchall()
    ]


async def settle(cursor: AsyncCursor[TupleRow], settlements: Sequence[Settlement]) -> None:
    """Write what replays came to, in the transaction that stores their observations.

    A message that is not queued any more was settled by another worker and is left as it is.
    """
    ordered = sorted(settlements, key=lambda each: each.rejected_id)  # one order: no deadlocks
    await cursor.executemany(SQL["rejected_settle"], [settlement._asdict() for settlement in ordered])
