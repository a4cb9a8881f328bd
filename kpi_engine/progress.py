"""How far the things have told their story: newest event times, and the watermarks that follow from them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kpi_engine.things import Roster
from kpi_engine.windows import watermark
from pulso.db.things import RegisteredDatastream
from pulso.model import Family, ZoneId
from pulso.panes import MINUTE_MICROS, Panes

Ints = NDArray[np.int64]

_NEVER = np.iinfo(np.int64).min
_NOBODY = np.empty(0, np.intp)
_SECOND = 1_000_000
_MISSED = 2  # so many expected observations may be missing before a slow thing counts as idle


def _members(things: Sequence[RegisteredDatastream]) -> dict[tuple[Family, ZoneId | None], NDArray[np.intp]]:
    """Positions of the things of each family, in each zone and (None) in all of them."""
    places: dict[tuple[Family, ZoneId | None], list[int]] = {}
    for place, thing in enumerate(things):
        for zone_id in {thing.zone_id, None}:
            places.setdefault((Family(thing.family), zone_id), []).append(place)
    return {key: np.array(found, np.intp) for key, found in places.items()}


class Progress:
    """Newest event time and last sign of life of every thing; arrays with one element per thing, in microseconds."""

    def __init__(self, roster: Roster, idle_timeout: float) -> None:
        """Nothing heard yet. `idle_timeout` in seconds."""
        streams = sorted(roster.datastreams, key=lambda stream: stream.datastream_id)
        things = {stream.external_id: stream for stream in streams}
        place = {external_id: index for index, external_id in enumerate(things)}
        self._idle_timeout = idle_timeout
        self._place = place
        self._stream_ids = np.array([stream.datastream_id for stream in streams], np.int64)
        self._thing_of = np.array([place[stream.external_id] for stream in streams], np.intp)
        self._members = _members(list(things.values()))
        self._patience = np.array(
            [max(idle_timeout, _MISSED * thing.expected_interval) * _SECOND for thing in things.values()], np.int64
        )
        self._newest = np.full(len(things), _NEVER, np.int64)
        self._heard = np.full(len(things), _NEVER, np.int64)
        self._strangers: dict[int, tuple[int, int]] = {}  # datastreams the registry does not know yet

    def observe(self, panes: Panes, now: int) -> None:
        """Note what panes say; emptied ones say nothing."""
        told = panes.count > 0
        self.note(panes.datastream_id[told], panes.last_time[told], now)

    def note(self, datastream_id: Ints, moment: Ints, now: int) -> None:
        """Note the newest event times of datastreams, heard `now`."""
        known = np.isin(datastream_id, self._stream_ids)
        things = self._thing_of[np.searchsorted(self._stream_ids, datastream_id[known])]
        np.maximum.at(self._newest, things, moment[known])
        self._heard[things] = np.maximum(self._heard[things], now)
        for stream, newest in zip(datastream_id[~known].tolist(), moment[~known].tolist(), strict=True):
            self._strangers[stream] = (max(newest, self._strangers.get(stream, (newest, now))[0]), now)

    def under(self, roster: Roster) -> "Progress":
        """The same progress for another version of the registry."""
        moved = Progress(roster, self._idle_timeout)
        for external_id, index in moved._place.items():
            if external_id in self._place:
                moved._newest[index] = self._newest[self._place[external_id]]
                moved._heard[index] = self._heard[self._place[external_id]]
        for stream, (newest, heard) in self._strangers.items():
            moved.note(np.array([stream]), np.array([newest]), heard)
        return moved

    def newest_minute(self, family: Family) -> int | None:
        """The minute of the newest observation of a family; None before the first."""
        newest = self._newest[self._members.get((family, None), _NOBODY)].max(initial=_NEVER)
        return None if newest == _NEVER else int(newest // MINUTE_MICROS)

    def watermark(self, family: Family, zone_id: ZoneId | None, now: int) -> int | None:
        """Up to when a family has told everything in a zone (None: in the whole city), in microseconds."""
        members = self._members.get((family, zone_id), _NOBODY)
        chosen = members[self._newest[members] != _NEVER]
        return watermark(self._newest[chosen], self._heard[chosen], self._patience[chosen], now)
