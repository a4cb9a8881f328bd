"""The tail of the hand-off: batches that ingest committed, in an order that cannot skip one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import structlog
from numpy.typing import NDArray

from pulso.db.session import Transaction
from pulso.db.sql import SQL
from pulso.frame import ObservationFrame, decode

log = structlog.get_logger()

_BATCHES_AT_ONCE = 100


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The last batch that was consumed: order is that of transactions, then of batches within one."""

    transaction_id: int = 0
    batch_id: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """One committed batch of ingest."""

    position: Position
    stored_at: datetime
    frame: ObservationFrame


async def read_position(transaction: Transaction, consumer: str) -> Position:
    """Where `consumer` stands; before the first batch if it never consumed one."""
    cursor = await transaction.execute(SQL["position_read"], {"consumer": consumer})
    row = await cursor.fetchone()
    return Position(int(row[0]), int(row[1])) if row else Position()


async def take_position(transaction: Transaction, consumer: str) -> Position:
    """Where `consumer` goes on; call it before anything is read.

    In a database that was loaded from a dump, position and batches bear transaction numbers of the server they come
    from, which this one may reach in years: batches that were consumed there are deleted, the others renumbered.
    """
    position = await read_position(transaction, consumer)
    numbers = {"transaction_id": str(position.transaction_id), "batch_id": position.batch_id}
    cursor = await transaction.execute(SQL["position_is_foreign"], numbers)
    row = await cursor.fetchone()
    if row is None or not row[0]:
        return position
    log.warning("positions_of_another_server", consumer=consumer, why="the database was loaded from a dump")
    await transaction.execute(SQL["batches_delete_consumed_abroad"], numbers)
    await transaction.execute(SQL["batches_renumber"])
    await save_position(transaction, consumer, Position())
    return Position()


async def save_position(transaction: Transaction, consumer: str, position: Position) -> None:
    """Remember that `consumer` is done up to `position`, in the transaction that saves its results."""
    await transaction.execute(
        SQL["position_save"],
        {"consumer": consumer, "transaction_id": str(position.transaction_id), "batch_id": position.batch_id},
    )


async def read_batches(transaction: Transaction, after: Position, limit: int) -> list[Batch]:
    """The next batches after `after`, at most `limit`.

    Only transactions older than every running one are read: a batch with a smaller transaction id cannot appear
    afterwards, so nothing is ever skipped, however long a writer takes to commit.
    """
    cursor = await transaction.execute(
        SQL["batches_next"],
        {"transaction_id": str(after.transaction_id), "batch_id": after.batch_id, "limit": limit},
        binary=True,
    )
    rows: Sequence[tuple[str, int, datetime, bytes]] = await cursor.fetchall()
    return [
        Batch(Position(int(transaction_id), batch_id), stored_at, decode(frame))
        for transaction_id, batch_id, stored_at, frame in rows
    ]


async def read_unconsumed(
    transaction: Transaction, after: Position, datastream_ids: NDArray[np.int64]
) -> list[ObservationFrame]:
    """What batches after `after` hold of these datastreams and this transaction can see in the tables.

    Batches are read a few at a time: after an outage there may be more of them than fit into memory.
    """
    found: list[ObservationFrame] = []
    async with transaction.cursor("unconsumed", binary=True) as cursor:
        cursor.itersize = _BATCHES_AT_ONCE
        await cursor.execute(
            SQL["batches_visible"], {"transaction_id": str(after.transaction_id), "batch_id": after.batch_id}
        )
        async for (data,) in cursor:
            frame = decode(data)
            rows = np.isin(frame.datastream_id, datastream_ids)
            if rows.any():
                found.append(frame.select(rows))
    return found


async def delete_consumed(transaction: Transaction, older_than: timedelta) -> int:
    """Delete batches that every consumer is done with and that are older than that; returns how many."""
    cursor = await transaction.execute(SQL["batches_delete"], {"older_than": older_than})
    return cursor.rowcount
