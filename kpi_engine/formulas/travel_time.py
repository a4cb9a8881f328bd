"""Travel time and its reliability, against free flow. Pure arrays."""

from enum import StrEnum
from typing import assert_never

import numpy as np

from kpi_engine.formulas.base import Floats
from kpi_engine.formulas.ratios import ratio
from kpi_engine.formulas.samples import Bools, cuts_above, mean, measured, percentile
from kpi_engine.formulas.traffic_flow import Links

INDEX_CUTS = (1.5, 2.5)
INDEX_BANDS = ("good", "potentially acceptable", "less desirable")
CONGESTION_CUTS = (50.0, 150.0)

MINIMUM_TRAVEL_TIMES = 20
"""Fewer travel times than this have no 95th percentile worth the name (list of indicators, T8)."""

DAY = 24 * 60
OVERNIGHT = (22 * 60, 5 * 60)
"""Minutes of the local day [from, to) in which traffic is taken to flow freely (recalled; the hours our own design)."""


class NetworkIndex(StrEnum):
    """How the travel time index of a network is made of its links; a value is stored with the name of its way."""

    RATIO_OF_TOTAL_TIMES = "ratio_of_total_times"
    MEAN_OF_RATIOS = "mean_of_ratios"


def travel_time_index(travel_time: Floats, free_flow_time: Floats | float) -> Floats:
    """T6 travel time index: travel time over free-flow travel time, in the same unit.

    ITU-T Y.4903 / U4SSC EC: I: T: 5A (verified, verification manual, p. 82). Not raised to 1 where traffic is faster
    than in free flow. NaN for a missing or negative time and for a free-flow time that is not positive.
    """
    return ratio(np.where(measured(travel_time), travel_time, np.nan), free_flow_time)


def network_travel_time_index(links: Links, way: NetworkIndex) -> Floats:
    """T6 travel time index of the links along the last axis, in the way that the caller names (our own design).

    RATIO_OF_TOTAL_TIMES: sum(q L / v) / sum(q L / u), total time over total time in free flow; the recommended one.
    MEAN_OF_RATIOS: mean of u / v weighted by the vehicle-km q L. They differ. NaN where no link carries traffic.
    """
    match way:
        case NetworkIndex.RATIO_OF_TOTAL_TIMES:
            return ratio(links.time.sum(axis=-1), links.free_flow_time.sum(axis=-1))
        case NetworkIndex.MEAN_OF_RATIOS:
            weighted = links.time * np.where(links.known, links.free_flow, 0.0)  # q L u / v
            return ratio(weighted.sum(axis=-1), links.distance.sum(axis=-1))
        case _:
            assert_never(way)


def index_band(index: Floats) -> Floats:
    """Index into INDEX_BANDS of a travel time index: good to 1.5, potentially acceptable to 2.5, both included.

    U4SSC EC: I: T: 5A (verified, verification manual, p. 82).
    """
    return cuts_above(index, INDEX_CUTS)


def congestion_level(index: Floats) -> Floats:
    """T7 congestion level 100 * (TTI - 1) in %: extra time over free flow, as TomTom uses it (verified, secondary)."""
    return 100.0 * (np.asarray(index, float) - 1.0)


def congestion_band(level: Floats) -> Floats:
    """Index into INDEX_BANDS of a congestion level: to 50 %, to 150 %, above; upper ends included.

    Our own design: the cuts of the travel time index.
    """
    return cuts_above(level, CONGESTION_CUTS)


def planning_time_index(travel_times: Floats, free_flow_time: Floats | float) -> Floats:
    """T8 planning time index: 95th percentile of the travel times along the last axis over the free-flow time.

    FHWA: that it exists is verified, the formula recalled. Linear interpolation; NaN with fewer than 20 travel times.
    """
    return ratio(_percentile_95(travel_times), free_flow_time)


def buffer_index(travel_times: Floats) -> Floats:
    """T9 buffer index 100 * (p95 - mean) / mean in % of the travel times along the last axis.

    Verified (arc-it.us performance measures, oki.org). Linear interpolation; NaN with fewer than 20 travel times.
    """
    usual = mean(_valid(travel_times))
    return 100.0 * ratio(_percentile_95(travel_times) - usual, usual)


def overnight(minutes_of_day: Floats, hours: tuple[int, int] = OVERNIGHT) -> Bools:
    """Where a minute of the local day, 0 to 1440, lies within `hours` [from, to), which may cross midnight.

    Raises ValueError if an end of `hours` is not a minute of the day.
    """
    begin, end = hours
    if not (0 <= begin < DAY and 0 <= end <= DAY):
        raise ValueError(f"{hours} are not minutes of a day")
    since: Bools = minutes_of_day >= begin
    until: Bools = minutes_of_day < end
    return since & until if begin <= end else since | until


def free_flow_speed(overnight_speeds: Floats, posted_limit: Floats | float = np.nan) -> Floats:
    """Free-flow speed in km/h: 85th percentile of overnight speeds along the last axis, at most the posted limit.

    The usual choice over 30 days, recalled; linear interpolation and the cap are our own design. Where the limit is NaN
    there is no cap. Fix the result per segment and version it: never make it anew from a congested day. NaN without a
    speed.
    """
    speeds = percentile(_valid(overnight_speeds), 85.0)
    return np.where(np.isnan(speeds), np.nan, np.fmin(speeds, posted_limit))


def _valid(values: Floats) -> Floats:
    return np.where(measured(values), values, np.nan)


def _percentile_95(travel_times: Floats) -> Floats:
    return percentile(_valid(travel_times), 95.0, minimum=MINIMUM_TRAVEL_TIMES)
