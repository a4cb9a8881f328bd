"""The running engine: waits, steps, and starts over from the database whenever something failed."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from kpi_engine import metrics
from kpi_engine.catalogue import Indicator, load_catalogue
from kpi_engine.engine import Engine
from kpi_engine.things import Roster
from pulso.city import CityPack, load_pack
from pulso.clock import Clock, SystemClock
from pulso.db.batches import delete_consumed
from pulso.db.connection import Database, connect_forever, listen
from pulso.db.session import Session, exclusive_session
from pulso.db.things import ThingRepository
from pulso.errors import StorageError
from pulso.health import HealthServer
from pulso.lifecycle import stop_on_signals
from pulso.settings import CitySettings, DatabaseSettings, EngineSettings, HealthSettings

log = structlog.get_logger()

_TIDY_EVERY = 60.0  # seconds between two deletions of consumed batches
_LEAVE_WITHIN = 15.0  # seconds a stopping engine has to commit its last step
_FIRST_RETRY, _LAST_RETRY = 0.2, 5.0


@dataclass
class Status:
    """What the health page asks: whether this process holds the lock and its last step succeeded."""

    working: bool = False


class Service:
    """Steps once per tick while there is news, at once after a pause, and never two at a time."""

    def __init__(self, pack: CityPack, settings: EngineSettings, clock: Clock, status: Status) -> None:
        self._pack = pack
        self._indicators: Sequence[Indicator] = load_catalogue(pack)
        self._settings = settings
        self._clock = clock
        self._status = status
        self._news = asyncio.Event()
        self._registry_news = asyncio.Event()

    async def run(self, database: Database, stop: asyncio.Event) -> None:
        """Work until `stop` is set; an error of the database means back-off and memory rebuilt from it."""
        retry = _FIRST_RETRY
        while not stop.is_set():
            try:
                async with self._engine(database) as (engine, session):
                    retry = _FIRST_RETRY
                    await self._work(engine, session, ThingRepository(database), stop)
            except StorageError as error:
                metrics.RECOVERIES.inc()
                log.warning("engine_interrupted", error=str(error), retry_in=round(retry, 2))
                await _wait(stop, within=retry * random.uniform(0.5, 1.5))  # noqa: S311 (jitter, not a secret)
                retry = min(retry * 2, _LAST_RETRY)
            finally:
                self._status.working = False

    async def listen(self, database: Database) -> None:
        """Hear of new batches and of changes in the registry; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            wakes = {"pulso_observation_batch": self._news, "pulso_registry": self._registry_news}
            group.create_task(listen(database, wakes), name="listen")

    @asynccontextmanager
    async def _engine(self, database: Database) -> AsyncIterator[tuple[Engine, Session]]:
        things = ThingRepository(database)
        async with exclusive_session(database, "kpi") as session:
            await things.sync_zones(self._pack.zones)
            self._registry_news.clear()
            engine = Engine(session, self._indicators, await self._roster(things), self._clock, self._settings)
            await engine.open()
            log.info("engine_ready", kpis=len(self._indicators), batch=engine.position.batch_id)
            yield engine, session

    async def _roster(self, things: ThingRepository) -> Roster:
        zone_ids = tuple(zone.zone_id for zone in self._pack.zones)
        return Roster(zone_ids, tuple(await things.registry()))

    async def _work(self, engine: Engine, session: Session, things: ThingRepository, stop: asyncio.Event) -> None:
        tidied = time.monotonic()
        while not stop.is_set():
            began = time.monotonic()
            if self._registry_news.is_set():
                self._registry_news.clear()
                engine.update_roster(await self._roster(things))
            self._news.clear()
            has_more = await self._step(engine)
            self._status.working = True
            if time.monotonic() - tidied > _TIDY_EVERY:
                tidied = time.monotonic()
                await self._tidy(session)
            if not has_more:
                await self._rest(began, stop)

    async def _step(self, engine: Engine) -> bool:
        with metrics.STEP_SECONDS.time():
            step = await engine.step()
        metrics.OBSERVATIONS.inc(step.observations)
        metrics.VALUES.labels("written").inc(step.values_written)
        metrics.VALUES.labels("finalised").inc(step.finalised)
        metrics.LAG.set(step.lag or 0.0)
        metrics.WATERMARK_DELAY.set(engine.watermark_delay() or 0.0)
        return step.has_more

    async def _rest(self, began: float, stop: asyncio.Event) -> None:
        """Wait for the rest of the tick, then for news, at most one tick more: windows also close without news."""
        await _wait(stop, within=self._settings.tick - (time.monotonic() - began))
        if not stop.is_set():
            await _wait(self._news, stop, within=self._settings.tick)

    async def _tidy(self, session: Session) -> None:
        async with session.transaction() as transaction:
            deleted = await delete_consumed(transaction, timedelta(seconds=self._settings.batch_retention))
        if deleted:
            log.info("batches_deleted", batches=deleted)


async def _wait(*events: asyncio.Event, within: float) -> None:
    """Return when any of `events` is set, or after `within` seconds."""
    if within <= 0:
        return
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def serve(
    database_settings: DatabaseSettings,
    city_settings: CitySettings,
    health_settings: HealthSettings,
    engine_settings: EngineSettings,
) -> None:
    """Run the engine until a signal asks it to leave. Raises ConfigurationError before anything is started."""
    status = Status()
    service = Service(load_pack(city_settings.pack), engine_settings, SystemClock(), status)
    stop = stop_on_signals()
    async with HealthServer(health_settings, "kpi", {"engine": lambda: status.working}):
        work = asyncio.create_task(_connect_and_run(service, database_settings, stop), name="engine")
        leaving = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        await asyncio.wait({work}, timeout=_LEAVE_WITHIN if status.working else 0)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
    log.info("stopped")


async def _connect_and_run(service: Service, settings: DatabaseSettings, stop: asyncio.Event) -> None:
    database = await connect_forever(settings)
    try:
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(service.listen(database), name="listen")
            await service.run(database, stop)
            listening.cancel()
    finally:
        await database.close()
