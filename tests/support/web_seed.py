"""Fills a migrated database with a believable city, without simulator, ingest or engine.

For tests of the web process; and `python -m tests.support.web_seed DSN` keeps one alive to look at.
"""

import math
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from pulso.city import CityPack, KpiDefinition, load_pack

MINUTE = timedelta(minutes=1)

_THINGS = {"traffic": (10, 60, "speed", "km/h"), "waste": (8, 300, "fill_level", "%"),
           "energy": (6, 60, "voltage", "V"), "air": (3, 60, "pm2_5", "ug/m3")}  # fmt: skip

# Middle of the city's values and their swing, by KPI; anything else is 50 +- 10.
_LEVELS = {
    "traffic_mean_speed": (21.0, 3.0),
    "traffic_travel_time_index": (1.42, 0.2),
    "waste_overflow_rate": (4.4, 1.4),
    "waste_mean_fill": (56.0, 7.0),
    "energy_demand": (1284.0, 90.0),
    "energy_voltage_compliance": (98.6, 0.7),
    "air_nom172": (3.0, 0.4),
    "air_pm25_12h": (31.0, 8.0),
    "air_pm25_hourly": (24.0, 8.0),
}


@dataclass(frozen=True)
class Value:
    """One row of kpi_value; times default to a window that ends at the last full step."""

    kpi: str
    zone: str
    value: float | None
    window_end: datetime
    band: str | None = None
    coverage: float = 0.97
    status: str = "provisional"
    observed_until: datetime | None = None
    revision: int = 0
    detail: dict[str, object] | None = None


class WebSeed:
    """Writes rows into one database."""

    def __init__(self, dsn: str, pack: CityPack | None = None) -> None:
        self.dsn = dsn
        self.pack = pack or load_pack("cdmx")

    def connect(self) -> Connection[TupleRow]:
        return psycopg.connect(self.dsn, autocommit=True)

    def zones(self) -> None:
        """The zones of the city pack."""
        with self.connect() as connection:
            connection.cursor().executemany(
                "INSERT INTO zone VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (zone_id) DO NOTHING",
                [
                    (z.zone_id, z.parent_id, z.kind, z.name, z.short_name, z.latitude, z.longitude)
                    for z in self.pack.zones
                ],
            )

    def thing(
        self, external_id: str, family: str, zone: str, *, prop: str, unit: str, interval: int = 60, name: str = ""
    ) -> int:
        """A thing with one datastream; returns the datastream's id."""
        with self.connect() as connection:
            (thing_id,) = connection.execute(
                "INSERT INTO thing (external_id, family, name, zone_id, expected_interval)"
                " VALUES (%s, %s, %s, %s, make_interval(secs => %s)) RETURNING thing_id",
                (external_id, family, name, zone, interval),
            ).fetchone() or (0,)
            (datastream_id,) = connection.execute(
                "INSERT INTO datastream (thing_id, observed_property, unit) VALUES (%s, %s, %s)"
                " RETURNING datastream_id",
                (thing_id, prop, unit),
            ).fetchone() or (0,)
            return int(datastream_id)

    def observations(self, datastream_id: int, points: Iterable[tuple[datetime, float]]) -> None:
        """Observations received when they happened, and one batch."""
        with self.connect() as connection:
            connection.cursor().executemany(
                "INSERT INTO observation VALUES (%s, %s, %s, 2, %s, NULL) ON CONFLICT DO NOTHING",
                [(datastream_id, moment, result, moment) for moment, result in points],
            )
            connection.execute("INSERT INTO observation_batch (observations, frame) VALUES (1, '')")

    def values(self, rows: Iterable[Value]) -> None:
        """KPI values, and the notification that follows them."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO kpi_value (kpi_id, zone_id, window_start, window_end, revision, value, band, coverage,"
                " status, observed_until, detail, version, known_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'seed', now())"
                " ON CONFLICT (kpi_id, zone_id, window_end, revision) DO UPDATE SET value = excluded.value,"
                " band = excluded.band, coverage = excluded.coverage, status = excluded.status,"
                " observed_until = excluded.observed_until, detail = excluded.detail, known_at = now()",
                [self._row(row) for row in rows],
            )
            cursor.execute("NOTIFY pulso_kpi_value")

    def _row(self, row: Value) -> tuple[object, ...]:
        definition = self.pack.kpi(row.kpi)
        band = row.band
        if band is None and row.value is not None and (found := definition.band_of(row.value)):
            band = found.state
        return (row.kpi, row.zone, row.window_end - definition.window.length, row.window_end, row.revision, row.value,
                band, row.coverage, row.status, row.observed_until, Jsonb(row.detail or {}))  # fmt: skip

    def city(self, now: datetime) -> None:
        """Everything: zones, 432 things, the last observations, two hours of values with a few things wrong."""
        self.zones()
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "WITH made AS (INSERT INTO thing (external_id, family, zone_id, expected_interval)"
                " VALUES (%(id)s, %(family)s, %(zone)s, make_interval(secs => %(interval)s)) RETURNING thing_id),"
                " stream AS (INSERT INTO datastream (thing_id, observed_property, unit)"
                " SELECT thing_id, %(property)s, %(unit)s FROM made RETURNING datastream_id)"
                " INSERT INTO observation SELECT datastream_id, %(seen)s, 20, 2, %(seen)s, NULL FROM stream",
                list(self._things(now)),
            )
            cursor.execute("DELETE FROM observation USING datastream, thing WHERE observation.datastream_id ="
                           " datastream.datastream_id AND datastream.thing_id = thing.thing_id"
                           " AND family = 'air' AND zone_id = 'tlahuac'")  # fmt: skip
            cursor.execute("INSERT INTO observation_batch (observations, frame) VALUES (432, '')")
        self.history(now)
        self.present(now)

    def _things(self, now: datetime) -> Iterator[dict[str, object]]:
        for family, (count, interval, prop, unit) in _THINGS.items():
            for zone in self.pack.districts:
                for number in range(count):
                    yield {"id": f"cdmx-{family}-{zone.zone_id}-{number:02}", "family": family, "zone": zone.zone_id,
                           "interval": interval, "property": prop, "unit": unit,
                           "seen": now - timedelta(seconds=number * 5)}  # fmt: skip

    def history(self, now: datetime) -> None:
        """Final values of the city's sparklines, and of the districts' last half hour."""
        self.values(self._series(now, [self.pack.city_zone.zone_id], 130))
        self.values(self._series(now, [zone.zone_id for zone in self.pack.districts], 20))

    def _series(self, now: datetime, zones: list[str], points: int) -> Iterator[Value]:
        for definition in self.pack.kpis.values():
            step = definition.window.step
            last = _floor(now, step)
            for zone in zones:
                for n in range(min(points, 26) if step > MINUTE else points):
                    yield from self._value(definition, zone, last - n * step, "final", last)

    def keep_reporting(self, now: datetime) -> None:
        """One observation of every datastream whose turn it is in this second, but for the stations of Tláhuac."""
        with self.connect() as connection:
            connection.execute(
                "INSERT INTO observation SELECT datastream_id, %(now)s, 20, 2, %(now)s FROM datastream"
                " JOIN thing USING (thing_id) WHERE NOT (family = 'air' AND zone_id = 'tlahuac')"
                " AND datastream_id %% extract(epoch FROM expected_interval)::integer"
                "   = extract(epoch FROM %(now)s)::bigint %% extract(epoch FROM expected_interval)::integer"
                " ON CONFLICT DO NOTHING",
                {"now": now},
            )
            connection.execute("INSERT INTO observation_batch (observations, frame) VALUES (1, '')")

    def present(self, now: datetime) -> None:
        """The provisional values of this moment, observed up to two seconds ago."""
        rows: list[Value] = []
        for definition in self.pack.kpis.values():
            end = _floor(now, definition.window.step) + definition.window.step
            for zone in self.pack.zones:
                rows += self._value(definition, zone.zone_id, end, "provisional", now - timedelta(seconds=2))
        self.values(rows)

    def _value(
        self, definition: KpiDefinition, zone: str, end: datetime, status: str, seen: datetime
    ) -> Iterator[Value]:
        middle, swing = _LEVELS.get(definition.id, (50.0, 10.0))
        phase = sum(map(ord, zone + definition.id)) % 100
        wave = math.sin(end.timestamp() / 2400 + phase) + 0.35 * math.sin(end.timestamp() / 400 + phase * 3)
        city = zone == self.pack.city_zone.zone_id
        value = middle + (swing if city else 2.2 * swing) * wave * (0.5 if city else 0.8)
        if definition.id == "energy_demand" and not city:
            value /= 16
        if definition.unit == "%":
            value = min(100.0, value)
        if definition.id == "air_nom172":
            value = 3.0 if city else float(round(min(3.0, max(0.0, 1 + wave))))
        if definition.id.startswith("air_pm25") and zone == "iztapalapa":
            value = 92.0 + wave
        if zone == "tlahuac" and definition.family == "air" and end > seen - timedelta(hours=2):
            return
        if definition.id == "energy_voltage_compliance" and city and end > seen - timedelta(minutes=25):
            yield Value(definition.id, zone, None, end, None, 0.38, status, min(end, seen))
            return
        detail: dict[str, object] = {"pollutants": ["PM2.5"]} if definition.id == "air_nom172" else {}
        if definition.id == "waste_overflow_rate" and city and end > seen - timedelta(minutes=11):
            return
        yield Value(
            definition.id, zone, max(0.0, value), end, None, 0.9 + phase / 1000, status, min(end, seen), 0, detail
        )


def _floor(moment: datetime, step: timedelta) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // step.total_seconds() * step.total_seconds(), UTC)


if __name__ == "__main__":
    seed = WebSeed(sys.argv[1])
    seed.city(datetime.now(UTC))
    while True:
        time.sleep(1)
        seed.keep_reporting(datetime.now(UTC))
        seed.present(datetime.now(UTC))
