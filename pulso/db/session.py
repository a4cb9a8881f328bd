"""Sessions of their own: of the one service that may work at a time, and of those that only look."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import structlog
from psycopg import AsyncConnection, IsolationLevel
from psycopg.rows import TupleRow

from pulso.db.connection import Database
from pulso.db.sql import SQL
from pulso.errors import StorageError

log = structlog.get_logger()

Transaction = AsyncConnection[TupleRow]


class Session:
    """A connection whose transactions each see one moment of the database."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One REPEATABLE READ transaction: all reads see the same moment. Raises StorageError, commit included."""
        try:
            async with self._connection.transaction():
                yield self._connection
        except psycopg.Error as error:
            raise StorageError(f"{type(error).__name__}: {error}") from error


@asynccontextmanager
async def exclusive_session(database: Database, name: str) -> AsyncIterator[Session]:
    """Connect, wait until no other process holds the lock of that name, and keep it. Raises StorageError.

    Whoever loses the connection loses the lock with it, so two holders never write.
    """
    async with _connected(database) as connection:
        await _take_lock(connection, name)
        await connection.execute(SQL["engine_stages"])
        await connection.commit()
        yield Session(connection)


@asynccontextmanager
async def reading_session(database: Database) -> AsyncIterator[Session]:
    """Connect without any lock, for reading only. Raises StorageError."""
    async with _connected(database) as connection:
        await connection.set_read_only(True)
        yield Session(connection)


@asynccontextmanager
async def _connected(database: Database) -> AsyncIterator[AsyncConnection[TupleRow]]:
    try:
        async with await AsyncConnection.connect(database.conninfo) as connection:
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            yield connection
    except psycopg.Error as error:
        raise StorageError(f"{type(error).__name__}: {error}") from error


async def _take_lock(connection: AsyncConnection[TupleRow], name: str) -> None:
    told = False
    while True:
        cursor = await connection.execute(SQL["session_lock"], {"name": name})
        row = await cursor.fetchone()
        await connection.commit()
        if row is not None and row[0]:
            return
        if not told:
            log.info("standing_by", lock=name, why="another process does this work; taking over when it leaves")
            told = True
        await asyncio.sleep(random.uniform(0.5, 1.0))  # noqa: S311 (jitter, not a secret)
