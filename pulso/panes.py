"""Panes as columns: mergeable statistics of one datastream over one minute or one hour."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

MINUTE_MICROS = 60_000_000

NEUTRAL: Mapping[str, float | int] = MappingProxyType(
    {
        "count": 0,
        "sum": 0.0,
        "sum_squares": 0.0,
        "min": np.inf,
        "max": -np.inf,
        "first": 0.0,
        "first_time": np.iinfo(np.int64).max,
        "last": 0.0,
        "last_time": np.iinfo(np.int64).min,
    }
)
"""What an empty pane holds: the neutral element of merging, field by field."""

FIELDS = tuple(NEUTRAL)
INTEGER_FIELDS = frozenset({"count", "first_time", "last_time"})


def field_dtype(name: str) -> type[np.int64] | type[np.float64]:
    """The numpy type of one field."""
    return np.int64 if name in INTEGER_FIELDS else np.float64


def neutral(name: str, *shape: int) -> NDArray[Any]:
    """An array of one field of empty panes."""
    return np.full(shape, NEUTRAL[name], field_dtype(name))


@dataclass(frozen=True, slots=True)
class Panes:
    """Panes as columns of equal length; (datastream_id, start) is unique unless a function says otherwise.

    `datastream_id` int64; `start` int64, whole minutes since 1970 UTC; `count` int64; `first_time` and `last_time`
    int64, microseconds since 1970 UTC; the others float64, in the unit of the datastream (`sum_squares` squared).
    """

    datastream_id: NDArray[np.int64]
    start: NDArray[np.int64]
    count: NDArray[np.int64]
    sum: NDArray[np.float64]
    sum_squares: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    first: NDArray[np.float64]
    first_time: NDArray[np.int64]
    last: NDArray[np.float64]
    last_time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.datastream_id)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Panes":
        """The panes at `rows`, a mask or positions."""
        return Panes(*(getattr(self, name)[rows] for name in COLUMNS))

    @staticmethod
    def empty() -> "Panes":
        """No panes."""
        keys = np.empty(0, np.int64)
        return Panes(keys, keys, *(neutral(name, 0) for name in FIELDS))

    @staticmethod
    def concatenate(*parts: "Panes") -> "Panes":
        """All rows of `parts`, in their order; keys may repeat."""
        return Panes(*(np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS))


COLUMNS = ("datastream_id", "start", *FIELDS)
