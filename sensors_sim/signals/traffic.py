"""Traffic detectors: speed falls as demand nears capacity, and occupancy follows from flow and speed.

The volume-delay curve has the form of the BPR function, t = t0 (1 + a (v/c)^b) (Bureau of Public Roads, Traffic
Assignment Manual, 1964), with a and b for signalled arterials.
"""

from collections.abc import Mapping

import numpy as np

from sensors_sim.incidents import IncidentKind
from sensors_sim.noise import Floats, channel, uniform
from sensors_sim.rhythm import Week
from sensors_sim.signals.context import Context

WEEK = Week.of(
    workday=(16, 11, 8, 8, 11, 24, 58, 88, 98, 90, 80, 77, 79, 84, 90, 87, 85, 90, 98, 95, 80, 58, 40, 26),
    saturday=(24, 17, 12, 10, 10, 15, 27, 42, 55, 66, 75, 80, 83, 84, 82, 77, 73, 71, 70, 67, 59, 50, 42, 33),
    sunday=(25, 18, 13, 10, 9, 11, 17, 26, 36, 46, 56, 64, 69, 70, 67, 63, 60, 59, 60, 57, 48, 38, 28, 20),
)
"""Demand in % of capacity."""

LANE_CAPACITY = 850.0
"""Vehicles per hour and lane of a signalled arterial."""
SLOWDOWN, STEEPNESS = 0.95, 3.0
EFFECTIVE_LENGTH_M = 6.5
"""Vehicle plus detector, for occupancy."""
CAPACITY_LOST = 0.72
"""Share of capacity that congestion of severity 1 takes."""
CRAWL_KMH = 4.0


def measure(context: Context) -> Mapping[str, Floats]:
    """`speed` km/h, `vehicle_count` of the last minute over all lanes, `occupancy` % of time."""
    traits = context.sites.traits
    demand = _demand(context)
    capacity = 1.0 - CAPACITY_LOST * context.felt(IncidentKind.CONGESTION)
    saturation = demand / capacity
    speed = traits["free_flow_kmh"] / (1.0 + SLOWDOWN * saturation**STEEPNESS)
    speed = np.maximum(speed * (1.0 + 0.03 * context.jitter("traffic.speed")), CRAWL_KMH)
    lane_flow = LANE_CAPACITY * np.minimum(demand, capacity)
    occupancy = np.minimum(lane_flow / speed * EFFECTIVE_LENGTH_M / 10.0, 95.0)
    per_minute = lane_flow * traits["lanes"] / 60.0 * (1.0 + 0.08 * context.jitter("traffic.count"))
    rounding = uniform(channel(context.seed, "traffic.rounding"), context.sites.key, context.at.micros)
    return {
        "speed": speed,
        "vehicle_count": np.floor(np.maximum(per_minute, 0.0) + rounding),
        "occupancy": occupancy,
    }


def _demand(context: Context) -> Floats:
    """Demand over capacity; neighbours rise and fall together, and each street a little on its own."""
    usual = WEEK.at(context.at.local) / 100.0 * context.sites.level
    together = 0.14 * context.shared("traffic.day", 180) + 0.10 * context.shared("traffic.hour", 25)
    alone = 0.06 * context.noise("traffic.street", 40)
    return np.clip(usual * (1.0 + together + alone), 0.02, 1.25)
