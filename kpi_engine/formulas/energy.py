"""Electricity: energy and demand from cumulative registers, and the quality of the voltage."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kpi_engine.formulas.base import Floats, Ints, Outcome, Scope, divide, everyone, formula
from kpi_engine.formulas.demand import demand_kw
from kpi_engine.formulas.power_quality import within_voltage
from pulso.panes import MINUTE_MICROS, NEUTRAL
from pulso.registers import countable, growth

_HOUR_MICROS = 3_600_000_000


@dataclass(frozen=True)
class Consumption:
    """What meters counted within windows, (windows, meters): kWh, and the share of the window that this covers."""

    energy: Floats
    covered: Floats


@dataclass(frozen=True)
class Readings:
    """Points of cumulative registers in order of time, (windows, points, meters); where not `present`, nothing is read.

    `times` in microseconds since 1970 UTC, `kwh` the register.
    """

    times: Ints
    kwh: Floats
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class Meters:
    """What is known of each meter: size of its register in kWh (NaN if not known), the most power it can see in kW."""

    register_max_kwh: Floats
    max_power_kw: Floats


def consumption(readings: Readings, starts: Ints, ends: Ints, meters: Meters, max_gap: float) -> Consumption:
    """Energy between consecutive readings of a cumulative register, cut at the ends of the windows.

    `starts`, `ends` (windows) in microseconds.

    Between two readings at most `max_gap` minutes apart the register is taken to grow evenly (linear interpolation);
    over a longer gap nothing is assumed. A drop by more than half of a known register size is a rollover; any other
    drop is a reset or an exchange of the meter, as is a growth that would have taken more power than the meter can see:
    what was used meanwhile is unknown, never negative and never a spike.
    """
    times, before = readings.times, _previous_present(readings.present)
    known = readings.present & (before >= 0)
    place = before.clip(min=0)
    gap = np.where(known, times - np.take_along_axis(times, place, axis=1), 0)
    grown = np.where(
        known, growth(np.take_along_axis(readings.kwh, place, axis=1), readings.kwh, meters.register_max_kwh), 0.0
    )
    can_be = (grown >= 0) & (grown <= countable(gap / _HOUR_MICROS, meters.max_power_kw))
    usable = known & (gap > 0) & (gap <= max_gap * MINUTE_MICROS) & can_be
    inside = np.minimum(times, ends[:, None, None]) - np.maximum(times - gap, starts[:, None, None])
    share = np.where(usable, inside.clip(min=0) / np.where(gap > 0, gap, 1), 0.0)
    covered = (share * gap).sum(axis=1) / (ends - starts)[:, None]
    return Consumption((share * grown).sum(axis=1), covered)


def _previous_present(present: NDArray[np.bool_]) -> Ints:
    """For each point the position of the newest present point before it along axis 1; -1 where there is none."""
    positions = np.arange(present.shape[1])[None, :, None]
    newest = np.maximum.accumulate(np.where(present, positions, -1), axis=1)
    return np.concatenate([np.full_like(newest[:, :1], -1), newest[:, :-1]], axis=1)


def _consumption(scope: Scope) -> Consumption:
    panes = scope.inputs["energy_import"]
    times = np.stack([panes.windowed(name, with_reach=True) for name in ("first_time", "last_time")], axis=2)
    kwh = np.stack([panes.windowed(name, with_reach=True) for name in ("first", "last")], axis=2)
    windows, slots, _, meters = times.shape
    present = times != [[NEUTRAL["first_time"]], [NEUTRAL["last_time"]]]
    points = (windows, 2 * slots, meters)
    told = scope.things.property("max_power_kw")
    return consumption(
        Readings(np.where(present, times, 0).reshape(points), kwh.reshape(points), present.reshape(points)),
        scope.starts * MINUTE_MICROS,
        scope.ends * MINUTE_MICROS,
        Meters(scope.things.property("register_max_kwh"), np.where(np.isnan(told), scope.number("max_power_kw"), told)),
        scope.number("max_gap_minutes"),
    )


@formula(
    "register_demand",
    inputs=("energy_import",),
    parameters={"max_gap_minutes": 5.0, "max_power_kw": 2000.0, "minimum_covered": 0.5},
    reach="max_gap_minutes",
)
def register_demand(scope: Scope) -> Outcome:
    """Demand in kW: energy of the covered part of the window, per hour of it, summed over the meters of a zone.

    kWh * 60 / minutes, as billed over a sliding quarter of an hour. A meter of which less than `minimum_covered` of the
    window is known is left out rather than extrapolated from a few seconds.
    """
    total = scope.things.zoning.total
    used = _consumption(scope)
    counted = used.covered >= scope.number("minimum_covered")
    demand = demand_kw(used.energy, used.covered * scope.minutes)
    metered = total(counted.astype(float))
    value = np.where(metered > 0, total(np.where(counted, demand, 0.0)), np.nan)
    return Outcome(
        value,
        total(used.covered),
        total(everyone(scope)),
        detail=lambda window, zone: {"meters": int(metered[window, zone])},
    )


@formula(
    "register_energy",
    inputs=("energy_import",),
    parameters={"max_gap_minutes": 5.0, "max_power_kw": 2000.0},
    reach="max_gap_minutes",
)
def register_energy(scope: Scope) -> Outcome:
    """Energy in kWh that the meters of a zone counted within the window: differences of the cumulative register."""
    total = scope.things.zoning.total
    used = _consumption(scope)
    covered = total(used.covered)
    return Outcome(np.where(covered > 0, total(used.energy), np.nan), covered, total(everyone(scope)))


@formula(
    "voltage_compliance",
    inputs=("voltage",),
    parameters={"nominal_v": 127.0, "tolerance_percent": 10.0, "block_minutes": 10.0, "minimum_samples": 0.75},
)
def voltage_compliance(scope: Scope) -> Outcome:
    """Share of the 10-minute means of the voltage within nominal +/- tolerance, limits included, in % (EN 50160).

    A mean counts if `minimum_samples` of its samples are there. Means are rounded to 1 µV before they are compared, so
    that the order of summation cannot decide about a mean on the limit.
    """
    block = int(scope.number("block_minutes"))
    panes = scope.inputs["voltage"]
    shape = (len(scope.ends), scope.minutes // block, block, len(scope.things))
    count = panes.windowed("count").reshape(shape).sum(axis=2)
    mean = divide(panes.windowed("sum").reshape(shape).sum(axis=2), count.astype(float))
    valid = count * scope.things.interval >= scope.number("minimum_samples") * block * 60
    tolerance = scope.number("tolerance_percent")
    inside = valid & within_voltage(mean, scope.number("nominal_v"), tolerance, tolerance)
    total = scope.things.zoning.total
    value = 100 * divide(total(inside.sum(axis=1).astype(float)), total(valid.sum(axis=1).astype(float)))
    return Outcome(value, total(scope.reported("voltage")), total(everyone(scope)))
