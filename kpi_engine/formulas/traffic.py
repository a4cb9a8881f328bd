"""Road traffic: speed and travel time of a network, from detectors on its segments."""

import numpy as np

from kpi_engine.formulas.base import Floats, Outcome, Scope, divide, everyone, formula
from kpi_engine.formulas.traffic_flow import MINIMUM_SPEED_KMH


def _vehicles_and_speed(scope: Scope) -> tuple[Floats, Floats]:
    """Vehicles per minute and detector, (slots, things), and their speed in km/h, not below the floor.

    Minutes without both tell nothing about travel: their vehicles count as none.
    """
    mean = scope.inputs["speed"].mean()
    speed = np.maximum(np.nan_to_num(mean, nan=np.inf), scope.number("minimum_speed_kmh"))
    vehicles = np.where(np.isnan(mean), 0.0, scope.inputs["vehicle_count"].field("sum"))
    return vehicles, speed


def _reported(scope: Scope) -> Floats:
    return np.minimum(scope.reported("speed"), scope.reported("vehicle_count"))


@formula("space_mean_speed", inputs=("speed", "vehicle_count"), parameters={"minimum_speed_kmh": MINIMUM_SPEED_KMH})
def space_mean_speed(scope: Scope) -> Outcome:
    """Space-mean speed in km/h: sum(n) / sum(n / v) over the minutes n, v of all detectors of a zone.

    The harmonic mean weighted by vehicles (Highway Capacity Manual): the one that goes with travel time. A floor keeps
    the time of a standing minute finite. No vehicles, no speed. A detector that reports more than once a minute
    counts with the mean speed of the minute.
    """
    vehicles, speed = _vehicles_and_speed(scope)
    total, sums = scope.things.zoning.total, scope.slots.sums
    value = divide(sums(total(vehicles)), sums(total(vehicles / speed)))
    return Outcome(value, total(_reported(scope)), total(everyone(scope)))


@formula(
    "network_travel_time_index", inputs=("speed", "vehicle_count"), parameters={"minimum_speed_kmh": MINIMUM_SPEED_KMH}
)
def network_travel_time_index(scope: Scope) -> Outcome:
    """Travel time index of a network: time all vehicles took over the time they take in free flow; a ratio of totals.

    sum(n L / v) / sum(n L / u) with segment length L (`length_m`) and free-flow speed u (`free_flow_kmh`) of each
    thing; bands of ITU-T Y.4903 / U4SSC EC: I: T: 5A (verification manual, p. 82). The mean of the single ratios would
    be another number. Detectors without both properties are left out and counted in `detail`.
    """
    things, total, sums = scope.things, scope.things.zoning.total, scope.slots.sums
    length, free_flow = things.property("length_m"), things.property("free_flow_kmh")
    known = (length > 0) & (free_flow > 0)
    vehicles, speed = _vehicles_and_speed(scope)
    distance = np.where(known, length, 0.0) * vehicles
    free = np.where(known, free_flow, 1.0)
    value = divide(sums(total(distance / speed)), sums(total(distance / free)))
    left_out = total(everyone(scope) * ~known)
    return Outcome(
        value,
        total(_reported(scope) * known),
        total(everyone(scope) * known),
        detail=lambda window, zone: {"without_properties": int(n)} if (n := left_out[window, zone]) else {},
    )
