"""Feeding an engine under test the way ingest does, and running one step by step."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from kpi_engine.catalogue import load_catalogue
from kpi_engine.engine import Engine
from kpi_engine.recompute import Comparison, compare
from kpi_engine.things import Roster
from pulso.city import load_pack
from pulso.clock import Clock
from pulso.db import open_database
from pulso.db.session import exclusive_session, reading_session
from pulso.db.things import ThingRepository
from pulso.frame import ObservationFrame, encode
from pulso.model import Quality, Window, to_micros
from pulso.settings import EngineSettings
from tests.support.databases import TestDatabase

NOON = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)  # in Mexico City


@dataclass(frozen=True, slots=True)
class Row:
    """One observation on its way into the database."""

    datastream_id: int
    time: datetime
    result: float
    quality: Quality = Quality.NOT_EVALUATED


class Feed:
    """Stores observations and hands them over in one transaction, as ingest does."""

    def __init__(self, database: TestDatabase) -> None:
        self.database = database

    def zones(self) -> None:
        """The zones of the default city."""
        with psycopg.connect(self.database.dsn) as connection:
            for zone in load_pack("cdmx").zones:
                connection.execute(
                    "INSERT INTO zone VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    (
                        zone.zone_id,
                        zone.parent_id,
                        zone.kind,
                        zone.name,
                        zone.short_name,
                        zone.latitude,
                        zone.longitude,
                    ),
                )

    def thing(
        self,
        external_id: str,
        streams: Mapping[str, str],
        *,
        zone: str = "coyoacan",
        interval: int = 60,
        properties: Mapping[str, float] | None = None,
    ) -> dict[str, int]:
        """Register a thing `family-...` with datastreams {property: unit}; returns {property: id}."""
        with psycopg.connect(self.database.dsn) as connection:
            row = connection.execute(
                "INSERT INTO thing (external_id, family, zone_id, expected_interval, properties)"
                " VALUES (%s, %s, %s, %s, %s) RETURNING thing_id",
                (
                    external_id,
                    external_id.partition("-")[0],
                    zone,
                    timedelta(seconds=interval),
                    Jsonb(properties or {}),
                ),
            ).fetchone()
            assert row
            return {name: self._datastream(connection, row[0], name, unit) for name, unit in streams.items()}

    def _datastream(self, connection: psycopg.Connection, thing_id: int, name: str, unit: str) -> int:
        row = connection.execute(
            "INSERT INTO datastream (thing_id, observed_property, unit) VALUES (%s, %s, %s) RETURNING datastream_id",
            (thing_id, name, unit),
        ).fetchone()
        assert row
        return int(row[0])

    def store(self, rows: Iterable[Row], *, corrects: bool = False) -> None:
        """Commit observations and the batch that tells of them."""
        with psycopg.connect(self.database.dsn) as connection:
            self.store_in(connection, list(rows), corrects=corrects)

    def store_in(self, connection: psycopg.Connection, rows: Sequence[Row], *, corrects: bool = False) -> None:
        """As `store`, inside a transaction of the caller."""
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO observation (datastream_id, phenomenon_time, result, quality, received_at)"
                " VALUES (%s, %s, %s, %s, now()) ON CONFLICT (datastream_id, phenomenon_time)"
                " DO UPDATE SET result = excluded.result, quality = excluded.quality",
                [(row.datastream_id, row.time, row.result, int(row.quality)) for row in rows],
            )
        connection.execute(
            "INSERT INTO observation_batch (observations, frame) VALUES (%s, %s)",
            (len(rows), encode(frame_of(rows, corrects=corrects))),
        )
        connection.execute("NOTIFY pulso_observation_batch")


def frame_of(rows: Sequence[Row], *, corrects: bool = False) -> ObservationFrame:
    """Rows as the frame ingest writes."""
    return ObservationFrame(
        np.array([row.datastream_id for row in rows], np.int32),
        np.array([to_micros(row.time) for row in rows], np.int64),
        np.array([row.result for row in rows], np.float64),
        np.array([row.quality for row in rows], np.int16),
        np.full(len(rows), corrects),
    )


@asynccontextmanager
async def open_engine(
    database: TestDatabase, clock: Clock, settings: EngineSettings | None = None
) -> AsyncIterator[Engine]:
    """An engine with the default city's KPIs that steps when told to."""
    pack = load_pack("cdmx")
    pool = await open_database(database.settings)
    try:
        async with exclusive_session(pool, "kpi") as session:
            roster = await read_roster(database)
            engine = Engine(session, load_catalogue(pack), roster, clock, settings or EngineSettings())
            await engine.open()
            yield engine
    finally:
        await pool.close()


async def read_roster(database: TestDatabase) -> Roster:
    """The registry as it stands."""
    pool = await open_database(database.settings)
    try:
        zones = tuple(zone.zone_id for zone in load_pack("cdmx").zones)
        return Roster(zones, tuple(await ThingRepository(pool).registry()))
    finally:
        await pool.close()


async def drain(engine: Engine) -> None:
    """Step until nothing is left to take up."""
    while (await engine.step()).has_more:
        pass


async def recomputed(database: TestDatabase, period: Window) -> Comparison:
    """Stored values beside a recompute from the raw observations."""
    pool = await open_database(database.settings)
    try:
        async with reading_session(pool) as session, session.transaction() as transaction:
            roster = await read_roster(database)
            return await compare(transaction, load_catalogue(load_pack("cdmx")), roster, period)
    finally:
        await pool.close()
