"""Zones, things and datastreams."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from psycopg.types.json import Jsonb

from pulso.db.connection import Database
from pulso.db.sql import SQL
from pulso.model import DatastreamId, Family, ThingDescription, ThingId, Zone, ZoneId


@dataclass(frozen=True, slots=True)
class RegisteredDatastream:
    """A datastream with what is known of its thing. `expected_interval` in seconds."""

    datastream_id: DatastreamId
    observed_property: str
    unit: str
    thing_id: ThingId
    external_id: str
    family: Family
    zone_id: ZoneId | None
    expected_interval: float
    properties: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DatastreamKey:
    """How a message names a datastream."""

    external_id: str
    observed_property: str


class ThingRepository:
    """Reads and writes `zone`, `thing` and `datastream`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sync_zones(self, zones: Iterable[Zone]) -> None:
        """Make the table hold `zones` as the city pack describes them (parents before children)."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(SQL["zone_upsert"], [asdict(zone) for zone in zones])

    async def describe(self, things: Sequence[ThingDescription]) -> None:
        """Register things or update what is known of them."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(
                SQL["thing_upsert"],
                [{**asdict(thing), "properties": Jsonb(thing.properties)} for thing in things],
            )

    async def ensure_datastreams(
        self, wanted: Mapping[DatastreamKey, tuple[Family, str]]
    ) -> dict[DatastreamKey, tuple[DatastreamId, str]]:
        """Id and unit of each datastream; things and datastreams that do not exist are made.

        `wanted` gives for each key the family its thing has and the unit its results have, if it is new.
        """
        keys = sorted(wanted, key=lambda key: (key.external_id, key.observed_property))  # one order: no deadlocks
        ids = [key.external_id for key in keys]
        properties = [key.observed_property for key in keys]
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(
                SQL["thing_ensure"], {"external_ids": ids, "families": [wanted[key][0] for key in keys]}
            )
            await cursor.execute(
                SQL["datastream_ensure"],
                {"external_ids": ids, "properties": properties, "units": [wanted[key][1] for key in keys]},
            )
            await cursor.execute(SQL["datastream_find"], {"external_ids": ids, "properties": properties})
            return {
                DatastreamKey(external_id, observed_property): (DatastreamId(datastream_id), unit)
                for external_id, observed_property, datastream_id, unit in await cursor.fetchall()
            }

    async def registry(self) -> list[RegisteredDatastream]:
        """Every datastream of an active thing, by id."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["registry_all"])
            return [RegisteredDatastream(*row) for row in await cursor.fetchall()]

    async def version(self) -> int:
        """A number that grows whenever a thing or datastream changes."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["registry_version"])
            row = await cursor.fetchone()
            return int(row[0]) if row else 0
