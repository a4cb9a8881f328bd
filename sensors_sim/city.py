"""Where the things of the simulated city stand, and what each of them is like; the same for the same seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from shapely import Point, Polygon

from pulso.city.pack import CityPack
from pulso.model import MICROSECOND, Family, ThingDescription, Zone
from sensors_sim.noise import Floats, Keys, channel, key_of, uniform
from sensors_sim.plan import CityPlan
from sensors_sim.rhythm import Micros

KM_PER_DEGREE = 111.2
SPREAD_KM = 4.5  # farthest a thing stands from the seat of its district
REGISTER_MAX_KWH = 99_999_999.0


@dataclass(frozen=True, slots=True)
class Sites:
    """Things of one family as columns: hash key, position (degrees), number of the district, and traits.

    `level` is the factor of the district in simulator.toml. `traits` are numbers of the single thing, such as
    `free_flow_kmh`, `daily_fill` (% per day) or `nominal_w`.
    """

    key: Keys
    latitude: Floats
    longitude: Floats
    district: NDArray[np.int64]
    level: Floats
    traits: Mapping[str, Floats]

    def take(self, rows: NDArray[np.int64]) -> "Sites":
        """One row per entry of `rows`; a thing may stand there many times."""
        return Sites(
            self.key[rows],
            self.latitude[rows],
            self.longitude[rows],
            self.district[rows],
            self.level[rows],
            {name: column[rows] for name, column in self.traits.items()},
        )


@dataclass(frozen=True, slots=True)
class Fleet:
    """All things of one family, and the grid of times on which each reports: phase + n × interval."""

    family: Family
    things: tuple[ThingDescription, ...]
    sites: Sites
    interval: int
    """Microseconds between two messages of one thing."""
    phase: Micros
    """Microseconds, per thing; spreads the messages evenly over the interval."""


@dataclass(frozen=True, slots=True)
class SimulatedCity:
    """The whole city: its fleets, its clock, and the districts by the numbers that `Sites` uses."""

    fleets: tuple[Fleet, ...]
    districts: tuple[Zone, ...]
    city_zone: Zone
    timezone: ZoneInfo
    seed: int

    @property
    def natural_rate(self) -> float:
        """Messages per second when every thing keeps its interval."""
        return sum(len(fleet.things) * 1e6 / fleet.interval for fleet in self.fleets)


def build_city(pack: CityPack, plan: CityPlan, *, seed: int, scale: int = 1, denser: float = 1.0) -> SimulatedCity:
    """Place the city's things.

    `scale` multiplies the number of things; the first ones stay what they are. `denser` divides their intervals.
    """
    builder = _Builder(pack, plan, seed, scale, denser)
    fleets = tuple(builder.fleet(family) for family in Family)
    return SimulatedCity(fleets, pack.districts, pack.city_zone, pack.timezone, seed)


def distance_km(latitude: Floats, longitude: Floats, to_latitude: float, to_longitude: float) -> Floats:
    """Distance on a plane that touches the Earth at the target; good to 1 % within a city."""
    north = (latitude - to_latitude) * KM_PER_DEGREE
    east = (longitude - to_longitude) * KM_PER_DEGREE * np.cos(np.radians(to_latitude))
    return np.asarray(np.hypot(north, east))


@dataclass(frozen=True)
class _Builder:
    """What decides how a city is built."""

    pack: CityPack
    plan: CityPlan
    seed: int
    scale: int
    denser: float

    @cached_property
    def outline(self) -> Polygon:
        return Polygon(self.pack.map.outline)

    def fleet(self, family: Family) -> Fleet:
        things, districts = [], []
        for number, zone in enumerate(self.pack.districts):
            for place in range(1, self.plan.family(family).per_district * self.scale + 1):
                things.append(self.thing(family, zone, place))
                districts.append(number)
        levels = [self.plan.factor(self.pack.districts[number].zone_id, family) for number in districts]
        keys = np.array([key_of(thing.external_id) for thing in things], np.uint64)
        traits = things[0].properties if things else ()
        sites = Sites(
            key=keys,
            latitude=np.array([thing.latitude for thing in things]),
            longitude=np.array([thing.longitude for thing in things]),
            district=np.array(districts, np.int64),
            level=np.array(levels),
            traits={name: np.array([thing.properties[name] for thing in things]) for name in traits},
        )
        return Fleet(family, tuple(things), sites, *self.grid(family, keys))

    def grid(self, family: Family, keys: Keys) -> tuple[int, Micros]:
        """Interval and phases in microseconds; whole seconds unless made denser."""
        interval = max(1, int(self.plan.family(family).interval // MICROSECOND / self.denser))
        grain = 1_000_000 if self.denser == 1.0 else 1
        phases = (uniform(channel(self.seed, "phase"), keys) * (interval // grain)).astype(np.int64) * grain
        return interval, phases

    def thing(self, family: Family, zone: Zone, number: int) -> ThingDescription:
        plan = self.plan.family(family)
        external_id = f"{self.pack.city.id}-{plan.prefix}-{zone.zone_id}-{number:02d}"
        latitude, longitude = self.place(zone, external_id)
        return ThingDescription(
            external_id=external_id,
            family=family,
            name=f"{plan.name} {zone.name} {number:02d}",
            zone_id=zone.zone_id,
            latitude=latitude,
            longitude=longitude,
            expected_interval=plan.interval,
            properties=_traits(family, key_of(external_id), self.seed),
        )

    def place(self, zone: Zone, external_id: str) -> tuple[float, float]:
        """A spot near the seat that is inside the city and nearer to this seat than to any other."""
        key, tries = key_of(external_id), np.arange(64)
        distance = SPREAD_KM / KM_PER_DEGREE * np.sqrt(uniform(channel(self.seed, "place.distance"), key, tries))
        angle = 2 * np.pi * uniform(channel(self.seed, "place.angle"), key, tries)
        latitudes = zone.latitude + distance * np.sin(angle)
        longitudes = zone.longitude + distance * np.cos(angle) / np.cos(np.radians(zone.latitude))
        seats = self.pack.districts
        away = np.stack([distance_km(latitudes, longitudes, seat.latitude, seat.longitude) for seat in seats])
        nearest = away.argmin(axis=0) == seats.index(zone)
        for latitude, longitude in zip(latitudes[nearest], longitudes[nearest], strict=True):
            if self.outline.contains(Point(longitude, latitude)):
                return round(float(latitude), 5), round(float(longitude), 5)
        return zone.latitude, zone.longitude


def _traits(family: Family, key: np.uint64, seed: int) -> dict[str, float]:
    def draw(name: str) -> float:
        return float(uniform(channel(seed, f"trait.{name}"), key))

    def pick(name: str, values: tuple[float, ...]) -> float:
        return values[int(draw(name) * len(values))]

    match family:
        case Family.TRAFFIC:
            length = 300.0 + 50.0 * int(draw("length") * 25)
            return {
                "length_m": length,
                "free_flow_kmh": pick("free_flow", (40, 50, 50, 60, 70)),
                "lanes": pick("lanes", (2, 3, 3, 4)),
            }
        case Family.WASTE:
            return {
                "capacity_l": pick("capacity", (240, 660, 660, 1100)),
                "daily_fill": round(38.0 + 50.0 * draw("fill"), 1),
            }
        case Family.ENERGY:
            return {"register_max_kwh": REGISTER_MAX_KWH, "nominal_w": round(18e3 + 90e3 * draw("load") ** 2, -2)}
        case Family.AIR:
            return {}
