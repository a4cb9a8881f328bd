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
    """Holds the pools while there are any; without, whoever asks is refused at once instead of waiting.

    The live feed has a connection of its own: busy requests would keep it waiting, and the wall would say that the
    database is away.
    """

    def __init__(self, settings: DatabaseSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._database: Database | None = None
        self._live: Database | None = None
        self.away_since: datetime | None = clock.now()

    @property
    def database(self) -> Database:
        """The pool of requests. Raises StorageError while the database is away."""
        return _there(self._database)

    @property
    def reading(self) -> ReadingRepository:
        """The read queries of requests. Raises StorageError while the database is away."""
        return ReadingRepository(self.database)

    @property
    def live_reading(self) -> ReadingRepository:
        """The read queries of the live feed. Raises StorageError while the database is away."""
        return ReadingRepository(_there(self._live))

    async def reopen(self, pause: timedelta = timedelta(seconds=1)) -> None:
        """Drop the pools, if any, and try until new ones are open.

        New pools instead of waiting for the old: psycopg_pool doubles its pause after each failed attempt,
        so after an outage of minutes it would need minutes more to notice that the database is back.
        """
        await self._drop()
        while True:
            try:
                self._live = await open_database(self._settings.model_copy(update={"pool_size": 1}), wait=3.0)
                self._database = await open_database(self._settings, wait=3.0)
            except StorageError as error:
                await self._drop()
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
        pools = (self._live, self._database)
        self._live = self._database = None
        for pool in pools:
            if pool is not None:
                await pool.close()


def _there(database: Database | None) -> Database:
    if database is None:
        raise StorageError("the database is not reachable")
    return database
