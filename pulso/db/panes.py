"""Panes in the database: `rollup_1m`, `rollup_1h`, and the observations they are rebuilt from."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from psycopg.abc import Params

from pulso.db.binary import Column, decode_rows, encode_rows
from pulso.db.session import Transaction
from pulso.db.sql import SQL
from pulso.panes import COLUMNS, FIELDS, INTEGER_FIELDS, MINUTE_MICROS, Panes


class Rollup(StrEnum):
    """The two tables of panes."""

    MINUTE = "1m"
    HOUR = "1h"


_KINDS = {"datastream_id": "int4", "start": "timestamptz", "count": "int4"}
_PANE = [(name, _KINDS.get(name, "timestamptz" if name in INTEGER_FIELDS else "float8")) for name in COLUMNS]
_KEY = _PANE[:2]
_OBSERVATION = [
    ("datastream_id", "int4"),
    ("phenomenon_time", "timestamptz"),
    ("result", "float8"),
    ("quality", "int2"),
]


@dataclass(frozen=True, slots=True)
class Observations:
    """Observations as columns; `phenomenon_time` in microseconds since 1970 UTC."""

    datastream_id: NDArray[np.int64]
    phenomenon_time: NDArray[np.int64]
    result: NDArray[np.float64]
    quality: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.datastream_id)


async def upsert_panes(transaction: Transaction, rollup: Rollup, panes: Panes) -> None:
    """Make the table hold `panes`, replacing what it held for their keys."""
    if not len(panes):
        return
    columns: dict[str, Column] = {name: getattr(panes, name) for name in ("datastream_id", *FIELDS)}
    columns["start"] = panes.start * MINUTE_MICROS
    await transaction.execute(SQL["stage_pane_clear"])
    await _copy_in(transaction, "stage_pane_fill", encode_rows(_PANE, columns))
    await transaction.execute(SQL[f"rollup_{rollup}_upsert"])


async def load_panes(
    transaction: Transaction, rollup: Rollup, datastream_id: NDArray[np.int64], start: NDArray[np.int64]
) -> Panes:
    """The panes of these keys; keys without one are absent. `start` in minutes since 1970 UTC."""
    if not len(datastream_id):
        return Panes.empty()
    bounds = await _stage_keys(transaction, datastream_id, start)
    return _panes(await _copy_out(transaction, f"rollup_{rollup}_by_key", bounds))


async def load_pane_range(
    transaction: Transaction, rollup: Rollup, datastream_id: NDArray[np.int64], first: int, end: int
) -> Panes:
    """All panes of these datastreams that start within [first, end), in minutes since 1970 UTC."""
    parameters = {"ids": datastream_id.tolist(), "first": first * 60, "end": end * 60}
    return _panes(await _copy_out(transaction, f"rollup_{rollup}_range", parameters))


async def load_recent_panes(transaction: Transaction, rollup: Rollup, first: int, end: int) -> Panes:
    """The panes of every datastream that start within [first, end), in minutes since 1970 UTC."""
    return _panes(await _copy_out(transaction, f"rollup_{rollup}_recent", {"first": first * 60, "end": end * 60}))


async def delete_panes(
    transaction: Transaction, rollup: Rollup, datastream_id: NDArray[np.int64], start: NDArray[np.int64]
) -> None:
    """Delete the panes of these keys. `start` in minutes since 1970 UTC."""
    if len(datastream_id):
        bounds = await _stage_keys(transaction, datastream_id, start)
        await transaction.execute(SQL[f"rollup_{rollup}_delete_staged"], bounds)


async def load_observations_of(
    transaction: Transaction, datastream_id: NDArray[np.int64], minute: NDArray[np.int64]
) -> Observations:
    """The stored observations of these (datastream, minute) keys, whatever their quality."""
    bounds = await _stage_keys(transaction, datastream_id, minute)
    return Observations(**decode_rows(_OBSERVATION, await _copy_out(transaction, "observations_by_minute", bounds)))


async def load_observation_range(
    transaction: Transaction, datastream_id: NDArray[np.int64], first: int, end: int
) -> Observations:
    """The stored observations of these datastreams within [first, end), in minutes since 1970 UTC."""
    parameters = {"ids": datastream_id.tolist(), "first": first * 60, "end": end * 60}
    return Observations(**decode_rows(_OBSERVATION, await _copy_out(transaction, "observations_range", parameters)))


async def load_newest(transaction: Transaction) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each datastream and the time of its newest observation that counts, microseconds since 1970 UTC."""
    columns = [("datastream_id", "int4"), ("last_time", "timestamptz")]
    newest = decode_rows(columns, await _copy_out(transaction, "rollup_newest"))
    return newest["datastream_id"], newest["last_time"]


async def _stage_keys(
    transaction: Transaction, datastream_id: NDArray[np.int64], start: NDArray[np.int64]
) -> dict[str, int]:
    """Stage keys, at least one; returns the first and the last start in seconds since 1970 UTC."""
    await transaction.execute(SQL["stage_key_clear"])
    keys = encode_rows(_KEY, {"datastream_id": datastream_id, "start": start * MINUTE_MICROS})
    await _copy_in(transaction, "stage_key_fill", keys)
    return {"first": int(start.min()) * 60, "last": int(start.max()) * 60}


async def _copy_in(transaction: Transaction, statement: str, data: bytes) -> None:
    async with transaction.cursor() as cursor, cursor.copy(SQL[statement]) as copy:
        await copy.write(data)


async def _copy_out(transaction: Transaction, statement: str, parameters: Params | None = None) -> bytes:
    async with transaction.cursor() as cursor, cursor.copy(SQL[statement], parameters) as copy:
        return b"".join([bytes(part) async for part in copy])


def _panes(data: bytes) -> Panes:
    columns = decode_rows(_PANE, data)
    columns["start"] = columns["start"] // MINUTE_MICROS
    return Panes(*(columns[name] for name in COLUMNS))
