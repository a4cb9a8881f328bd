"""The ingest service: its parts, put together, from connecting to leaving."""

import asyncio

import structlog

from ingest.inbox import Inbox
from ingest.pipeline import Pipeline
from ingest.subscriber import Subscriber
from ingest.translate import Translator
from pulso.city import load_pack
from pulso.db import connect_forever, migrate
from pulso.db.observations import ObservationStore
from pulso.db.things import ThingRepository
from pulso.health import HealthServer
from pulso.lifecycle import stop_on_signals
from pulso.settings import CitySettings, DatabaseSettings, HealthSettings, IngestSettings, MqttSettings

log = structlog.get_logger()


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
    database = await connect_forever(db)
    await asyncio.to_thread(migrate, database.conninfo)
    things = ThingRepository(database)
    await things.sync_zones(pack.zones)
    inbox = Inbox(asyncio.get_running_loop(), capacity=max(2 * settings.in_flight, 1000), patience=mqtt.keep_alive / 3)
    subscriber = Subscriber(mqtt, settings, inbox)
    translator = Translator(frozenset(zone.zone_id for zone in pack.zones), max_ahead=settings.max_ahead)
    pipeline = Pipeline(inbox, translator, things, ObservationStore(database), subscriber)
    checks = {"broker": lambda: subscriber.subscribed, "database": lambda: pipeline.storing}
    async with HealthServer(health, "ingest", checks):
        speaking = asyncio.create_task(subscriber.keep_speaking(), name="mqtt-version")
        try:
            await pipeline.run(settings, stop)
        finally:
            speaking.cancel()
            await subscriber.leave()
            await database.close()
    log.info("stopped")
