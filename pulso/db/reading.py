"""What the API and the screens read: pages of rows, and the present state of the city."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pulso.db.connection import Database
from pulso.db.sql import SQL
from pulso.model import BandState, Family


@dataclass(frozen=True, slots=True)
class ZoneRow:
    """One zone as stored. Seat in degrees, WGS 84."""

    zone_id: str
    parent_id: str | None
    kind: str
    name: str
    short_name: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class ThingRow:
    """One thing as stored. `expected_interval` in seconds."""

    external_id: str
    family: str
    name: str
    zone_id: str | None
    latitude: float | None
    longitude: float | None
    expected_interval: float
    state: str
    properties: Mapping[str, float]
    unread_fields: Sequence[str]


@dataclass(frozen=True, slots=True)
class DatastreamRow:
    """One datastream and its newest observation, if it has one. `latest_result` in `unit`."""

    datastream_id: int
    external_id: str
    observed_property: str
    unit: str
    latest_time: datetime | None
    latest_result: float | None
    latest_quality: int | None


@dataclass(frozen=True, slots=True)
class ObservationRow:
    """One observation of a datastream that the caller knows.

    `flags` are those of `pulso.model.Flag`; `sent_result` and `sent_unit` what stood in the message, None where nothing
    was converted.
    """

    phenomenon_time: datetime
    result: float
    quality: int
    received_at: datetime
    result_time: datetime | None
    flags: int
    sent_result: float | None
    sent_unit: str | None


@dataclass(frozen=True, slots=True)
class KpiValueRow:
    """The latest revision of one window of a KPI and zone that the caller knows."""

    window_start: datetime
    window_end: datetime
    value: float | None
    band: str | None
    coverage: float
    status: str
    revision: int
    observed_until: datetime | None
    detail: Mapping[str, object]
    version: str
    known_at: datetime


@dataclass(frozen=True, slots=True)
class ShownRow:
    """The newest value of a KPI and zone, and how the running window stands; None where there is nothing."""

    kpi_id: str
    zone_id: str
    window_end: datetime | None
    value: float | None
    band: str | None
    coverage: float | None
    status: str | None
    observed_until: datetime | None
    detail: Mapping[str, object] | None
    running_end: datetime | None
    running_value: float | None
    running_coverage: float | None
    running_until: datetime | None


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """What one family of things is doing. `per_minute` counts observations."""

    family: Family
    things: int
    reporting: int
    per_minute: int
    last_seen: datetime | None
    last_received: datetime | None


class ReadingRepository:
    """Reads only. Every method is one statement; all raise StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def zones(self) -> list[ZoneRow]:
        """All zones, the city first."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_zones"])
            return [ZoneRow(*row) for row in await cursor.fetchall()]

    async def things(
        self,
        *,
        after: str = "",
        limit: int,
        external_id: str | None = None,
        family: str | None = None,
        zone_id: str | None = None,
    ) -> list[ThingRow]:
        """Things with an external id greater than `after`, in that order."""
        wanted = {"after": after, "limit": limit, "external_id": external_id, "family": family, "zone_id": zone_id}
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_things"], wanted)
            return [ThingRow(*row) for row in await cursor.fetchall()]

    async def datastreams(
        self,
        *,
        after: int = 0,
        limit: int,
        datastream_id: int | None = None,
        external_id: str | None = None,
        observed_property: str | None = None,
    ) -> list[DatastreamRow]:
        """Datastreams with an id greater than `after`, in that order, with their newest observation."""
        wanted = {
            "after": after,
            "limit": limit,
            "datastream_id": datastream_id,
            "external_id": external_id,
            "observed_property": observed_property,
        }
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_datastreams"], wanted)
            return [DatastreamRow(*row) for row in await cursor.fetchall()]

    async def observations(
        self, datastream_id: int, start: datetime | None, end: datetime | None, limit: int
    ) -> list[ObservationRow]:
        """Observations within [start, end), newest first; an end that is None is open."""
        wanted = {"datastream_id": datastream_id, "start": start, "end": end, "limit": limit}
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_observations"], wanted)
            return [ObservationRow(*row) for row in await cursor.fetchall()]

    async def kpi_values(
        self, kpi_id: str, zone_id: str, start: datetime | None, end: datetime | None, limit: int
    ) -> list[KpiValueRow]:
        """Latest revision of each window that ends within [start, end), newest first."""
        wanted = {"kpi_id": kpi_id, "zone_id": zone_id, "start": start, "end": end, "limit": limit}
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_kpi_values"], wanted)
            return [KpiValueRow(*row) for row in await cursor.fetchall()]

    async def shown_values(
        self, steps: Mapping[str, timedelta], since: Mapping[str, datetime], zone_ids: Sequence[str], now: datetime
    ) -> list[ShownRow]:
        """One row for each KPI and zone, whether it has values that end after the KPI's `since` or not.

        `steps` is the time from one window of a KPI to the next; both mappings have the same KPIs, and `since` lies
        at least one step back.
        """
        wanted = {
            "kpi_ids": list(steps),
            "steps": list(steps.values()),
            "since": [since[kpi_id] for kpi_id in steps],
            "oldest": min(since.values(), default=now),
            "zone_ids": list(zone_ids),
            "now": now,
        }
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_shown_values"], wanted)
            return [ShownRow(*row) for row in await cursor.fetchall()]

    async def history(self, since: Mapping[str, datetime], zone_id: str) -> list[tuple[str, datetime, float | None]]:
        """(KPI, window end, value) of one zone for windows that end after the KPI's `since`, oldest first."""
        wanted = {
            "kpi_ids": list(since),
            "since": list(since.values()),
            "oldest": min(since.values(), default=None),
            "zone_id": zone_id,
        }
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_history"], wanted)
            return [(kpi_id, window_end, value) for kpi_id, window_end, value in await cursor.fetchall()]

    async def band_since(
        self, keys: Sequence[tuple[str, str]], bands: Sequence[BandState], now: datetime
    ) -> dict[tuple[str, str], datetime]:
        """Since when each (KPI, zone) has been in one of `bands` without a break; absent where it is not."""
        wanted = {
            "kpi_ids": [kpi_id for kpi_id, _ in keys],
            "zone_ids": [zone_id for _, zone_id in keys],
            "bands": list(bands),
            "now": now,
        }
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_band_since"], wanted)
            rows = await cursor.fetchall()
        return {(kpi_id, zone_id): since for kpi_id, zone_id, since in rows if since is not None}

    async def activity(self, now: datetime) -> list[ActivityRow]:
        """What each family that has things is doing."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_activity"], {"now": now})
            return [ActivityRow(Family(family), *rest) for family, *rest in await cursor.fetchall()]

    async def intervals(self) -> dict[tuple[Family, str | None], timedelta]:
        """The usual expected interval of a family's active things, by zone; of the whole family by None."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_intervals"])
            return {(Family(family), zone_id): usual for family, zone_id, usual in await cursor.fetchall()}

    async def newest_batch(self) -> datetime | None:
        """When the newest batch of observations was stored."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["reading_newest_batch"])
            row = await cursor.fetchone()
            return row[0] if row else None
