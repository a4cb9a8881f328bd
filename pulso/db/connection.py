"""Connections: a pool per process, and one dedicated connection for LISTEN."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pulso.errors import ConfigurationError, NotStorable, StorageError
from pulso.settings import DatabaseSettings

log = structlog.get_logger()

Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]

# The data are at fault, not the server: a value no column can hold, a broken constraint, a key too long for an index,
# text that is no Unicode. Everything else (connection, deadlock, time-out, full disk) passes or is mended.
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded, UnicodeEncodeError)

# A server that vanished without a word (power, firewall) is noticed after half a minute, not after two hours.
_NOTICE_DEAD_PEERS = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


_LONGEST_PAUSE = 2.0  # seconds between two attempts to listen: how late news may be after an outage


class Database:
    """A pool of connections whose failures come out as StorageError."""

    def __init__(self, pool: Pool, conninfo: str) -> None:
        self._pool = pool
        self.conninfo = conninfo

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """A connection from the pool, in a transaction that commits when the block ends without an error.

        Raises StorageError for whatever psycopg raises inside the block, commit included; NotStorable, which is one,
        if the data are at fault.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except _REFUSALS as error:
            raise NotStorable(f"{type(error).__name__}: {error}") from error
        except (psycopg.Error, PoolTimeout) as error:
            raise StorageError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()


def conninfo(settings: DatabaseSettings) -> str:
    """The libpq connection string of `settings`, with what all our sessions have in common.

    Raises ConfigurationError for an address libpq cannot read, without repeating it: there may be a password in it.
    """
    try:
        given = conninfo_to_dict(settings.url.get_secret_value()).get("options") or ""
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            "PULSO_DB_URL is neither a postgresql:// address nor a libpq connection string"
        ) from None
    common: dict[str, str | int] = {"connect_timeout": 5, **_NOTICE_DEAD_PEERS}
    # Compiling a short statement over many chunks takes longer than running it: no JIT.
    ours = f"-c timezone=UTC -c jit=off -c statement_timeout={int(settings.statement_timeout * 1000)}"
    return make_conninfo(settings.url.get_secret_value(), **common, options=f"{given} {ours}".strip())


async def _prepare_session(connection: AsyncConnection[TupleRow]) -> None:
    # A thousand parameters per plan are re-planned otherwise; our statements have one good plan each.
    connection.prepare_threshold = 3


async def open_database(settings: DatabaseSettings, *, wait: float = 30.0) -> Database:
    """Open the pool. Raises StorageError if no connection can be had within `wait` seconds."""
    where = conninfo(settings)
    pool: Pool = AsyncConnectionPool(
        where,
        min_size=1,
        max_size=settings.pool_size,
        open=False,
        timeout=10.0,
        reconnect_timeout=wait,  # pauses between attempts double; whoever asks after it begins anew with short ones
        configure=_prepare_session,
        check=AsyncConnectionPool.check_connection,
    )
    try:
        await pool.open(wait=True, timeout=wait)
    except PoolTimeout as error:
        await pool.close()
        here = (
            " (no `pulso up` runs in this directory, and PULSO_DB_URL is not set, so PGHOST and its kin apply:"
            " go to the directory in which it was started, or set PULSO_DB_URL)"
        )
        hint = "" if settings.url.get_secret_value() else here
        reason = await asyncio.to_thread(_last_failure, where)
        raise StorageError(f"no database within {wait:g} s{hint}: {reason}") from error
    return Database(pool, where)


def _last_failure(where: str) -> str:
    try:
        psycopg.connect(where).close()
    except psycopg.Error as error:
        return str(error)
    return "it has just come up; try again"


async def connect_forever(settings: DatabaseSettings) -> Database:
    """Open the pool, trying again with a jittered back-off until the database answers."""
    delay = 0.2
    while True:
        try:
            return await open_database(settings, wait=3.0)
        except StorageError as error:
            log.warning("database_unreachable", error=str(error), retry_in=round(delay, 2))
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 (jitter, not a secret)
            delay = min(delay * 2, 5.0)


async def listen(database: Database, wakes: Mapping[str, asyncio.Event]) -> None:
    """Set the event of a channel whenever it is notified, and all after each (re)connection; runs until cancelled.

    A notification is only a hint to look: after a lost connection every event is set, so nothing is missed.
    """
    delay = 0.0
    while True:
        try:
            async with await AsyncConnection.connect(database.conninfo, autocommit=True) as connection:
                for channel in wakes:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                for wake in wakes.values():
                    wake.set()
                delay = 0.0
                async for notification in connection.notifies():
                    wakes[notification.channel].set()
        except psycopg.Error as error:
            if not delay:  # an outage is told once, not at every attempt
                log.warning("listen_interrupted", error=str(error))
            delay = min(max(2 * delay, 0.5), _LONGEST_PAUSE)
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 (jitter, not a secret)
