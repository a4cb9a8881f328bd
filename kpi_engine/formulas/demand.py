"""Demand of electricity from the energy of intervals: its peak, and how evenly it is used. Pure arrays."""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kpi_engine.formulas.base import Floats, Ints
from kpi_engine.formulas.ratios import ratio
from pulso.errors import ConfigurationError


class Peak(NamedTuple):
    """The largest demand of a series in kW, and its first position in it; NaN and -1 where nothing is known."""

    kw: Floats
    position: Ints


def demand_kw(kwh: Floats | float, minutes: Floats | float) -> Floats:
    """Demand in kW: kWh * 60 / minutes, the energy of an interval per hour of it.

    Intervals are half-open, [start, end). NaN where the energy is not known or the interval has no length. The
    definition is recalled, not verified.
    """
    return ratio(kwh, np.asarray(minutes, np.float64) / 60)


def rolling_demand(kwh: Floats, step_minutes: int = 5, window_minutes: int = 15) -> Floats:
    """Demand in kW over every whole window of a series of intervals; kWh (..., steps) to kW (..., windows).

    The windows are half-open and move on by one step; the first ends with step window_minutes / step_minutes, so
    that many steps less one are used up, and a shorter series has no window. A window with a missing (NaN) step is NaN:
    the energy of a gap is not zero. CFE bills a rolling quarter of an hour built from steps of five minutes: recalled,
    not verified. Raises ConfigurationError if the window is no multiple of the step.
    """
    if step_minutes < 1 or window_minutes < step_minutes or window_minutes % step_minutes:
        raise ConfigurationError(f"a window of {window_minutes} min is not a multiple of its step {step_minutes} min")
    steps = window_minutes // step_minutes
    if kwh.shape[-1] < steps:
        return np.empty((*kwh.shape[:-1], 0))
    return demand_kw(sliding_window_view(kwh, steps, axis=-1).sum(axis=-1), window_minutes)


def peak_demand(demand: Floats) -> Peak:
    """Peak demand in kW: the largest known value along the last axis.

    NaN values are left out, so the peak of a series with gaps is only the least that the true one can be: give its
    coverage beside it. Peak demand of a day or month as CFE bills it: recalled, not verified.
    """
    if not demand.shape[-1]:
        return Peak(np.full(demand.shape[:-1], np.nan), np.full(demand.shape[:-1], -1))
    known = np.where(np.isnan(demand), -np.inf, demand)
    position = known.argmax(axis=-1)
    largest = known.max(axis=-1)
    found = largest > -np.inf
    return Peak(np.where(found, largest, np.nan), np.where(found, position, -1))


def load_factor(kwh: Floats | float, peak_kw: Floats | float, hours: Floats | float) -> Floats:
    """Load factor: kWh / (peak kW * hours), a ratio; the mean demand of a period over its peak.

    NaN where an input is missing, or the peak or the period is not positive. It is not clipped: more than 1 says that
    energy and peak are not of the same meters and period. The standard definition, recalled, not verified.
    """
    return ratio(kwh, np.asarray(peak_kw, np.float64) * hours)
