"""The ingest service: its parts, put together, from connecting to leaving."""

import asyncio
import gc
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta

import structlog

from ingest import metrics
from ingest.assessing import Assessing
from ingest.books import Books
from ingest.decoders import decoders
from ingest.housekeeping import Housekeeping, zone_finder
from ingest.inbox import Inbox
from ingest.interpret import Interpreter
from ingest.mapping import Devices
from ingest.memory import Memory
from ingest.pipeline import Pipeline
from ingest.subscriber import Subscriber
from ingest.translate import Translator
from pulso.city import load_pack
from pulso.city.assessment import load_assessment
from pulso.db import connect_forever, migrate
from pulso.db.documents import DocumentRepository
from pulso.db.ledger import LedgerRepository
from pulso.db.memory import MemoryRepository
from pulso.db.observations import ObservationStore
from pulso.db.receipts import ReceiptRepository
from pulso.db.things import ThingRepository
from pulso.errors import StorageError
from pulso.health import HealthServer
from pulso.lifecycle import before, stop_on_signals
from pulso.settings import CitySettings, DatabaseSettings, HealthSettings, IngestSettings, MqttSettings

log = structlog.get_logger()

_ROOM = 64 << 20  # bytes of payload: 3 kB for each of 20,000 messages in flight, or 64 of the largest


async def serve(
    mqtt: MqttSettings,
    db: DatabaseSettings,
    city: CitySettings,
    health: HealthSettings,
    settings: IngestSettings,
) -> None:
    """Run until SIGTERM or SIGINT: stop taking, store what has arrived, acknowledge, disconnect."""
    pack = load_pack(city.pack)
    devices = Devices(pack)
    stop = stop_on_signals()
    database = await before(stop, connect_forever(db))
    if database is None:
        return
    await asyncio.to_thread(migrate, database.conninfo)
    things = ThingRepository(database)
    await things.sync_zones(pack.zones)
    memory = Memory(await MemoryRepository(database).load())
    devices.adopt(await DocumentRepository(database).texts())
    interpreter = Interpreter(devices.book, pack.timezone, memory)
    books = Books(interpreter.source_of)
    inbox = Inbox(
        asyncio.get_running_loop(),
        capacity=max(2 * settings.in_flight, 1000),
        room=_ROOM,
        patience=mqtt.keep_alive / 3,
        arrived=books.arrive,
    )
    metrics.WAITING.set_function(lambda: len(inbox))
    sessions = LedgerRepository(database)
    session_id = await sessions.begin(settings.client_id)
    zones = await zone_finder(database)
    retained = [name for entry in decoders.values() for name in entry.retained]
    subscriber = Subscriber(mqtt, settings, inbox, retained_filters=retained)
    zone_ids = frozenset(zone.zone_id for zone in pack.zones)
    translator = Translator(interpreter, memory, zone_ids, max_ahead=settings.max_ahead)
    assessing = Assessing(load_assessment(pack.path))
    pipeline = Pipeline(
        inbox=inbox,
        translator=translator,
        memory=memory,
        assessing=assessing,
        things=things,
        store=ObservationStore(database),
        first_receipts=ReceiptRepository(database),
        broker=subscriber,
        books=books,
        session_id=session_id,
        zones=zones,
        admit=settings.admit,
    )
    housekeeping = Housekeeping(
        database=database,
        pipeline=pipeline,
        assessing=assessing,
        translator=translator,
        interpreter=interpreter,
        devices=devices,
        memory=memory,
        session_id=session_id,
        keep=timedelta(days=settings.keep_rejected),
    )
    _spare_the_collector()
    checks = {"broker": lambda: subscriber.subscribed, "database": lambda: pipeline.storing}
    async with HealthServer(health, "ingest", checks):
        try:
            await _run(pipeline.run(settings, stop), subscriber, housekeeping, stop)
        finally:
            with suppress(StorageError):
                await sessions.end(session_id)
            await database.close()
    log.info("stopped")


def _spare_the_collector() -> None:
    """Let the garbage collector leave out what is made up to here, and come less often than every 700 objects.

    That was a tenth of the time at full rate, and batches make no cycles. Not much more seldom than this, or the
    tracebacks of a database that is away for hours pile up.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


async def _run(
    pipeline: Coroutine[object, object, None],
    subscriber: Subscriber,
    housekeeping: Housekeeping,
    stop: asyncio.Event,
) -> None:
    """Run all parts until the pipeline is done or one of them fails, and disconnect."""
    storing = asyncio.create_task(pipeline, name="pipeline")
    others = {
        asyncio.create_task(subscriber.keep_speaking(), name="mqtt-version"),
        asyncio.create_task(housekeeping.run(stop), name="housekeeping"),
    }
    try:
        await _until_stored(storing, others)
    finally:
        for task in (storing, *others):
            task.cancel()
        await asyncio.gather(storing, *others, return_exceptions=True)
        await subscriber.leave()


async def _until_stored(storing: asyncio.Task[None], others: set[asyncio.Task[None]]) -> None:
    """Wait for the pipeline to be done, or for any task to fail; housekeeping may be done first."""
    running: set[asyncio.Task[None]] = {storing, *others}
    while storing in running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
