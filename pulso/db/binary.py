"""PostgreSQL's binary COPY format for rows of fixed width, to and from numpy without a loop over rows.

Layout (PostgreSQL manual, COPY, "Binary Format"): a header, then per row the number of fields and each field as
length and big-endian bytes, then a trailer. With every column of fixed width, rows are one record type; a NULL has the
length -1 and no bytes, which are cut out of its row.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulso.errors import StorageError

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_POSTGRES_EPOCH = 946_684_800_000_000  # 2000-01-01 UTC, microseconds since 1970
MINUS_INFINITY = np.iinfo(np.int64).min
"""The timestamp '-infinity', which PostgreSQL sends as the least integer; not an offset from an epoch."""

Column = NDArray[Any]

_TYPES = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "float8": ">f8", "timestamptz": ">i8"}


def _record(columns: Sequence[tuple[str, str]]) -> np.dtype[np.void]:
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns:
        fields += [(f"length of {name}", ">i4"), (name, _TYPES[kind])]
    return np.dtype(fields)


def encode_rows(
    columns: Sequence[tuple[str, str]],
    values: Mapping[str, Column],
    nulls: Mapping[str, NDArray[np.bool_]] = MappingProxyType({}),
) -> bytes:
    """Rows for COPY ... FROM STDIN (FORMAT BINARY). Timestamps are microseconds since 1970 UTC, or MINUS_INFINITY.

    `nulls` tells for some columns the rows in which they are NULL, whatever value stands there.
    """
    record = _record(columns)
    rows = np.zeros(len(next(iter(values.values()))), record)
    rows["fields"] = len(columns)
    for name, kind in columns:
        rows[f"length of {name}"] = record[name].itemsize
        rows[name] = _since_2000(values[name]) if kind == "timestamptz" else values[name]
    return _HEADER + (_without(rows, nulls) if nulls else rows.tobytes()) + _TRAILER


def _without(rows: NDArray[np.void], nulls: Mapping[str, NDArray[np.bool_]]) -> bytes:
    """The bytes of records, those of values that are NULL left out."""
    fields = rows.dtype.fields
    assert fields is not None  # noqa: S101 (records have fields)
    sent = np.ones((len(rows), rows.dtype.itemsize), np.bool_)
    for name, is_null in nulls.items():
        kind, offset = fields[name][:2]
        rows[f"length of {name}"][is_null] = -1
        sent[is_null, offset : offset + kind.itemsize] = False
    return rows.view(np.uint8).reshape(sent.shape)[sent].tobytes()


def _since_2000(micros: Column) -> Column:
    return np.where(micros == MINUS_INFINITY, MINUS_INFINITY, micros - _POSTGRES_EPOCH)


def decode_rows(columns: Sequence[tuple[str, str]], data: bytes) -> dict[str, Column]:
    """Columns that COPY ... TO STDOUT (FORMAT BINARY) sent; integers as int64. Raises StorageError for other rows."""
    record = _record(columns)
    body = len(data) - len(_HEADER) - len(_TRAILER)
    if body % record.itemsize:
        raise StorageError(f"{body} bytes are not rows of {record.itemsize} bytes: a column is NULL or of another type")
    rows = np.frombuffer(data, record, body // record.itemsize, len(_HEADER))
    decoded: dict[str, Column] = {}
    for name, kind in columns:
        column = rows[name].astype(np.float64 if kind == "float8" else np.int64)
        decoded[name] = column + _POSTGRES_EPOCH if kind == "timestamptz" else column
    return decoded
