"""KPI values and definitions as the engine writes and reads them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from pulso.db.session import Transaction
from pulso.db.sql import SQL
from pulso.model import BandState, KpiId, KpiStatus, KpiValue, Window, ZoneId

Key = tuple[KpiId, ZoneId, datetime]
"""KPI, zone and end of the window."""


@dataclass(frozen=True, slots=True)
class FinalityLimit:
    """Windows of one KPI and zone that end no later than `until` are final."""

    kpi_id: KpiId
    zone_id: ZoneId
    until: datetime


async def record_definitions(
    transaction: Transaction, definitions: Iterable[tuple[KpiId, str, dict[str, Any]]]
) -> None:
    """Keep (id, version, document) of every definition in use, so that old values can be explained."""
    async with transaction.cursor() as cursor:
        await cursor.executemany(
            SQL["kpi_definition_record"],
            [
                {"kpi_id": kpi_id, "version": version, "document": Jsonb(document)}
                for kpi_id, version, document in definitions
            ],
        )


async def load_latest(transaction: Transaction, keys: Sequence[Key]) -> dict[Key, KpiValue]:
    """The newest revision of each window that has one."""
    if not keys:
        return {}
    kpi_ids, zone_ids, ends = (list(column) for column in zip(*keys, strict=True))
    parameters = {"kpi_ids": kpi_ids, "zone_ids": zone_ids, "ends": ends, "first_end": min(ends), "last_end": max(ends)}
    return await _values(transaction, "kpi_value_latest", parameters)


async def load_latest_range(
    transaction: Transaction, kpi_id: KpiId, first: datetime, last: datetime
) -> dict[Key, KpiValue]:
    """The newest revision of every window of one KPI that ends within (first, last]."""
    parameters = {"kpi_id": kpi_id, "first": first, "last": last}
    return await _values(transaction, "kpi_value_latest_range", parameters)


async def _values(transaction: Transaction, statement: str, parameters: Mapping[str, object]) -> dict[Key, KpiValue]:
    cursor = await transaction.execute(SQL[statement], parameters)
    values = [_value(row) for row in await cursor.fetchall()]
    return {(value.kpi_id, value.zone_id, value.window.end): value for value in values}


def _value(row: tuple[Any, ...]) -> KpiValue:
    kpi_id, zone_id, start, end, value, band, coverage, status, revision, observed_until, version, detail = row
    return KpiValue(
        kpi_id=KpiId(kpi_id),
        zone_id=ZoneId(zone_id),
        window=Window(start, end),
        value=value,
        band=BandState(band) if band else None,
        coverage=coverage,
        status=KpiStatus(status),
        revision=revision,
        observed_until=observed_until,
        version=version,
        detail=detail,
    )


async def write_values(transaction: Transaction, values: Sequence[KpiValue], known_at: datetime) -> None:
    """Insert these revisions; one that exists is replaced (see `kpi_engine.revisions` for when that may be)."""
    if not values:
        return
    async with transaction.cursor() as cursor, cursor.copy(SQL["stage_kpi_value_fill"]) as copy:
        for value in values:
            await copy.write_row(_row(value, known_at))
    await transaction.execute(SQL["kpi_value_upsert"])


def _row(value: KpiValue, known_at: datetime) -> tuple[object, ...]:
    return (
        value.kpi_id,
        value.zone_id,
        value.window.end,
        value.revision,
        value.window.start,
        value.value,
        value.band,
        value.coverage,
        value.status,
        value.observed_until,
        Jsonb(dict(value.detail)),
        value.version,
        known_at,
    )


async def finalise(transaction: Transaction, limits: Sequence[FinalityLimit], known_at: datetime) -> int:
    """Make provisional values final whose window the watermark has passed; returns how many."""
    if not limits:
        return 0
    cursor = await transaction.execute(
        SQL["kpi_value_finalise"],
        {
            "known_at": known_at,
            "kpi_ids": [limit.kpi_id for limit in limits],
            "zone_ids": [limit.zone_id for limit in limits],
            "limits": [limit.until for limit in limits],
        },
    )
    return cursor.rowcount


async def notify_changed(transaction: Transaction) -> None:
    """Tell the screens, when this transaction commits, that there are new values."""
    await transaction.execute(SQL["kpi_value_notify"])
