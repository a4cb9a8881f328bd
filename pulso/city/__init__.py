"""The city pack: everything that is true of one city, as data."""

from pulso.city.definition import Band, Direction, Grain, KpiDefinition, KpiInput, LocalText
from pulso.city.pack import City, CityPack, load_pack

__all__ = [
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
