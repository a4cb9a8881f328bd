"""The tail of the hand-off: batches that ingest committed, in an order that cannot skip one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pulso.db.session import Transaction
from pulso.db.sql import SQL
from pulso.frame import ObservationFrame, decode


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
    return await _read(transaction, "batches_next", after, limit)


async def read_unconsumed(transaction: Transaction, after: Position) -> list[Batch]:
    """Every batch after `after` whose observations this transaction can see in the tables."""
    return await _read(transaction, "batches_visible", after, None)


async def _read(transaction: Transaction, statement: str, after: Position, limit: int | None) -> list[Batch]:
    cursor = await transaction.execute(
        SQL[statement],
        {"transaction_id": str(after.transaction_id), "batch_id": after.batch_id, "limit": limit},
        binary=True,
    )
    rows: Sequence[tuple[str, int, datetime, bytes]] = await cursor.fetchall()
    return [
        Batch(Position(int(transaction_id), batch_id), stored_at, decode(frame))
        for transaction_id, batch_id, stored_at, frame in rows
    ]


async def delete_consumed(transaction: Transaction, older_than: timedelta) -> int:
    """Delete batches that every consumer is done with and that are older than that; returns how many."""
    cursor = await transaction.execute(SQL["batches_delete"], {"older_than": older_than})
    return cursor.rowcount
