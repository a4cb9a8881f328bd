"""What decoders have to remember between messages, for every worker and over restarts."""

from collections.abc import Mapping

from psycopg import AsyncCursor
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from pulso.db.connection import Database
from pulso.db.sql import SQL


class MemoryRepository:
    """Learned values by key; every change notifies `pulso_memory`. Every method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> dict[str, object]:
        """All that is remembered."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["memory_load"])
            return {str(key): value for key, value in await cursor.fetchall()}

    async def save(self, learned: Mapping[str, object]) -> bool:
        """`save` in a transaction of its own."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            return await save(cursor, learned)


async def save(cursor: AsyncCursor[TupleRow], learned: Mapping[str, object]) -> bool:
    """Remember JSON values by key; a key whose value is None is forgotten. Returns whether anything changed.

    What was known already changes nothing and wakes nobody. Other workers are told by the caller's COMMIT.
    """
    kept = sorted(key for key, value in learned.items() if value is not None)  # one order: no deadlocks
    forgotten = sorted(key for key, value in learned.items() if value is None)
    changed = 0
    if kept:
        await cursor.execute(SQL["memory_save"], {"keys": kept, "values": [Jsonb(learned[key]) for key in kept]})
        changed += cursor.rowcount
    if forgotten:
        await cursor.execute(SQL["memory_forget"], {"keys": forgotten})
        changed += cursor.rowcount
    if changed:
        await cursor.execute(SQL["memory_notify"])
    return changed > 0
