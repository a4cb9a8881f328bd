"""Storing observations exactly once: COPY what is new; where a key is known, look which, and settle what came again."""

import weakref
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import UniqueViolation
from psycopg.rows import TupleRow

from pulso.db.binary import MINUS_INFINITY, Column, encode_rows
from pulso.db.connection import Database
from pulso.db.corrections import Version, settle
from pulso.db.sql import SQL
from pulso.frame import ObservationFrame, encode
from pulso.model import from_micros, to_micros

NO_TIME = MINUS_INFINITY  # stands for "not told" in int64 columns of times

_STAGE = (
    ("ord", "int4"),
    ("datastream_id", "int4"),
    ("phenomenon_time", "timestamptz"),
    ("result", "float8"),
    ("quality", "int2"),
    ("received_at", "timestamptz"),
    ("result_time", "timestamptz"),
    ("flags", "int2"),
)
_SENT = (("sent_result", "float8"), ("sent_unit", "int2"))
_STAGE_SENT = (*_STAGE, *_SENT)
_PLAIN = tuple(column for column in _STAGE if column[0] not in ("ord", "result_time"))
_TOLD = (*_PLAIN, ("result_time", "timestamptz"), *_SENT)

_WARY = 100
"""Batches that are looked up first after one that held a key which was known: such come in company."""


@dataclass(frozen=True, slots=True)
class ObservationColumns:
    """Observations to store, as columns of equal length, in order of arrival.

    Times are int64 microseconds since 1970 UTC; `result_time` is NO_TIME where the message did not tell.
    `datastream_id` int32, `result` float64 in the datastream's unit, `quality` int16, `flags` int16 (why it is not
    trusted). `sent` holds what stood in the message, (value, unit), for the rows that were converted.
    """

    datastream_id: NDArray[np.int32]
    phenomenon_time: NDArray[np.int64]
    result: NDArray[np.float64]
    quality: NDArray[np.int16]
    received_at: NDArray[np.int64]
    result_time: NDArray[np.int64]
    flags: NDArray[np.int16]
    sent: Mapping[int, tuple[float, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.datastream_id)

    def version(self, row: int, sent_units: Mapping[str, int]) -> Version:
        """One row as a version of its key; `sent_units` are the numbers of units."""
        told = int(self.result_time[row])
        sent_result, sent_unit = self.sent.get(row, (None, ""))
        return Version(
            float(self.result[row]),
            int(self.quality[row]),
            from_micros(int(self.received_at[row])),
            None if told == NO_TIME else from_micros(told),
            int(self.flags[row]),
            sent_result,
            sent_units.get(sent_unit),
        )


class Outcome(IntEnum):
    """What became of one arriving observation."""

    INSERTED = 0
    CORRECTED = 1  # it took the place of another result
    DUPLICATE = 2  # nothing changed
    SUPERSEDED = 3  # it is older than what stands; kept among the corrections


class RejectedMessage(NamedTuple):
    """A message that could not be understood, as it is kept."""

    received_at: datetime
    topic: str
    payload: bytes
    reason: str
    detail: str
    decoder: str | None
    fingerprint: bytes
    redelivered: bool
    source: str | None = None
    external_id: str | None = None
    content_type: str | None = None
    retained: bool = False


Write = Callable[[AsyncCursor[TupleRow]], Awaitable[object]]
"""Something that is written in the transaction that stores a batch."""

Key = tuple[int, datetime]


class ObservationStore:
    """Writes observations, rejected messages and the hand-off to the engine in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._staged: weakref.WeakSet[AsyncConnection[TupleRow]] = weakref.WeakSet()
        self._sent_units: dict[str, int] = {}
        self._wary = 0  # batches for which we shall look first

    async def store(
        self,
        columns: ObservationColumns,
        rejected: Sequence[RejectedMessage] = (),
        also: Callable[[NDArray[np.int8]], Iterable[Write]] = lambda _: (),
    ) -> NDArray[np.int8]:
        """Store all of it or nothing; returns the `Outcome` of each row. Raises StorageError.

        Calling it again with the same columns changes nothing and returns DUPLICATE for every row. `also` is told the
        outcomes and names what else belongs into the transaction.
        """
        await self._know_units(unit for _, unit in columns.sent.values())
        outcomes = np.full(len(columns), Outcome.INSERTED, np.int8)
        async with self._database.connection() as connection, connection.cursor() as cursor:
            if connection not in self._staged:
                await cursor.execute(SQL["observation_stage_create"])
            if len(columns):
                await self._store_observations(cursor, columns, outcomes)
            if rejected:
                await cursor.executemany(SQL["rejected_insert"], [message._asdict() for message in rejected])
            for each in also(outcomes):
                await each(cursor)
        self._staged.add(connection)
        return outcomes

    async def _know_units(self, units: Iterable[str]) -> None:
        """Give units that nobody sent so far a number, in a transaction of its own: a number harms nobody."""
        wanted = set(units)
        while strangers := sorted(wanted - self._sent_units.keys()):
            # A statement does not see what another worker made meanwhile; the next one does.
            async with self._database.connection() as connection, connection.cursor() as cursor:
                await cursor.execute(SQL["sent_unit_ensure"], {"codes": strangers})
                self._sent_units |= dict(await cursor.fetchall())

    async def _store_observations(
        self, cursor: AsyncCursor[TupleRow], columns: ObservationColumns, outcomes: NDArray[np.int8]
    ) -> None:
        first, repeated = _first_of_each_key(columns)
        if await self._copied(cursor, columns, first):
            again = np.empty(0, np.int64)
        else:
            again = await self._insert(cursor, columns, first)
        outcomes[again] = outcomes[repeated] = Outcome.DUPLICATE
        differing = await _differing(cursor, columns, again, repeated)
        if differing:
            await _settle(cursor, columns, differing, outcomes, self._sent_units)
        changed = np.flatnonzero((outcomes == Outcome.INSERTED) | (outcomes == Outcome.CORRECTED))
        if len(changed):
            frame = _frame(columns, changed, outcomes)
            await cursor.execute(SQL["observation_batch_insert"], {"observations": len(frame), "frame": encode(frame)})
            await cursor.execute(SQL["observation_batch_notify"])

    async def _copied(
        self, cursor: AsyncCursor[TupleRow], columns: ObservationColumns, rows: NDArray[np.int64]
    ) -> bool:
        """Copy `rows`, unless one of their keys is known, or is likely to be: then nothing is written."""
        if self._wary:
            self._wary -= 1
            return False
        await cursor.execute(SQL["observation_savepoint"])
        try:
            told = columns.sent or (columns.result_time != NO_TIME).any()
            async with cursor.copy(SQL["observation_copy_told" if told else "observation_copy"]) as copy:
                await copy.write(_told(columns, rows, self._sent_units) if told else _plain(columns, rows))
        except UniqueViolation:
            await cursor.execute(SQL["observation_roll_back"])
            self._wary = _WARY
            return False
        await cursor.execute(SQL["observation_release"])
        return True

    async def _insert(
        self, cursor: AsyncCursor[TupleRow], columns: ObservationColumns, rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Insert those of `rows` whose key is not known; returns the others."""
        async with cursor.copy(
            SQL["observation_stage_copy_sent" if columns.sent else "observation_stage_copy"]
        ) as copy:
            await copy.write(_staged(columns, rows, self._sent_units))
        await cursor.execute(SQL["observation_insert"])
        return np.fromiter((place for (place,) in await cursor.fetchall()), np.int64)


def _first_of_each_key(columns: ObservationColumns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are the first of their key, sorted by key, and the others in order of arrival."""
    order = np.lexsort((columns.phenomenon_time, columns.datastream_id))  # stable: arrival decides among equals
    ids, times = columns.datastream_id[order], columns.phenomenon_time[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (ids[1:] != ids[:-1]) | (times[1:] != times[:-1])
    return order[is_first], np.sort(order[~is_first])


def _plain(columns: ObservationColumns, rows: NDArray[np.int64]) -> bytes:
    return encode_rows(_PLAIN, {name: getattr(columns, name)[rows] for name, _ in _PLAIN})


def _told(columns: ObservationColumns, rows: NDArray[np.int64], sent_units: Mapping[str, int]) -> bytes:
    values = {name: getattr(columns, name)[rows] for name, _ in (*_PLAIN, ("result_time", ""))}
    sent = {name: column[rows] for name, column in _sent(columns, sent_units).items()}
    unsent = sent["sent_unit"] == 0
    nulls = {"result_time": values["result_time"] == NO_TIME, "sent_result": unsent, "sent_unit": unsent}
    return encode_rows(_TOLD, values | sent, nulls)


def _staged(columns: ObservationColumns, rows: NDArray[np.int64], sent_units: Mapping[str, int]) -> bytes:
    """`rows` as the stage takes them: `ord` is the row's place in the batch."""
    values = {"ord": rows} | {name: getattr(columns, name)[rows] for name, _ in _STAGE[1:]}
    if not columns.sent:
        return encode_rows(_STAGE, values)
    return encode_rows(
        _STAGE_SENT, values | {name: column[rows] for name, column in _sent(columns, sent_units).items()}
    )


def _sent(columns: ObservationColumns, sent_units: Mapping[str, int]) -> dict[str, Column]:
    """What stood in the message: NaN and unit 0 where nothing was converted."""
    sent_result, sent_unit = np.full(len(columns), np.nan), np.zeros(len(columns), np.int16)
    for row, (value, unit) in columns.sent.items():
        sent_result[row], sent_unit[row] = value, sent_units[unit]
    return {"sent_result": sent_result, "sent_unit": sent_unit}


async def _differing(
    cursor: AsyncCursor[TupleRow],
    columns: ObservationColumns,
    again: NDArray[np.int64],
    repeated: NDArray[np.int64],
) -> list[int]:
    """Rows, in order of arrival, whose key stands with another result, or stands twice in this batch."""
    rows: set[int] = set()
    if len(again):
        times = columns.phenomenon_time[again]
        bounds = {"first": from_micros(times.min()), "last": from_micros(times.max())}
        await cursor.execute(SQL["observation_differing"], {"places": again.tolist(), **bounds})
        rows.update(place for (place,) in await cursor.fetchall())
    rows.update(_repeats_worth_a_look(columns, repeated))
    return sorted(rows)


def _repeats_worth_a_look(columns: ObservationColumns, repeated: NDArray[np.int64]) -> Iterable[int]:
    """Rows that repeat a key of this batch; exact copies of an earlier row of theirs are left out."""
    seen: dict[tuple[int, int], set[tuple[float, int]]] = defaultdict(set)
    if not len(repeated):
        return
    keys = {(int(columns.datastream_id[row]), int(columns.phenomenon_time[row])) for row in repeated}
    ids = np.array(sorted({key[0] for key in keys}), np.int32)
    for row in np.flatnonzero(np.isin(columns.datastream_id, ids)):
        key = (int(columns.datastream_id[row]), int(columns.phenomenon_time[row]))
        if key in keys:
            version = (float(columns.result[row]), int(columns.result_time[row]))
            if seen[key] and version not in seen[key]:
                yield int(row)
            seen[key].add(version)


async def _settle(
    cursor: AsyncCursor[TupleRow],
    columns: ObservationColumns,
    rows: Sequence[int],
    outcomes: NDArray[np.int8],
    sent_units: Mapping[str, int],
) -> None:
    """Decide for `rows`, in order of arrival, which version stands, and write what changes."""
    keys: dict[Key, list[int]] = defaultdict(list)
    for row in rows:
        keys[int(columns.datastream_id[row]), from_micros(int(columns.phenomenon_time[row]))].append(row)
    stored, superseded = await _known_versions(cursor, list(keys))
    for (datastream_id, phenomenon_time), places in keys.items():
        key = (datastream_id, phenomenon_time)
        settled = settle(stored[key], superseded[key], [columns.version(place, sent_units) for place in places])
        named = {"datastream_id": datastream_id, "phenomenon_time": phenomenon_time}
        if settled.stands is not stored[key]:
            await cursor.execute(SQL["observation_replace"], {**settled.stands._asdict(), **named})
        for version in settled.replaced:
            await cursor.execute(SQL["observation_keep_superseded"], {**version._asdict(), **named})
        for place, verdict in zip(places, settled.verdicts, strict=True):
            outcomes[place] = Outcome[verdict.name]


async def _known_versions(
    cursor: AsyncCursor[TupleRow], keys: Sequence[Key]
) -> tuple[dict[Key, Version], dict[Key, list[Version]]]:
    times = [key[1] for key in keys]
    wanted = {"datastream_ids": [key[0] for key in keys], "phenomenon_times": times}
    await cursor.execute(SQL["observation_lock_existing"], {**wanted, "first": min(times), "last": max(times)})
    stored = {(row[0], row[1]): Version(*row[2:]) for row in await cursor.fetchall()}
    await cursor.execute(SQL["observation_superseded"], wanted)
    superseded: dict[Key, list[Version]] = defaultdict(list)
    for datastream_id, phenomenon_time, *version in await cursor.fetchall():
        superseded[datastream_id, phenomenon_time].append(Version(*version))
    return stored, superseded


def _frame(columns: ObservationColumns, rows: NDArray[np.int64], outcomes: NDArray[np.int8]) -> ObservationFrame:
    return ObservationFrame(
        columns.datastream_id[rows],
        columns.phenomenon_time[rows],
        columns.result[rows],
        columns.quality[rows],
        outcomes[rows] == Outcome.CORRECTED,
    )


def micros_or_none(moment: datetime | None) -> int:
    """The int64 column value of an optional time."""
    return NO_TIME if moment is None else to_micros(moment)
