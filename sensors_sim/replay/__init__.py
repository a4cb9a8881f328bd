"""Recorded series: read by small profiles, published through the broker with their own times."""

from sensors_sim.replay.profile import Profile, detect_profile, load_profile, shipped_profiles
from sensors_sim.replay.reader import Report, SeriesRow, read_series
from sensors_sim.replay.summary import Summary, summarise

__all__ = [
    "Profile",
    "Report",
    "SeriesRow",
    "Summary",
    "detect_profile",
    "load_profile",
    "read_series",
    "shipped_profiles",
    "summarise",
]
