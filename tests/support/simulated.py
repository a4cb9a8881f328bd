"""A simulated city for tests, and series of its true values."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from pulso.city.pack import load_pack
from pulso.model import Family, to_micros
from sensors_sim.city import Fleet, SimulatedCity, build_city
from sensors_sim.faults import FaultRates
from sensors_sim.generate import Generator
from sensors_sim.incidents import Incident, IncidentKind, Incidents
from sensors_sim.noise import Floats
from sensors_sim.plan import load_plan

MONDAY_NOON = datetime(2026, 11, 23, 18, tzinfo=UTC)
"""Noon on the clock of the city."""


@cache
def city(seed: int = 7, denser: float = 1.0) -> SimulatedCity:
    pack = load_pack("cdmx")
    return build_city(pack, load_plan(pack), seed=seed, denser=denser)


def fleet_of(family: Family, seed: int = 7) -> Fleet:
    return next(fleet for fleet in city(seed).fleets if fleet.family is family)


def incident(
    kind: IncidentKind, zone: str, *, minutes: float = 30.0, severity: float = 1.0, start: datetime = MONDAY_NOON
) -> Incident:
    return Incident(start, kind, zone, timedelta(minutes=minutes), severity, f"{kind}-{zone}")


def true_series(
    family: Family,
    start: datetime,
    minutes: Iterable[float],
    incidents: Iterable[Incident] = (),
    seed: int = 7,
) -> Mapping[str, Floats]:
    """True values by property as matrices: one row per thing, one column per moment."""
    fleet = fleet_of(family, seed)
    offsets = np.array([round(minute * 60e6) for minute in minutes], np.int64)
    things = len(fleet.things)
    rows = np.repeat(np.arange(things), len(offsets))
    micros = np.tile(to_micros(start) + offsets, things)
    generator = Generator(city(seed), FaultRates())
    values = generator.true_values(fleet, rows, micros, Incidents.of(city(seed), incidents))
    return {name: column.reshape(things, len(offsets)) for name, column in values.items()}


def in_district(family: Family, zone_id: str) -> np.ndarray:
    """Which rows of a fleet stand in a district."""
    numbers = [zone.zone_id for zone in city().districts]
    return fleet_of(family).sites.district == numbers.index(zone_id)
