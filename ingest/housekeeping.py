"""What ingest does beside its batches: take up changed devices, replay what is asked for, show life, tidy up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import structlog

from ingest import metrics
from ingest.assessing import Assessing
from ingest.interpret import Interpreter
from ingest.mapping import Devices
from ingest.memory import Memory
from ingest.pipeline import BATCH_BYTES, Pipeline
from ingest.translate import Translator
from pulso.city.boundaries import ZoneFinder
from pulso.db.adoption import AdoptionRepository
from pulso.db.connection import Database, listen
from pulso.db.documents import DocumentRepository
from pulso.db.ledger import LedgerRepository, SessionEnded
from pulso.db.memory import MemoryRepository
from pulso.db.receipts import ReceiptRepository
from pulso.db.rejected import RejectedRepository
from pulso.db.things import ThingRepository
from pulso.errors import ConfigurationError, StorageError

log = structlog.get_logger()

_LOOK = 2.0  # seconds between two looks at files and the queue, if nobody wakes us
_SIGN_OF_LIFE = 5.0
_RECEIPTS_KEPT = timedelta(hours=1)
_TIDY = 3600.0
_CLOCKS = 60.0
_UNREAD = 10.0
_REPLAYED_AT_ONCE = 500


class Housekeeping:
    """Runs beside the pipeline, in steps that do not depend on each other.

    A step that fails is tried again at the next look: whatever is wrong with it, messages are stored all the same. Only
    SessionEnded ends it, and the service with it.
    """

    def __init__(  # noqa: PLR0913 (the composition root hands over all its parts)
        self,
        *,
        database: Database,
        pipeline: Pipeline,
        assessing: Assessing,
        translator: Translator,
        interpreter: Interpreter,
        devices: Devices,
        memory: Memory,
        session_id: int,
        keep: timedelta,
    ) -> None:
        self._database = database
        self._pipeline = pipeline
        self._assessing = assessing
        self._translator = translator
        self._interpreter = interpreter
        self._devices = devices
        self._memory = memory
        self._session_id = session_id
        self._keep = keep
        self._ledger = LedgerRepository(database)
        self._rejected = RejectedRepository(database)
        self._things = ThingRepository(database)
        self._devices_changed = asyncio.Event()
        self._memory_changed = asyncio.Event()
        self._replay_asked = asyncio.Event()
        self._is_replaying = False
        self._known_of: tuple[int, dict[str, str]] | None = None
        self._due: dict[Callable[[], Awaitable[None]], float] = {}  # when a step is to be done again

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        wakes = {
            "pulso_devices": self._devices_changed,
            "pulso_memory": self._memory_changed,
            "pulso_replay": self._replay_asked,
        }
        listening = asyncio.create_task(listen(self._database, wakes), name="listen")
        try:
            while not stop.is_set():
                if not await self._look():
                    await _wait(stop)
                elif not self._is_replaying:
                    await _wait(self._replay_asked)
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _look(self) -> bool:
        """Do what there is to do; False if anything failed."""
        steps = (
            self._recall,
            self._take_up_devices,
            self._replay,
            self._regularly(_SIGN_OF_LIFE, self._show_life),
            self._regularly(_CLOCKS, self._save_clocks),
            self._regularly(_UNREAD, self._save_unread),
            self._regularly(_TIDY, self._tidy),
        )
        return all([await self._succeeds(step) for step in steps])

    async def _succeeds(self, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except SessionEnded:
            raise
        except StorageError as error:
            log.warning("housekeeping_failed", error=str(error))
        except Exception:  # none of it is worth that a city's messages are not stored
            log.exception("housekeeping_failed")
        else:
            return True
        metrics.HOUSEKEEPING_FAILURES.inc()
        return False

    def _regularly(self, seconds: float, step: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """`step`, if it was not done within the last `seconds`; one that fails waits its turn too."""

        async def when_due() -> None:
            now = time.monotonic()
            if now >= self._due.get(step, 0.0):
                self._due[step] = now + seconds
                await step()

        return when_due

    async def _recall(self) -> None:
        """Take over what other workers learned."""
        if not self._memory_changed.is_set():
            return
        self._memory_changed.clear()  # before reading: what changes meanwhile wakes us again
        try:
            await self._memory.reload(MemoryRepository(self._database).load)
        except BaseException:
            self._memory_changed.set()
            raise

    async def _take_up_devices(self) -> None:
        """Use changed mappings, boundaries and states of things; a faulty file leaves what runs."""
        documents = zones = None
        if self._devices_changed.is_set():
            self._devices_changed.clear()
            try:
                told = await self._told_of()
                documents = told[1]
                zones = await zone_finder(self._database)
                self._known_of = told
            except BaseException:
                self._devices_changed.set()
                raise
        is_new = self._devices.refresh(documents)
        if zones is not None or is_new:
            async with self._pipeline.between_batches():
                if zones is not None:  # one without boundaries is falsy
                    self._pipeline.zones = zones
                self._interpreter.use(self._devices.book)
                self._translator.forget_things()
        metrics.DEVICE_FAULTS.set(len(self._devices.faults))

    async def _told_of(self) -> tuple[int, dict[str, str]]:
        """What messages are read with, as it is in the database: the version of the things, and the documents."""
        return await self._things.version(), await DocumentRepository(self._database).texts()

    async def _replay(self) -> None:
        """Replay some of what is queued; the next look takes the next ones, with what has changed by then."""
        self._replay_asked.clear()
        queued = await self._rejected.take_queued(_REPLAYED_AT_ONCE, most_bytes=BATCH_BYTES)
        if queued and await self._told_of() != self._known_of:
            # What they were queued for, an adopted device or mapping, was committed with them. The word of it may be on
            # its way still.
            self._devices_changed.set()
            await self._take_up_devices()
        self._is_replaying = bool(queued)
        if queued:
            try:
                await self._pipeline.replay(queued)
            except BaseException:
                self._is_replaying = False
                raise
            log.info("replayed", messages=len(queued))

    async def _show_life(self) -> None:
        await self._ledger.flush(self._session_id)

    async def _save_clocks(self) -> None:
        clocks = self._assessing.take_clocks()
        if clocks:
            await self._things.save_clocks(clocks)

    async def _save_unread(self) -> None:
        unread = self._translator.take_unread()
        try:
            await self._things.save_unread(unread)
        except BaseException:
            self._translator.put_back_unread(unread)
            raise

    async def _tidy(self) -> None:
        rejected = await self._rejected.delete(self._keep)
        pages = await self._ledger.delete(self._keep)
        await ReceiptRepository(self._database).delete(_RECEIPTS_KEPT)
        log.info("tidied", rejected_messages=rejected, ledger_lines=pages)


async def _wait(event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), _LOOK)


async def zone_finder(database: Database) -> ZoneFinder:
    """What finds the district of a position by the imported boundaries; those that cannot be read are left out."""
    usable = {}
    for zone_id, boundary in (await AdoptionRepository(database).boundaries()).items():
        try:
            ZoneFinder({zone_id: boundary})
        except ConfigurationError as error:
            log.warning("boundary_unusable", zone=zone_id, error=str(error))
        else:
            usable[zone_id] = boundary
    return ZoneFinder(usable)
