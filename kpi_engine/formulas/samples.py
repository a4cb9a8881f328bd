"""Samples with gaps, along the last axis: means, percentiles, and which of some cut points a value is beyond."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kpi_engine.formulas.base import Floats
from kpi_engine.formulas.ratios import ratio
from kpi_engine.rounding import round_half_up

Bools = NDArray[np.bool_]

_DECIMALS = 6  # what values are stored with: a value this close to a limit lies on it, whatever the order of summation


def measured(values: Floats) -> Bools:
    """Where there is a quantity that can be: finite and not negative."""
    return np.isfinite(values) & (np.asarray(values) >= 0)


def mean(samples: Floats) -> Floats:
    """Arithmetic mean over the last axis of the samples that are finite; NaN where there are none."""
    there = np.isfinite(samples)
    return ratio(np.where(there, samples, 0.0).sum(axis=-1), there.sum(axis=-1).astype(float))


def percentile(samples: Floats, percent: float, *, minimum: int = 1) -> Floats:
    """Percentile over the last axis by linear interpolation; NaN where fewer than `minimum` are finite.

    The n samples in ascending order stand at the positions 0 to n - 1, and the percentile at percent / 100 * (n - 1)
    between its two neighbours: definition 7 of Hyndman and Fan (1996), the default of numpy and of spreadsheets
    (recalled). Raises ValueError for a `percent` outside 0 to 100, both included, or a `minimum` below 1.
    """
    if not 0 <= percent <= 100 or minimum < 1:
        raise ValueError(f"no percentile {percent} of at least {minimum} samples")
    there = np.isfinite(samples)
    count = there.sum(axis=-1)
    if not samples.shape[-1]:
        return np.full(count.shape, np.nan)
    ordered = np.sort(np.where(there, samples, np.nan), axis=-1)  # NaN last
    position = percent / 100 * (count - 1).clip(min=0)
    below = np.floor(position).astype(np.int64)
    low = np.take_along_axis(ordered, below[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(ordered, np.ceil(position).astype(np.int64)[..., None], axis=-1)[..., 0]
    enough = count >= minimum
    return np.where(enough, low + (position - below) * np.where(enough, high - low, 0.0), np.nan)


def cuts_above(values: Floats, cuts: Sequence[float]) -> Floats:
    """How many of the ascending `cuts` a value lies above, the cut itself excluded; NaN for a missing value.

    The band index where upper ends are included: a value on a cut belongs to the band below it. Values are rounded
    half up to six decimals first, as stored values are.
    """
    return _count(values, cuts, "left")


def cuts_reached(values: Floats, cuts: Sequence[float]) -> Floats:
    """How many of the ascending `cuts` a value has reached, the cut itself included; NaN for a missing value.

    The band index where lower ends are included: a value on a cut belongs to the band above it. Rounded as above.
    """
    return _count(values, cuts, "right")


def reaches(values: Floats, limit: float) -> Bools:
    """Where a value is at or above `limit`; false where it is missing. Rounded as by `cuts_reached`."""
    reached: Bools = cuts_reached(values, (limit,)) == 1
    return reached


def _count(values: Floats, cuts: Sequence[float], side: str) -> Floats:
    rounded = round_half_up(np.asarray(values, float), _DECIMALS)
    passed = np.searchsorted(cuts, rounded, side="left" if side == "left" else "right")
    return np.where(np.isnan(rounded), np.nan, passed)
