"""The tests of single observations: pure functions of columns, each True where an observation does not pass.

They follow the real-time quality control of IOOS (QARTOD manuals, for instance "Manual for Real-Time Quality Control of
In-situ Temperature and Salinity Data", version 2.1, 2020): gross range, spike, rate of change, flat line and, across
sensors, neighbours; and Hampel's identifier for what is far from a median (Hampel 1974, JASA 69). Where QARTOD
compares with the observation after, these compare with those before only: an observation is judged once, on arrival.

Times are int64 microseconds since 1970 UTC. A row without an observation before has `NEVER` as its time, NaN as its
value, and a gap no limit admits: no test that needs it is made.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Truths = NDArray[np.bool_]

NEVER = -(2**62)
_MINUTE_MICROS = 60e6
_NORMAL_MAD = 1.4826  # standard deviations of a normal distribution in one median absolute deviation
FEWEST_NEIGHBOURS = 5


class Before(NamedTuple):
    """The observations before each row, newest first: `values` and `ages` (µs before the row), (lags, rows)."""

    values: Floats
    ages: Ints


def outside(values: Floats, low: Floats, high: Floats) -> Truths:
    """Outside [low, high] (QARTOD gross range). A result that is not a number lies outside everything."""
    return ~((values >= low) & (values <= high))


def too_fast(values: Floats, before: Before, per_minute: Floats, slack: Floats, longest_gap: Floats) -> Truths:
    """Changed by more than `per_minute` times the minutes, plus `slack` (QARTOD rate of change).

    The change from the observation before counts, unless the one before that is near enough: else the return from a
    spike would be blamed as much as the spike.
    """
    distance = np.abs(values - before.values[:2])
    jumped = distance > per_minute * (before.ages[:2] / _MINUTE_MICROS) + slack
    judged = before.ages[:2] <= longest_gap
    return np.asarray(judged[0] & jumped[0] & (jumped[1] | ~judged[1]))


def spiked(values: Floats, before: Before, height: Floats, longest_gap: Floats) -> Truths:
    """Further than `height` from the median of the three observations before (QARTOD spike, with a running median).

    A lasting step is flagged twice at most: then the median has followed.
    """
    first, second, third = before.values
    median = np.maximum(np.minimum(first, second), np.minimum(np.maximum(first, second), third))
    return np.asarray((before.ages[2] <= longest_gap) & (np.abs(values - median) > height))


class Run(NamedTuple):
    """How often each row's value has stood in a row by now, and for how long (µs)."""

    times: Ints
    lasted: Ints


def stuck(values: Floats, run: Run, times: Floats, lasted: Floats, may_stay: Floats) -> Truths:
    """The same for at least `times` observations and `lasted` µs (QARTOD flat line); values up to `may_stay` may."""
    return (run.times >= times) & (run.lasted >= lasted) & ~(values <= may_stay)


def apart(values: Floats, others: Floats, deviations: Floats, floor: Floats) -> Truths:
    """Further from the median of `others`, (rows, neighbours), than so many deviations of theirs and than `floor`.

    NaN in `others` is no neighbour; fewer than `FEWEST_NEIGHBOURS` judge nothing. The deviation is the median absolute
    one, times 1.4826 (Hampel's identifier); `floor` keeps neighbours that agree to the digit from blaming everyone.
    """
    count = np.isfinite(others).sum(axis=1)
    judged = count >= FEWEST_NEIGHBOURS
    median = _median(others, count)
    spread = _NORMAL_MAD * _median(np.abs(others - median[:, None]), count)
    return np.asarray(judged & (np.abs(values - median) > np.maximum(deviations * spread, floor)))


def _median(values: Floats, count: NDArray[np.int_]) -> Floats:
    """Median of each row's `count` numbers; NaN in rows without one."""
    ordered = np.sort(values, axis=1)  # NaN last
    rows = np.arange(len(values))
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[1] - 1)
    return np.asarray((ordered[rows, low] + ordered[rows, high]) / 2)
