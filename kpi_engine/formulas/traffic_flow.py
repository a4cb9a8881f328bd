"""Road traffic at detectors and on links: flow, speed, occupancy, density and delay. Pure arrays.

What is said to be recalled was not read in the Highway Capacity Manual (HCM) or at the FHWA by us; the formulas are
the usual textbook ones.
"""

from dataclasses import dataclass

import numpy as np

from kpi_engine.formulas.base import Floats
from kpi_engine.formulas.ratios import ratio
from kpi_engine.formulas.samples import Bools, cuts_above, cuts_reached, mean, measured

MINIMUM_SPEED_KMH = 3.0
"""Floor of speeds that travel time is made of, so that a standing road takes a finite time (our own design)."""

OCCUPANCY_CUTS = (0.25, 0.35)
OCCUPANCY_BANDS = ("ok", "watch", "jam")

HEALTH_CUTS = (75.0, 90.0)
HEALTH_BANDS = ("invalid", "degraded", "ok")


@dataclass(frozen=True, slots=True)
class Links:
    """Links of a road network, arrays that broadcast, links along the last axis.

    `flow` in veh/h, `length` in km, `speed` and `free_flow` in km/h; `speed` is counted at `minimum_speed` at least.
    A link of which anything is missing, negative, or a length or free-flow speed of zero, is left out.
    """

    flow: Floats
    length: Floats
    speed: Floats
    free_flow: Floats
    minimum_speed: float = MINIMUM_SPEED_KMH

    def __post_init__(self) -> None:
        _positive("minimum speed", self.minimum_speed)

    @property
    def known(self) -> Bools:
        """Where everything about a link is known."""
        sizes: Bools = (self.length > 0) & (self.free_flow > 0) & np.isfinite(self.length) & np.isfinite(self.free_flow)
        return sizes & measured(self.flow) & measured(self.speed)

    @property
    def distance(self) -> Floats:
        """Vehicle-kilometres per hour, q L; 0 for links that are left out."""
        return np.where(self.known, self.flow, 0.0) * np.where(self.known, self.length, 0.0)

    @property
    def time(self) -> Floats:
        """Vehicle-hours per hour that the traffic takes, q L / v; 0 for links that are left out."""
        return self.distance / np.where(self.known, np.maximum(self.speed, self.minimum_speed), 1.0)

    @property
    def free_flow_time(self) -> Floats:
        """Vehicle-hours per hour that the same traffic takes in free flow, q L / u; 0 for links that are left out."""
        return self.distance / np.where(self.known, self.free_flow, 1.0)


def flow(vehicles: Floats, seconds: float) -> Floats:
    """T1 flow q = n * 3600 / T in veh/h of n vehicles counted within [start, start + T), T in seconds.

    HCM, recalled. NGSI `intensity` is the count of a period and not this rate (verified, smart data models). NaN for a
    missing or negative count. Raises ValueError unless T is positive.
    """
    _positive("counting time", seconds)
    return np.where(measured(vehicles), vehicles, np.nan) * 3600.0 / seconds


def time_mean_speed(speeds: Floats) -> Floats:
    """T2 time-mean speed sum(v) / n in km/h of the vehicles along the last axis (HCM, recalled).

    What drivers show at a point; not for travel times, where `space_mean_speed` belongs. Missing and negative speeds
    are left out; NaN without any.
    """
    return mean(np.where(measured(speeds), speeds, np.nan))


def space_mean_speed(speeds: Floats, *, minimum_speed: float = MINIMUM_SPEED_KMH) -> Floats:
    """T3 space-mean speed n / sum(1 / v) in km/h of the vehicles along the last axis (HCM, recalled).

    The harmonic mean, the one that goes with travel time. Missing and negative speeds are left out, slower ones count
    as `minimum_speed` (our own design); NaN without any. Raises ValueError unless `minimum_speed` is positive.
    """
    return space_mean_speed_of_intervals(np.ones_like(speeds, dtype=float), speeds, minimum_speed=minimum_speed)


def space_mean_speed_of_intervals(
    vehicles: Floats, speeds: Floats, *, minimum_speed: float = MINIMUM_SPEED_KMH
) -> Floats:
    """T3 space-mean speed sum(n_i) / sum(n_i / v_i) in km/h of intervals of n_i vehicles at v_i along the last axis.

    HCM, recalled. The arithmetic mean weighted by vehicles would be too high. Intervals with a missing or negative
    count or speed are left out, slower ones count as `minimum_speed` (our own design); NaN without vehicles. Raises
    ValueError unless `minimum_speed` is positive.
    """
    _positive("minimum speed", minimum_speed)
    known = measured(vehicles) & measured(speeds)
    weights = np.where(known, vehicles, 0.0)
    times = weights / np.where(known, np.maximum(speeds, minimum_speed), 1.0)
    return ratio(weights.sum(axis=-1), times.sum(axis=-1))


def space_mean_speed_of_links(links: Links) -> Floats:
    """T3 space-mean speed of a network, sum(q L) / sum(q L / v) in km/h: its vehicle-km per vehicle-hour.

    HCM, recalled. NaN where no link carries traffic.
    """
    return ratio(links.distance.sum(axis=-1), links.time.sum(axis=-1))


def occupancy(occupied_seconds: Floats, seconds: float) -> Floats:
    """T4 occupancy, the share 0 to 1 of [start, start + T) that a detector is occupied; both in seconds.

    NGSI `occupancy`, verified. NaN for a missing or negative time and for more than T. Raises ValueError unless T is
    positive.
    """
    _positive("observed time", seconds)
    return _share(np.where(measured(occupied_seconds), occupied_seconds, np.nan) / seconds)


def occupancy_band(occupancy: Floats) -> Floats:
    """Index into OCCUPANCY_BANDS: watch above 0.25, jam above 0.35, the limits themselves excluded (our own design)."""
    return cuts_above(_share(occupancy), OCCUPANCY_CUTS)


def density_from_flow(flow_per_lane: Floats, space_mean_speed: Floats) -> Floats:
    """T5 density k = q / v in veh/km per lane, from veh/h per lane and the space-mean speed in km/h.

    HCM, recalled. NaN where a value is missing or negative, and at speed 0, which flow cannot tell from an empty road.
    """
    known = measured(flow_per_lane) & measured(space_mean_speed)
    return ratio(np.where(known, flow_per_lane, np.nan), space_mean_speed)


def density_from_occupancy(occupancy: Floats, effective_length: Floats | float) -> Floats:
    """T5 density k = occupancy * 1000 / effective length in veh/km, per lane as its detector is.

    `effective_length` in m is the mean length of a vehicle plus that of the detector. HCM, recalled. NaN for an
    occupancy outside 0 to 1 and for a length that is not positive.
    """
    return ratio(_share(occupancy) * 1000.0, effective_length)


def hours_of_delay(links: Links) -> Floats:
    """T10 vehicle-hours of delay per hour, sum(q * max(0, L / v - L / u)) over the last axis (FHWA, recalled).

    A link that is faster than in free flow gives nothing back. NaN where no link is known.
    """
    lost = np.maximum(0.0, links.time - links.free_flow_time).sum(axis=-1)
    return np.where(links.known.any(axis=-1), lost, np.nan)


def detector_health(valid: Floats, expected: Floats | float) -> Floats:
    """T14 detector health, valid over expected samples in %, at most 100 (our own design).

    NaN where nothing is expected or the count is missing or negative.
    """
    return np.minimum(100.0, 100.0 * ratio(np.where(measured(valid), valid, np.nan), expected))


def health_band(health: Floats) -> Floats:
    """Index into HEALTH_BANDS: ok from 90 %, degraded from 75 %, invalid below; lower ends included (our own design).

    The list of indicators says that 90 is ok and below 75 invalid; that 75 itself is degraded follows.
    """
    return cuts_reached(health, HEALTH_CUTS)


def monitored_share(lengths: Floats, healthy: Bools) -> Floats:
    """T15 share in % of the km of arterials and highways along the last axis that have a healthy detector.

    ITU-T Y.4903 EC: ICT: T: 2C (verified), from the register of roads and T14. Roads without a known length are left
    out; NaN where there is no length.
    """
    known = np.where(measured(lengths), lengths, 0.0)
    return 100.0 * ratio(np.where(healthy, known, 0.0).sum(axis=-1), known.sum(axis=-1))


def _share(values: Floats) -> Floats:
    return np.where(measured(values) & (np.asarray(values) <= 1), values, np.nan)


def _positive(what: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"{what} {value} is not positive")
