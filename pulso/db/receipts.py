"""When messages without a time of their own were received, for the minutes in which they may be delivered again."""

from datetime import timedelta

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from pulso.db.connection import Database
from pulso.db.sql import SQL


async def save(cursor: AsyncCursor[TupleRow], receipts: bytes) -> None:
    """Keep the receipts of a batch, in the transaction that stores it."""
    await cursor.execute(SQL["receipts_save"], {"receipts": receipts})


class ReceiptRepository:
    """Reads `message_receipts`. Every method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(self, age: timedelta) -> list[bytes]:
        """Receipts of the batches of the last `age`, of all workers, oldest first."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["receipts_recent"], {"age": age})
            return [bytes(receipts) for (receipts,) in await cursor.fetchall()]

    async def delete(self, older_than: timedelta) -> int:
        """Delete what is too old to be of use; returns how many batches."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["receipts_delete"], {"older_than": older_than})
            return cursor.rowcount
