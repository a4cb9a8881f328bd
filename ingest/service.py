"""The ingest service: its parts, put together, from connecting to leaving."""

import asyncio

import structlog

from ingest import metrics
from ingest.inbox import Inbox
from ingest.pipeline import Pipeline
from ingest.subscriber import Subscriber
from ingest.translate import Translator
from pulso.city import load_pack
from pulso.db import connect_forever, migrate
from pulso.db.observations import ObservationStore
from pulso.db.things import ThingRepository
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
    stop = stop_on_signals()
    database = await before(stop, connect_forever(db))
    if database is None:
        return
    await asyncio.to_thread(migrate, database.conninfo)
    things = ThingRepository(database)
    await things.sync_zones(pack.zones)
    inbox = Inbox(
        asyncio.get_running_loop(),
        capacity=max(2 * settings.in_flight, 1000),
        room=_ROOM,
        patience=mqtt.keep_alive / 3,
    )
    metrics.WAITING.set_function(lambda: len(inbox))
    subscriber = Subscriber(mqtt, settings, inbox)
    translator = Translator(frozenset(zone.zone_id for zone in pack.zones), max_ahead=settings.max_ahead)
    pipeline = Pipeline(inbox, translator, things, ObservationStore(database), subscriber)
    checks = {"broker": lambda: subscriber.subscribed, "database": lambda: pipeline.storing}
    async with HealthServer(health, "ingest", checks):
        storing = asyncio.create_task(pipeline.run(settings, stop), name="pipeline")
        speaking = asyncio.create_task(subscriber.keep_speaking(), name="mqtt-version")
        try:
            done, _ = await asyncio.wait({storing, speaking}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            storing.cancel()
            speaking.cancel()
            await asyncio.gather(storing, speaking, return_exceptions=True)
            await subscriber.leave()
            await database.close()
    log.info("stopped")
