"""Zones, things and datastreams."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from psycopg import AsyncCursor
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from pulso.db.connection import Database
from pulso.db.sql import SQL
from pulso.model import DatastreamId, Family, FamilyBasis, ThingDescription, ThingId, ThingState, Zone, ZoneId

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
    """How a message names a datastream; `family` None if it does not tell."""

    external_id: str
    family: Family | None
    observed_property: str


@dataclass(frozen=True, slots=True)
class NewDatastream:
    """What a datastream, and its thing, get if they are new. `position` is (latitude, longitude)."""

    unit: str
    family: Family | None = None
    family_basis: FamilyBasis = FamilyBasis.TOLD
    decoder: str | None = None
    model: str | None = None
    zone_id: ZoneId | None = None
    position: tuple[float, float] | None = None


class Introduced(NamedTuple):
    """What is known of a thing that messages name."""

    thing_id: ThingId
    family: Family | None
    state: ThingState
    zone_id: ZoneId | None = None
    properties: Mapping[str, float] = {}
    family_basis: FamilyBasis = FamilyBasis.TOLD


class Clock(Protocol):
    """An estimate of one thing's clock, with the columns of `thing_clock`."""

    def _asdict(self) -> dict[str, float]: ...


class Registered(NamedTuple):
    """What a name stands for: its thing, and the datastream with its unit; None if it got none."""

    thing: Introduced
    stream: tuple[DatastreamId, str] | None


class ThingRepository:
    """Reads and writes `zone`, `thing` and `datastream`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sync_zones(self, zones: Iterable[Zone]) -> None:
        """Make the table hold `zones` as the city pack describes them (parents before children)."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(SQL["zone_upsert"], [asdict(zone) for zone in zones])

    async def describe(
        self,
        things: Sequence[ThingDescription],
        *,
        places: Mapping[str, str | None] = MappingProxyType({}),
        admit: bool = True,
    ) -> dict[str, Introduced]:
        """Register things or update what is known of them; returns what each of them is.

        `places` are the zones their positions lie in, for those that have no zone. A description in the name of another
        family changes nothing. Unless `admit`, a thing that is made begins in quarantine.
        """
        ordered = sorted(things, key=lambda thing: thing.external_id)  # one order: no deadlocks; the last one stands
        new = {thing.external_id: NewDatastream("", thing.family) for thing in ordered}
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await _ensure_things(cursor, new, ThingState.ACTIVE if admit else ThingState.QUARANTINED)
            await cursor.executemany(
                SQL["thing_describe"],
                [
                    {
                        **asdict(thing),
                        "properties": Jsonb(thing.properties),
                        "lies_in": places.get(thing.external_id),
                    }
                    for thing in ordered
                ],
            )
            await cursor.execute(SQL["thing_introduce"], {"external_ids": list(new)})
            return {external_id: _introduced(*known) for external_id, *known in await cursor.fetchall()}

    async def ensure_datastreams(
        self, wanted: Mapping[DatastreamKey, NewDatastream], *, admit: bool = True
    ) -> dict[DatastreamKey, Registered]:
        """What each key stands for; things and datastreams that do not exist are made.

        A key gets no datastream if its thing is of another family, or has MOST_DATASTREAMS already. Unless `admit`, a
        thing that is made begins in quarantine.
        """
        keys = sorted(wanted, key=lambda key: (key.external_id, key.family or "", key.observed_property))
        asked = {
            "external_ids": [key.external_id for key in keys],  # in one order: no deadlocks
            "families": [key.family for key in keys],
            "properties": [key.observed_property for key in keys],
            "units": [wanted[key].unit for key in keys],
            "most": MOST_DATASTREAMS,
        }
        async with self._database.connection() as connection, connection.cursor() as cursor:
            new = _by_thing({key: wanted[key] for key in keys})
            await _ensure_things(cursor, new, ThingState.ACTIVE if admit else ThingState.QUARANTINED)
            await cursor.execute(SQL["datastream_ensure"], asked)
            await cursor.execute(SQL["datastream_find"], asked)
            return {
                DatastreamKey(external_id, named and Family(named), observed_property): Registered(
                    _introduced(*known), None if datastream_id is None else (DatastreamId(datastream_id), unit)
                )
                for external_id, named, observed_property, datastream_id, unit, *known in await cursor.fetchall()
            }

    async def save_clocks(self, clocks: Sequence[Clock]) -> None:
        """Write what is known of the clocks of things."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(SQL["thing_clock_save"], [clock._asdict() for clock in clocks])

    async def save_unread(self, unread: Mapping[str, Sequence[str]]) -> None:
        """Write the names of fields that nothing gives a meaning, by thing; nothing for those who are no things."""
        if not unread:
            return
        fields = [{"external_id": name, "fields": list(unread[name])} for name in sorted(unread)]
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(SQL["thing_unread_save"], [each for each in fields if each["fields"]])
            await cursor.execute(
                SQL["thing_unread_delete"],
                {"external_ids": [each["external_id"] for each in fields if not each["fields"]]},
            )

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


def _by_thing(wanted: Mapping[DatastreamKey, NewDatastream]) -> dict[str, NewDatastream]:
    """What each thing gets: of several, that with the best basis for its family; of equals, the first."""
    chosen: dict[str, NewDatastream] = {}
    for key, new in wanted.items():
        other = chosen.get(key.external_id)
        if other is None or _basis(new) > _basis(other):
            chosen[key.external_id] = new
    return chosen


def _basis(new: NewDatastream) -> tuple[bool, FamilyBasis]:
    return new.family is not None, new.family_basis


async def _ensure_things(cursor: AsyncCursor[TupleRow], things: Mapping[str, NewDatastream], state: ThingState) -> None:
    ids = sorted(things)
    positions = [things[external_id].position or (None, None) for external_id in ids]
    await cursor.execute(
        SQL["thing_ensure"],
        {
            "external_ids": ids,
            "families": [things[external_id].family for external_id in ids],
            "family_bases": [things[external_id].family_basis for external_id in ids],
            "decoders": [things[external_id].decoder for external_id in ids],
            "models": [things[external_id].model for external_id in ids],
            "zones": [things[external_id].zone_id for external_id in ids],
            "latitudes": [latitude for latitude, _ in positions],
            "longitudes": [longitude for _, longitude in positions],
            "state": state,
        },
    )


def _introduced(  # noqa: PLR0913, PLR0917 (the columns of a row)
    thing_id: int,
    family: str | None,
    state: str,
    zone_id: str | None,
    properties: Mapping[str, float],
    family_basis: int,
) -> Introduced:
    return Introduced(
        ThingId(thing_id),
        Family(family) if family else None,
        ThingState(state),
        ZoneId(zone_id) if zone_id else None,
        properties,
        FamilyBasis(family_basis),
    )
