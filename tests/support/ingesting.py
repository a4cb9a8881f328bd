"""The parts of ingest put together in the process of a test, on a real database, without a broker."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from zoneinfo import ZoneInfo

from ingest.assessing import Assessing
from ingest.books import Books
from ingest.housekeeping import Housekeeping
from ingest.inbox import Inbox
from ingest.interpret import Interpreter
from ingest.mapping import Devices, load_devices
from ingest.memory import Memory
from ingest.message import RawMessage
from ingest.pipeline import Pipeline
from ingest.translate import Translator
from pulso.city import load_pack
from pulso.city.assessment import load_assessment
from pulso.city.boundaries import ZoneFinder
from pulso.city.pack import pack_path
from pulso.db import Database
from pulso.db.ledger import LedgerRepository
from pulso.db.memory import MemoryRepository
from pulso.db.observations import ObservationStore
from pulso.db.receipts import ReceiptRepository
from pulso.db.rejected import RejectedRepository, Selection
from pulso.db.things import ThingRepository
from pulso.model import ZoneId
from pulso.settings import IngestSettings, load
from tests.support.waiting import eventually


class Silent:
    """A broker that only remembers what it is told."""

    def __init__(self) -> None:
        self.acknowledged: list[RawMessage] = []
        self.published: list[tuple[str, bytes]] = []

    def acknowledge(self, messages: Sequence[RawMessage]) -> None:
        self.acknowledged.extend(messages)

    def publish(self, topic: str, payload: bytes) -> None:
        self.published.append((topic, payload))


class InProcessIngest:
    """One worker: `settle` runs messages as they would arrive, `replay` what is queued. Make it with `begin`."""

    def __init__(self, database: Database, memory: Memory, session_id: int, options: Mapping[str, object]) -> None:
        (settings,) = load(IngestSettings)
        self._settings = settings.model_copy(update={"batch_messages": options.get("batch", settings.batch_messages)})
        self.database = database
        self.broker = Silent()
        self.memory = memory
        self.session_id = session_id
        documents = options.get("documents", {})
        assert isinstance(documents, Mapping)
        devices = load_devices([], documents)
        self.interpreter = Interpreter(devices, ZoneInfo("America/Mexico_City"), memory)
        self.books = Books(self.interpreter.source_of)
        self.inbox = Inbox(
            asyncio.get_running_loop(), capacity=10_000, room=64 << 20, patience=1.0, arrived=self.books.arrive
        )
        zones = options.get("zones", {})
        assert isinstance(zones, Mapping)
        self.translator = Translator(self.interpreter, memory, frozenset({ZoneId("coyoacan")}), max_ahead=300.0)
        self.assessing = Assessing(load_assessment(pack_path("cdmx")))
        self.pipeline = Pipeline(
            inbox=self.inbox,
            translator=self.translator,
            memory=memory,
            assessing=self.assessing,
            things=ThingRepository(database),
            store=ObservationStore(database),
            first_receipts=ReceiptRepository(database),
            broker=self.broker,
            books=self.books,
            session_id=session_id,
            zones=ZoneFinder(zones),
            admit=bool(options.get("admit", True)),
        )

    @classmethod
    async def begin(cls, database: Database, **options: object) -> "InProcessIngest":
        """A worker with what earlier ones remembered, which takes over from the one of the same `worker` name.

        Options: `worker`, `documents`, `zones` (boundaries), `admit`, `batch` (messages in one).
        """
        session_id = await LedgerRepository(database).begin(str(options.get("worker", "test")))
        return cls(database, Memory(await MemoryRepository(database).load()), session_id, options)

    async def settle(self, *messages: RawMessage) -> list[RawMessage]:
        """Run `messages`, received now if they do not say, as one batch if it is large enough.

        Returns what was acknowledged by then.
        """
        stop = asyncio.Event()
        self._put(messages)
        stop.set()
        async with asyncio.timeout(20):
            await self.pipeline.run(self._settings, stop)
        return self.broker.acknowledged

    async def settle_at_last(self, *messages: RawMessage) -> None:
        """The same, but what fails is tried again until `messages` are acknowledged."""
        stop = asyncio.Event()
        wanted = len(self.broker.acknowledged) + len(messages)
        self._put(messages)
        running = asyncio.create_task(self.pipeline.run(self._settings, stop))
        try:
            await eventually(lambda: running.done() or len(self.broker.acknowledged) >= wanted, within=20)
        finally:
            stop.set()
            await running

    def _put(self, messages: Sequence[RawMessage]) -> None:
        now = time.time_ns() // 1000
        for place, message in enumerate(messages):
            self.inbox.put(message if message.received_at else message._replace(received_at=now + place))

    @asynccontextmanager
    async def housekeeping(self) -> AsyncIterator[None]:
        """What runs beside the batches in the service, with the devices of the city pack, until the block ends."""
        keeping = Housekeeping(
            database=self.database,
            pipeline=self.pipeline,
            assessing=self.assessing,
            translator=self.translator,
            interpreter=self.interpreter,
            devices=Devices(load_pack("cdmx")),
            memory=self.memory,
            session_id=self.session_id,
            keep=timedelta(days=30),
        )
        stop = asyncio.Event()
        running = asyncio.create_task(keeping.run(stop))
        try:
            yield
        finally:
            stop.set()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def replay(self, selection: Selection) -> int:
        """Queue a selection and replay it; returns how many messages."""
        repository = RejectedRepository(self.database)
        count = await repository.queue(selection)
        async with asyncio.timeout(20):
            await self.pipeline.replay(await repository.take_queued(1000))
        return count
