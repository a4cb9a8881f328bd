"""The database of the web process: may be away at any time, never takes the process with it."""

import asyncio
import random
from datetime import datetime, timedelta

import structlog

from pulso.clock import Clock
from pulso.db import Database, open_database, pending
from pulso.db.reading import ReadingRepository
from pulso.errors import StorageError
from pulso.settings import DatabaseSettings

log = structlog.get_logger()


class DatabaseGate:
    """Holds the pool while there is one; without one, whoever asks is refused at once instead of waiting."""

    def __init__(self, settings: DatabaseSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._database: Database | None = None
        self.away_since: datetime | None = clock.now()

    @property
    def database(self) -> Database:
        """The pool. Raises StorageError while the database is away."""
        if self._database is None:
            raise StorageError("the database is not reachable")
        return self._database

    @property
    def reading(self) -> ReadingRepository:
        """The read queries. Raises StorageError while the database is away."""
        return ReadingRepository(self.database)

    async def reopen(self, pause: timedelta = timedelta(seconds=1)) -> None:
        """Drop the pool, if any, and try until a new one is open.

        A new pool instead of waiting for the old: psycopg_pool doubles its pause after each failed attempt,
        so after an outage of minutes it would need minutes more to notice that the database is back.
        """
        await self._drop()
        while True:
            try:
                self._database = await open_database(self._settings, wait=3.0)
            except StorageError as error:
                log.warning("database_unreachable", error=str(error))
                await self._clock.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (jitter, not a secret)
            else:
                self.away_since = None
                log.info("database_reachable")
                return

    async def close(self) -> None:
        """Close all connections."""
        await self._drop()

    async def pending_migrations(self) -> list[str]:
        """Names of the migrations this version needs and the database lacks. Raises StorageError."""
        missing = await asyncio.to_thread(pending, self.database.conninfo)
        return [migration.name for migration in missing]

    async def _drop(self) -> None:
        if self.away_since is None:
            self.away_since = self._clock.now()
        database, self._database = self._database, None
        if database is not None:
            await database.close()
