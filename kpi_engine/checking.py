"""Comparing a running system's KPI values with its observations: the I/O around `kpi_engine.recompute`."""

from kpi_engine.catalogue import load_catalogue
from kpi_engine.recompute import Comparison, compare
from kpi_engine.things import Roster
from pulso.city import load_pack
from pulso.clock import SystemClock
from pulso.db.connection import open_database
from pulso.db.session import reading_session
from pulso.db.things import ThingRepository
from pulso.model import Window
from pulso.settings import CitySettings, DatabaseSettings


async def check_stored(database_settings: DatabaseSettings, city_settings: CitySettings, period: Window) -> Comparison:
    """Compare all values whose window ends within `period`, as far as it is over.

    Raises ConfigurationError, StorageError.
    """
    over = Window(period.start, min(period.end, SystemClock().now()))
    pack = load_pack(city_settings.pack)
    indicators = load_catalogue(pack)
    database = await open_database(database_settings)
    try:
        registry = await ThingRepository(database).registry()
        roster = Roster(tuple(zone.zone_id for zone in pack.zones), tuple(registry))
        async with reading_session(database) as session, session.transaction() as transaction:
            return await compare(transaction, indicators, roster, over)
    finally:
        await database.close()
