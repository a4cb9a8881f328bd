"""The city pack: everything that is true of one city, as data."""

from pulso.city.definition import Aggregate, Band, Direction, Grain, KpiDefinition, KpiInput, LocalText
from pulso.city.pack import City, CityPack, load_pack

__all__ = [
    "Aggregate",
    "Band",
    "City",
    "CityPack",
    "Direction",
    "Grain",
    "KpiDefinition",
    "KpiInput",
    "LocalText",
    "load_pack",
]
