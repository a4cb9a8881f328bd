"""Taking care of things by hand: list them, set what they are, adopt a device, place things in their zones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from psycopg import AsyncCursor
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from pulso.db import documents, rejected
from pulso.db.connection import Database
from pulso.db.rejected import Selection
from pulso.db.sql import SQL
from pulso.errors import UnknownThing, UnknownZone
from pulso.model import Family, ThingState


class ListedThing(NamedTuple):
    """One thing. `expected_interval` in seconds; `last_observed` the newest phenomenon time of its datastreams.

    `clock_skew`: seconds its clock is ahead of ours; `lateness`: seconds from phenomenon to receipt, a mean. None where
    it tells no times of its own. `unread_fields` are numbers in its messages that nothing gives a meaning.
    """

    external_id: str
    family: str | None
    name: str
    zone_id: str | None
    latitude: float | None
    longitude: float | None
    expected_interval: float
    state: str
    decoder: str | None
    model: str | None
    datastreams: int
    last_observed: datetime | None
    clock_skew: float | None
    lateness: float | None
    unread_fields: Sequence[str]


@dataclass(frozen=True, slots=True)
class ThingSettings:
    """What a person says of a thing; None leaves what was known."""

    family: Family | None = None
    zone_id: str | None = None
    name: str | None = None
    expected_interval: timedelta | None = None
    state: ThingState | None = None

    def parameters(self) -> dict[str, Any]:
        """As the statements take it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Places(Protocol):
    """Finds the zone of a point."""

    def zone_at(self, latitude: float, longitude: float) -> str | None:
        """Id of the zone the point lies in; None outside of all."""
        ...


@dataclass(frozen=True, slots=True)
class Placed:
    """Zones found for things, and the things that lie in none."""

    zones: Mapping[str, str]
    outside: Sequence[str]


class AdoptionRepository:
    """Reads and changes things on behalf of a person. Every method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def things(  # noqa: PLR0913 (each is one filter)
        self,
        *,
        limit: int,
        after: str = "",
        external_id: str | None = None,
        family: str | None = None,
        zone_id: str | None = None,
        state: str | None = None,
        decoder: str | None = None,
        unread: bool | None = None,
        newest: bool = False,
    ) -> list[ListedThing]:
        """Things with an external id greater than `after`, by id; `newest`: those that were met last come first.

        `none` as family or zone finds those that have none.
        """
        wanted = {
            "limit": limit,
            "after": after,
            "external_id": external_id,
            "family": family,
            "zone_id": zone_id,
            "state": state,
            "decoder": decoder,
            "unread": unread,
            "newest": newest,
        }
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["things_list"], wanted)
            return [ListedThing(*row) for row in await cursor.fetchall()]

    async def thing(self, external_id: str) -> ListedThing:
        """One thing. Raises UnknownThing."""
        found = await self.things(limit=1, external_id=external_id)
        if not found:
            raise UnknownThing(f"no thing {external_id!r}")
        return found[0]

    async def check_zone(self, zone_id: str | None) -> None:
        """Raise UnknownZone, which names those there are, unless a thing can be put into this zone."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await _check_zone(cursor, zone_id)

    async def change(self, external_id: str, settings: ThingSettings) -> None:
        """Set what is given; the workers are told (`pulso_devices`). Raises UnknownThing, UnknownZone."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await _check_zone(cursor, settings.zone_id)
            await cursor.execute(SQL["thing_change"], {"external_id": external_id, **settings.parameters()})
            if not cursor.rowcount:
                raise UnknownThing(f"no thing {external_id!r}")
            await cursor.execute(SQL["document_notify"])

    async def adopt(
        self,
        external_ids: Iterable[str],
        settings: ThingSettings,
        *,
        replay: Selection,
        document: tuple[str, str] | None = None,
        adopted_by: str = "",
    ) -> int:
        """Adopt things: keep the document (name, text) by which they are understood, and queue their kept messages.

        All in one transaction, so a worker that is woken by the replay finds the document, and the things as they are
        now. Returns how many messages were queued. Raises UnknownZone.
        """
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await _check_zone(cursor, settings.zone_id)
            for external_id in sorted(external_ids):
                await cursor.execute(SQL["thing_adopt"], {"external_id": external_id, **settings.parameters()})
            await cursor.execute(SQL["document_notify"])  # before the one for the replay
            if document is not None:
                await documents.put(cursor, *document, adopted_by=adopted_by)
            return await rejected.queue(cursor, replay)

    async def boundaries(self) -> dict[str, dict[str, Any]]:
        """GeoJSON geometries of the zones that have one."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["boundary_list"])
            return {str(zone_id): boundary for zone_id, boundary in await cursor.fetchall()}

    async def set_boundaries(self, boundaries: Mapping[str, Mapping[str, Any]]) -> None:
        """Give zones their GeoJSON geometries; those of other zones stay. The workers are told (`pulso_devices`).

        Raises UnknownZone, and changes nothing then.
        """
        async with self._database.connection() as connection, connection.cursor() as cursor:
            for zone_id, boundary in sorted(boundaries.items()):
                await cursor.execute(SQL["boundary_set"], {"zone_id": zone_id, "boundary": Jsonb(boundary)})
                if not cursor.rowcount:
                    raise UnknownZone(
                        f"no zone {zone_id!r} in the database (pulso db migrate writes those of the pack)"
                    )
            await cursor.execute(SQL["document_notify"])

    async def place(self, places: Places) -> Placed:
        """Find the zone of every thing that has a position and none; what has a zone keeps it."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["things_without_zone"])
            found = {name: places.zone_at(*position) for name, *position in await cursor.fetchall()}
            zones = {name: zone for name, zone in found.items() if zone is not None}
            await cursor.execute(SQL["things_place"], {"external_ids": list(zones), "zone_ids": list(zones.values())})
            return Placed(zones, [name for name, zone in found.items() if zone is None])


async def _check_zone(cursor: AsyncCursor[TupleRow], zone_id: str | None) -> None:
    if zone_id is None:
        return
    await cursor.execute(SQL["zone_ids"])
    known = [row[0] for row in await cursor.fetchall()]
    if zone_id not in known:
        raise UnknownZone(f"no zone {zone_id!r}; there are {', '.join(known)}")
