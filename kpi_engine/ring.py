"""Where formulas find panes: in memory for the recent past, or as loaded from the database."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pulso.panes import FIELDS, NEUTRAL, Panes, field_dtype, neutral

Ints = NDArray[np.int64]


Lookup = Callable[[str], NDArray[Any]]
"""Panes that were found: a field by name as an array (starts, datastreams); absent panes hold the neutral element."""


class PaneSource(Protocol):
    """Looks up panes of one resolution."""

    def look_up(self, starts: Ints, datastream_id: Ints) -> Lookup:
        """Find the panes with these starts, ascending, in minutes. Id -1 stands for "no such datastream"."""
        ...


class LoadedPanes:
    """Panes read from the database or computed from raw observations, unique by key."""

    def __init__(self, panes: Panes) -> None:
        self._panes = panes

    def look_up(self, starts: Ints, datastream_id: Ints) -> Lookup:
        """See PaneSource."""
        row = np.searchsorted(starts, self._panes.start)
        order = np.argsort(datastream_id, kind="stable")
        place = np.searchsorted(datastream_id[order], self._panes.datastream_id)
        found = np.flatnonzero((row < len(starts)) & (place < len(datastream_id)))
        row, column = row[found], order[place[found]]
        asked = (starts[row] == self._panes.start[found]) & (datastream_id[column] == self._panes.datastream_id[found])
        row, column, found = row[asked], column[asked], found[asked]

        def field(name: str) -> NDArray[Any]:
            values = neutral(name, len(starts), len(datastream_id))
            values[row, column] = getattr(self._panes, name)[found]
            return values

        return field


class PaneRing:
    """The newest panes of every datastream, a fixed number of slots in time.

    Memory: 9 fields of 8 bytes per slot and datastream, `slots * 72` bytes, whatever arrives; room for datastreams
    doubles when it is used up. Panes before or after the slots are refused (`covers`): they live in the database.
    """

    def __init__(self, resolution: int, slots: int, phase: int = 0, end: int = 0) -> None:
        """Slots of `resolution` minutes, `phase` minutes past its multiples; the newest contains minute `end`."""
        self.resolution = resolution
        self.phase = phase
        self._slots = slots
        self._end = self._slot(np.int64(end)) + 1  # slot number, exclusive
        self._ids = np.empty(0, np.int64)
        self._columns = np.empty(0, np.intp)
        self._used = 0
        self._fields: dict[str, NDArray[Any]] = {name: neutral(name, slots, 64) for name in FIELDS}

    @property
    def start(self) -> int:
        """First minute that has a slot."""
        return int(self._end - self._slots) * self.resolution + self.phase

    @property
    def end(self) -> int:
        """First minute after the last slot."""
        return int(self._end) * self.resolution + self.phase

    @property
    def bytes_per_datastream(self) -> int:
        """Memory of one more datastream."""
        return sum(self._slots * np.dtype(field_dtype(name)).itemsize for name in FIELDS)

    def covers(self, start: Ints) -> NDArray[np.bool_]:
        """Which panes have a slot, by start in minutes."""
        return (start >= self.start) & (start < self.end)

    def advance(self, minute: int) -> None:
        """Make room up to and including `minute`, forgetting as many of the oldest slots."""
        end = self._slot(np.int64(minute)) + 1
        fresh = np.arange(max(self._end, end - self._slots), end) % self._slots
        for name, values in self._fields.items():
            values[fresh] = NEUTRAL[name]
        self._end = max(self._end, end)

    def merge(self, panes: Panes) -> Panes:
        """Add what is new, and return the merged panes. All have to be covered, keys unique."""
        row, column = self._row(panes.start), self._column_of(panes.datastream_id)
        held = {name: values[row, column] for name, values in self._fields.items()}
        earlier, later = panes.first_time < held["first_time"], panes.last_time > held["last_time"]
        merged = Panes(
            datastream_id=panes.datastream_id,
            start=panes.start,
            count=held["count"] + panes.count,
            sum=held["sum"] + panes.sum,
            sum_squares=held["sum_squares"] + panes.sum_squares,
            min=np.minimum(held["min"], panes.min),
            max=np.maximum(held["max"], panes.max),
            first=np.where(earlier, panes.first, held["first"]),
            first_time=np.minimum(held["first_time"], panes.first_time),
            last=np.where(later, panes.last, held["last"]),
            last_time=np.maximum(held["last_time"], panes.last_time),
        )
        self._put(row, column, merged)
        return merged

    def replace(self, panes: Panes) -> None:
        """Hold exactly these panes under their keys. All have to be covered, keys unique."""
        self._put(self._row(panes.start), self._column_of(panes.datastream_id), panes)

    def clear(self, datastream_id: Ints, start: Ints) -> None:
        """Hold nothing under these keys. All have to be covered."""
        row, column = self._row(start), self._column_of(datastream_id)
        for name, values in self._fields.items():
            values[row, column] = NEUTRAL[name]

    def look_up(self, starts: Ints, datastream_id: Ints) -> Lookup:
        """See PaneSource."""
        columns, known = self._find(datastream_id)
        place = np.ix_(self._row(starts), columns)
        outside, unknown = ~self.covers(starts), ~known

        def field(name: str) -> NDArray[Any]:
            values = self._fields[name][place]
            values[outside] = NEUTRAL[name]
            values[:, unknown] = NEUTRAL[name]
            return values

        return field

    def occupied(self) -> Ints:
        """Starts of the slots in which any datastream has something, ascending, in minutes."""
        slots = np.arange(self._end - self._slots, self._end)
        held = self._fields["count"][slots % self._slots].any(axis=1)
        return slots[held] * self.resolution + self.phase

    def _slot(self, minute: np.int64) -> int:
        return int((minute - self.phase) // self.resolution)

    def _row(self, start: Ints) -> Ints:
        row: Ints = (start - self.phase) // self.resolution % self._slots
        return row

    def _put(self, row: Ints, column: NDArray[np.intp], panes: Panes) -> None:
        for name, values in self._fields.items():
            values[row, column] = getattr(panes, name)

    def _find(self, datastream_id: Ints) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Column of each id, and whether it has one; any column where not."""
        if not len(self._ids):
            return np.zeros(len(datastream_id), np.intp), np.zeros(len(datastream_id), bool)
        place = np.minimum(np.searchsorted(self._ids, datastream_id), len(self._ids) - 1)
        return self._columns[place], self._ids[place] == datastream_id

    def _column_of(self, datastream_id: Ints) -> NDArray[np.intp]:
        """Column of each id; ids without one get it."""
        columns, known = self._find(datastream_id)
        if not known.all():
            self._admit(np.unique(datastream_id[~known]))
            columns, _ = self._find(datastream_id)
        return columns

    def _admit(self, ids: Ints) -> None:
        columns = np.arange(self._used, self._used + len(ids))
        self._used += len(ids)
        place = np.searchsorted(self._ids, ids)
        self._ids, self._columns = np.insert(self._ids, place, ids), np.insert(self._columns, place, columns)
        room = self._fields["count"].shape[1]
        if self._used > room:
            more = max(room, self._used - room)
            self._fields = {
                name: np.concatenate([values, neutral(name, self._slots, more)], axis=1)
                for name, values in self._fields.items()
            }
