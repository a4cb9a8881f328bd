"""Stage 1: observations to panes, in columns. Pure: no clock, no database.

Merging panes is associative and commutative (`first` and `last` go by time), so neither the order of arrival nor how
observations were cut into frames changes a pane, beyond the last bits of a floating-point sum; `kpi_engine.rounding`
says how those are kept away from the results.
"""

import numpy as np
from numpy.typing import NDArray

from pulso.panes import MINUTE_MICROS, Panes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Positions = NDArray[np.intp]


def aggregate(datastream_id: Ints, phenomenon_time: Ints, result: Floats) -> Panes:
    """One-minute panes of observations in any order, sorted by (datastream_id, start).

    `phenomenon_time` in microseconds since 1970 UTC. An observation that comes twice counts once.
    """
    if not len(datastream_id):
        return Panes.empty()
    ids, times, values = _in_order(datastream_id, phenomenon_time, result)
    minutes = times // MINUTE_MICROS
    starts = np.flatnonzero(np.append(True, (ids[1:] != ids[:-1]) | (minutes[1:] != minutes[:-1])))
    lasts = np.append(starts[1:], len(ids)) - 1
    return Panes(
        datastream_id=ids[starts],
        start=minutes[starts],
        count=lasts - starts + 1,
        sum=np.add.reduceat(values, starts),
        sum_squares=np.add.reduceat(values * values, starts),
        min=np.minimum.reduceat(values, starts),
        max=np.maximum.reduceat(values, starts),
        first=values[starts],
        first_time=times[starts],
        last=values[lasts],
        last_time=times[lasts],
    )


def combine(panes: Panes) -> Panes:
    """Merge panes of equal key; the result is unique and sorted by (datastream_id, start)."""
    if not len(panes):
        return panes
    keys = pane_keys(panes.datastream_id, panes.start)
    order = np.argsort(keys, kind="stable")
    panes, keys = panes.select(order), keys[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    if len(starts) == len(panes):
        return panes
    first = np.lexsort((panes.first_time, keys))[starts]
    last = np.lexsort((panes.last_time, keys))[np.append(starts[1:], len(keys)) - 1]
    return _merge_groups(panes, panes.start, starts, first, last)


def _merge_groups(panes: Panes, begin: Ints, starts: Positions, first: Positions, last: Positions) -> Panes:
    """Merge runs of panes: `starts` of the runs, and where in each the pane with the first and the last time is."""
    return Panes(
        datastream_id=panes.datastream_id[starts],
        start=begin[starts],
        count=np.add.reduceat(panes.count, starts),
        sum=np.add.reduceat(panes.sum, starts),
        sum_squares=np.add.reduceat(panes.sum_squares, starts),
        min=np.minimum.reduceat(panes.min, starts),
        max=np.maximum.reduceat(panes.max, starts),
        first=panes.first[first],
        first_time=panes.first_time[first],
        last=panes.last[last],
        last_time=panes.last_time[last],
    )


def coarsen(panes: Panes, resolution: int, phase: int) -> Panes:
    """Merge panes into longer ones of `resolution` minutes that start `phase` minutes past its multiples.

    `panes` are unique and sorted by (datastream_id, start), so within a longer one they are in order of time.
    """
    if not len(panes):
        return panes
    begin = panes.start - (panes.start - phase) % resolution
    keys = pane_keys(panes.datastream_id, begin)
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    lasts = np.append(starts[1:], len(keys)) - 1
    return _merge_groups(panes, begin, starts, starts, lasts)


def contains(panes: Panes, datastream_id: Ints, start: Ints) -> NDArray[np.bool_]:
    """Which of `panes` have a key among the given ones."""
    return np.isin(pane_keys(panes.datastream_id, panes.start), pane_keys(datastream_id, start))


def pane_keys(datastream_id: Ints, start: Ints) -> Ints:
    """One integer per (datastream, start) that sorts as the pair does."""
    # Minutes since 1970 fit into 32 bits until the year 10136, datastream ids are 31 bits.
    return (datastream_id.astype(np.int64) << np.int64(32)) | start


def _in_order(datastream_id: Ints, phenomenon_time: Ints, result: Floats) -> tuple[Ints, Ints, Floats]:
    """Columns sorted by datastream, then time, each such pair once."""
    oldest = phenomenon_time.min()
    time_bits = int(phenomenon_time.max() - oldest).bit_length()
    row_bits = len(result).bit_length()
    if time_bits + row_bits + int(datastream_id.max()).bit_length() > 63:
        return _in_order_by_two_keys(datastream_id, phenomenon_time, result)
    # Datastream, time and row in one integer: sorting integers is five times faster than sorting their positions,
    # and two of the three columns come back out of it without a look-up.
    packed = (datastream_id.astype(np.int64) << (time_bits + row_bits)) | ((phenomenon_time - oldest) << row_bits)
    packed |= np.arange(len(result))
    packed.sort()
    keys = packed >> row_bits
    once = np.append(True, keys[1:] != keys[:-1])
    if not once.all():
        packed, keys = packed[once], keys[once]
    rows = packed & ((1 << row_bits) - 1)
    return keys >> time_bits, (keys & ((1 << time_bits) - 1)) + oldest, result[rows]


def _in_order_by_two_keys(datastream_id: Ints, phenomenon_time: Ints, result: Floats) -> tuple[Ints, Ints, Floats]:
    order = np.lexsort((phenomenon_time, datastream_id))
    ids, times, values = datastream_id[order].astype(np.int64), phenomenon_time[order], result[order]
    once = np.append(True, (ids[1:] != ids[:-1]) | (times[1:] != times[:-1]))
    return ids[once], times[once], values[once]
