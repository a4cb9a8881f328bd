"""Judges observations in the order of their arrival, a batch of columns at a time."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.assess import checks
from ingest.assess.checks import NEVER, Before, Floats, Ints, Run, Truths
from ingest.assess.streams import LAGS, Streams
from pulso.city.assessment import AssessmentTable
from pulso.model import Flag, Quality
from pulso.registers import episodes

_HOUR_MICROS = 3_600_000_000


class Columns(Protocol):
    """Observations as columns of equal length, in order of arrival. Times in microseconds since 1970 UTC."""

    @property
    def datastream_id(self) -> NDArray[np.int32]:
        """Of each row."""
        ...

    @property
    def phenomenon_time(self) -> Ints:
        """When it was so."""
        ...

    @property
    def result(self) -> Floats:
        """In the unit of the datastream."""
        ...

    @property
    def received_at(self) -> Ints:
        """When we heard of it."""
        ...


class Assessed(NamedTuple):
    """`quality` (see `Quality`) and `flags` (see `Flag`) of each row."""

    quality: NDArray[np.int16]
    flags: NDArray[np.int16]


class _Sequence(NamedTuple):
    """Rows that are newer than all before them of their datastream, by place, then in order of arrival.

    `rows` are their places in the batch; `nth` counts them within the batch, from 0, for each datastream.
    """

    rows: NDArray[np.intp]
    places: NDArray[np.int32]
    values: Floats
    times: Ints
    nth: NDArray[np.intp]


class Assessor:
    """Judges observations by a city's rules.

    FAIL depends on the observation alone, so indicators, which leave out what failed, do not depend on the order of
    arrival. The tests that look back see what arrived before: an observation that is not newer than all before it of
    its datastream is judged by its range and clock only and changes nothing for those after. What is remembered is
    lost with the process: the first observations after a start are judged by less.

    However a stream of rows is cut into batches, the same rows get the same answer. Give each batch once: a repeated
    one would be old by then.
    """

    def __init__(self, table: AssessmentTable) -> None:
        self._streams = Streams(table)
        self._ahead = int(table.clock.ahead * 1e6)

    def meet(
        self,
        datastream_id: int,
        observed_property: str,
        unit: str,
        zone_id: str | None,
        properties: Mapping[str, float],
    ) -> None:
        """Tell what a datastream is, before its first observation and whenever that changed.

        `properties` of its thing: `max_power_kw` and `register_max_kwh` of a meter.
        """
        self._streams.meet(datastream_id, observed_property, unit, zone_id, properties)

    def assess(self, columns: Columns) -> Assessed:
        """Quality and flags of each row. A datastream that was not met, or has no rule, is not evaluated."""
        streams = self._streams
        streams.settle()
        places = streams.places(columns.datastream_id)
        values, times = columns.result, columns.phenomenon_time
        limit = streams.thresholds
        failed = checks.outside(values, limit["lowest"][places], limit["highest"][places]) & streams.ruled[places]
        odd = checks.outside(values, limit["low"][places], limit["high"][places]) & streams.ruled[places]
        flags = (Flag.RANGE * (failed | odd)).astype(np.int16)
        flags |= (Flag.CLOCK * (times - columns.received_at > self._ahead)).astype(np.int16)
        sequence = self._sequence(np.flatnonzero(streams.sequence[places] & ~failed), places, values, times)
        if len(sequence.rows):
            flags[sequence.rows] |= self._look_back(sequence)
        evaluated = streams.ruled[places] | streams.register[places]
        quality = np.where(evaluated, Quality.PASS, Quality.NOT_EVALUATED)
        quality = np.where(flags != 0, Quality.SUSPECT, quality)
        return Assessed(np.where(failed, Quality.FAIL, quality).astype(np.int16), flags)

    def _sequence(self, rows: NDArray[np.intp], places: NDArray[np.int32], values: Floats, times: Ints) -> _Sequence:
        """Of `rows`, those newer than all before them of their datastream."""
        rows = rows[np.argsort(places[rows], kind="stable")]
        place, time = places[rows], times[rows]
        newer = time > self._streams.times[place, 0]
        rows, place, time = rows[newer], place[newer], time[newer]
        first = _first(place)
        if not (first[1:] | (time[1:] > time[:-1])).all():
            rank = np.unique(time, return_inverse=True)[1]
            key = np.cumsum(first) * len(rows) + rank  # greater in each next datastream than in all before
            newer = np.ones(len(rows), bool)
            newer[1:] = key[1:] > np.maximum.accumulate(key)[:-1]
            rows, place, time = rows[newer], place[newer], time[newer]
            first = _first(place)
        count = np.arange(len(rows))
        nth = count - np.maximum.accumulate(np.where(first, count, 0))
        return _Sequence(rows, place, values[rows], time, nth)

    def _look_back(self, sequence: _Sequence) -> NDArray[np.int16]:
        """The flags of all tests that need what came before; remembers the sequence."""
        streams, place, values = self._streams, sequence.places, sequence.values
        limit = {name: column[place] for name, column in streams.thresholds.items()}
        lagged, lag_times = self._before(sequence)
        before = Before(lagged, sequence.times - lag_times)
        repeated, began = self._runs(sequence, before, limit["stuck_least"])
        run = Run(repeated, sequence.times - began)
        tests = (
            (Flag.RATE, checks.too_fast(values, before, limit["per_minute"], limit["slack"], limit["rate_gap"])),
            (Flag.SPIKE, checks.spiked(values, before, limit["height"], limit["spike_gap"])),
            (Flag.STUCK, checks.stuck(values, run, limit["stuck_times"], limit["stuck_least"], limit["may_stay"])),
            (Flag.NEIGHBOURS, self._apart(sequence, limit)),
        )
        flags = np.zeros(len(values), np.int16)
        for flag, found in tests:
            flags |= (flag * found).astype(np.int16)
        register = streams.register[place]
        if register.any():
            flags[register] |= episodes(
                before.values[0, register],
                values[register],
                before.ages[0, register] / _HOUR_MICROS,
                limit["max_kw"][register],
                limit["register_size"][register],
            )
        last = np.append(place[1:] != place[:-1], True)
        streams.values[place[last]] = np.stack([values, *lagged[: LAGS - 1]], axis=1)[last]
        streams.times[place[last]] = np.stack([sequence.times, *lag_times[: LAGS - 1]], axis=1)[last]
        streams.run[place[last]], streams.run_began[place[last]] = repeated[last], began[last]
        return flags

    def _before(self, sequence: _Sequence) -> tuple[Floats, Ints]:
        """Values and times of the observations before, (LAGS, rows): of this batch, or remembered."""
        streams, count = self._streams, np.arange(len(sequence.rows))
        values, times = [], []
        for lag in range(1, LAGS + 1):
            here, earlier = sequence.nth >= lag, np.maximum(count - lag, 0)
            kept = np.clip(lag - 1 - sequence.nth, 0, LAGS - 1)
            values.append(np.where(here, sequence.values[earlier], streams.values[sequence.places, kept]))
            times.append(np.where(here, sequence.times[earlier], streams.times[sequence.places, kept]))
        return np.stack(values), np.stack(times)

    def _runs(self, sequence: _Sequence, before: Before, longest_gap: Floats) -> tuple[Ints, Ints]:
        """How often each value has stood in a row by now, and since when; a long gap ends a run."""
        streams, count = self._streams, np.arange(len(sequence.rows))
        same = (
            (sequence.values == before.values[0])
            & (before.ages[0] <= longest_gap)
            & (before.values[0] == before.values[0])
        )
        start = np.maximum.accumulate(np.where(same & (sequence.nth > 0), 0, count))
        goes_on = same[start]  # from before this batch
        run = count - start + 1 + np.where(goes_on, streams.run[sequence.places], 0)
        return run, np.where(goes_on, streams.run_began[sequence.places], sequence.times[start])

    def _apart(self, sequence: _Sequence, limit: Mapping[str, Floats]) -> Truths:
        """Far from what the neighbours said last, as it was known when each row arrived."""
        found = np.zeros(len(sequence.rows), bool)
        compared = np.flatnonzero(self._streams.compared[sequence.places])
        if not len(compared):
            return found
        streams = self._streams
        others = streams.neighbours[sequence.places[compared]]
        rows = int(sequence.rows.max()) + 1
        key = sequence.places.astype(np.int64) * rows + sequence.rows
        newest = np.searchsorted(key, others.astype(np.int64) * rows + sequence.rows[compared, None]) - 1
        here = (newest >= 0) & (sequence.places[newest] == others)
        values = np.where(here, sequence.values[newest], streams.values[others, 0])
        times = np.where(here, sequence.times[newest], streams.times[others, 0])
        fresh = (times != NEVER) & (np.abs(sequence.times[compared, None] - times) <= limit["within"][compared, None])
        found[compared] = checks.apart(
            sequence.values[compared],
            np.where(fresh, values, np.nan),
            limit["deviations"][compared],
            limit["floor"][compared],
        )
        return found


def _first(places: NDArray[np.int32]) -> Truths:
    """Where a datastream's rows begin."""
    first = np.ones(len(places), bool)
    first[1:] = places[1:] != places[:-1]
    return first
