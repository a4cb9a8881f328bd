"""Zones, things and datastreams."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from psycopg.types.json import Jsonb

from pulso.db.connection import Database
from pulso.db.sql import SQL
from pulso.model import DatastreamId, Family, ThingDescription, ThingId, Zone, ZoneId

MOST_DATASTREAMS = 256
"""Datastreams of one thing: four times what the largest meters have. A thing that makes up names gets no more."""


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
    family: Family
    observed_property: str


class Registered(NamedTuple):
    """What a name stands for: the family of its thing, and the datastream with its unit; None if it got none."""

    family: Family
    stream: tuple[DatastreamId, str] | None


class ThingRepository:
    """Reads and writes `zone`, `thing` and `datastream`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sync_zones(self, zones: Iterable[Zone]) -> None:
        """Make the table hold `zones` as the city pack describes them (parents before children)."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(SQL["zone_upsert"], [asdict(zone) for zone in zones])

    async def describe(self, things: Sequence[ThingDescription]) -> dict[str, Family]:
        """Register things or update what is known of them; returns the family each of them has.

        A description in the name of another family changes nothing.
        """
        ordered = sorted(things, key=lambda thing: thing.external_id)  # one order: no deadlocks; the last one stands
        ids = [thing.external_id for thing in ordered]
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(
                SQL["thing_ensure"], {"external_ids": ids, "families": [thing.family for thing in ordered]}
            )
            await cursor.executemany(
                SQL["thing_describe"],
                [{**asdict(thing), "properties": Jsonb(thing.properties)} for thing in ordered],
            )
            await cursor.execute(SQL["thing_families"], {"external_ids": ids})
            return {external_id: Family(family) for external_id, family in await cursor.fetchall()}

    async def ensure_datastreams(self, wanted: Mapping[DatastreamKey, str]) -> dict[DatastreamKey, Registered]:
        """What each key stands for; things and datastreams that do not exist are made.

        `wanted` gives for each key the unit its results have, if it is new. A key gets no datastream if its thing is
        of another family, or has MOST_DATASTREAMS already.
        """
        keys = sorted(
            wanted, key=lambda key: (key.external_id, key.family, key.observed_property)
        )  # one order: no deadlocks
        asked = {
            "external_ids": [key.external_id for key in keys],
            "families": [key.family for key in keys],
            "properties": [key.observed_property for key in keys],
            "units": [wanted[key] for key in keys],
            "most": MOST_DATASTREAMS,
        }
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["thing_ensure"], asked)
            await cursor.execute(SQL["datastream_ensure"], asked)
            await cursor.execute(SQL["datastream_find"], asked)
            return {
                DatastreamKey(external_id, Family(named), observed_property): Registered(
                    Family(family), None if datastream_id is None else (DatastreamId(datastream_id), unit)
                )
                for external_id, named, observed_property, family, datastream_id, unit in await cursor.fetchall()
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
