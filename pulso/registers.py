"""Cumulative registers of meters: how far one moved between two readings, and why it fell.

Pure functions over numpy arrays (scalars broadcast), shared by the assessment of observations and by the indicators.
Registers in kWh, times in microseconds since 1970 UTC.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulso.model import Flag

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FlagBits = NDArray[np.int16]

_HOUR_MICROS = 3_600_000_000
_SLACK_KWH = 0.1  # what rounding of the register and of the time stamps may add to what a meter can count
_SLACK_SHARE = 0.05
_SMALLEST_SIZE = 1e4  # kWh; meters for billing have at least four digits before the point (unknown sizes only)


def growth(before: Floats, after: Floats, size: Floats | float) -> Floats:
    """How far a register moved, in kWh. `size` is where it starts again at zero, NaN if that is not known.

    A fall by more than half of a known size is a rollover. Any other fall stays negative: what was used meanwhile is
    not known.
    """
    moved: Floats = after - before
    return np.where(moved < -np.asarray(size) / 2, moved + size, moved)


def countable(hours: Floats, max_kw: Floats | float) -> Floats:
    """The most kWh that a meter of `max_kw` counts in `hours`, with the slack of rounding."""
    return np.asarray(hours * max_kw * (1 + _SLACK_SHARE) + _SLACK_KWH)


def episodes(before: Floats, after: Floats, hours: Floats, max_kw: Floats | float, size: Floats | float) -> FlagBits:
    """What happened between two readings `hours` apart: 0, or one of `Flag.ROLLOVER`, `RESET` and `EXCHANGE`.

    It is told by the power it would take. A register that fell is rolled over if it stood near its end (`size`, or the
    next power of ten from 10,000 kWh on where that is NaN) and what lies between both readings over that end can have
    been counted; reset if it starts from zero with no more than can have been counted; else the meter was exchanged.
    A register that grew by more than can have been counted is another meter, too. NaN before: nothing is known.
    """
    most = countable(hours, max_kw)
    moved = after - before
    with np.errstate(divide="ignore", invalid="ignore"):
        decade = 10.0 ** np.ceil(np.log10(np.maximum(before, 1.0)))
    known = np.isfinite(size)
    end = np.where(known, size, np.where(decade >= _SMALLEST_SIZE, decade, np.nan))
    over = moved + end
    near = np.where(known, moved < -end / 2, before >= 0.9 * end)
    flags = np.select(
        [
            ~np.isfinite(moved),
            (moved >= 0) & (moved <= most),
            moved >= 0,
            near & (over >= 0) & (over <= most),
            (after >= 0) & (after <= most),
        ],
        [0, 0, Flag.EXCHANGE, Flag.ROLLOVER, Flag.RESET],
        Flag.EXCHANGE,
    )
    return flags.astype(np.int16)


class Derived(NamedTuple):
    """Energy between consecutive readings: `kwh` of (`starts`, `ends`], NaN where an episode hides it.

    `flags` are the episodes; `gap` marks an interval longer than was asked for, whose energy is known as a whole only.
    """

    starts: Ints
    ends: Ints
    kwh: Floats
    flags: FlagBits
    gap: NDArray[np.bool_]


def derived_energy(
    times: Ints, values: Floats, max_kw: float = np.inf, size: float = np.nan, max_gap: int = _HOUR_MICROS
) -> Derived:
    """The energy of each interval of one register's readings, in any order of `times`; of equal times the last counts.

    Never negative, and never more than `max_kw` allows: the energy of a gap belongs to the gap's interval as a whole,
    marked, instead of to the moment after it. Over a rollover it is counted through the end of the register; over a
    reset or an exchange it is not known.
    """
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    last = np.append(times[1:] != times[:-1], True) if len(times) else np.zeros(0, bool)
    keep = last & np.isfinite(values)
    times, values = times[keep], values[keep]
    apart = np.diff(times)
    flags = episodes(values[:-1], values[1:], apart / _HOUR_MICROS, max_kw, size)
    moved = np.diff(values)
    end = size if np.isfinite(size) else 10.0 ** np.ceil(np.log10(np.maximum(values[:-1], 1.0)))
    kwh = np.where(flags == 0, moved, np.where(flags == Flag.ROLLOVER, moved + end, np.nan))
    return Derived(times[:-1], times[1:], kwh, flags, apart > max_gap)
