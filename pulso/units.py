"""Observed properties and their canonical units (UCUM codes).

A property may carry a suffix for class, direction, phase, tariff or channel (`vehicle_count_heavy`,
`energy_import_t1`, `voltage_l2`): it keeps the unit of its stem.
"""

import re
from functools import lru_cache
from types import MappingProxyType

CANONICAL_UNITS = MappingProxyType(
    {
        # traffic
        "speed": ("km/h",),
        "vehicle_count": ("1",),
        "occupancy": ("%",),
        "travel_time": ("s",),
        "pedestrian_count": ("1",),
        "people_count": ("1",),
        "parking_occupied": ("1",),
        # waste
        "fill_level": ("%",),
        "distance": ("mm",),
        "weight": ("kg",),
        # energy
        "power": ("W",),
        "reactive_power": ("var",),
        "apparent_power": ("VA",),
        "energy_import": ("kWh",),
        "energy_export": ("kWh",),
        "energy_interval": ("kWh",),
        "voltage": ("V",),
        "current": ("A",),
        "frequency": ("Hz",),
        "power_factor": ("1",),
        # air; gases are kept in the unit they were sent in
        "pm1": ("ug/m3",),
        "pm2_5": ("ug/m3",),
        "pm4": ("ug/m3",),
        "pm10": ("ug/m3",),
        "no": ("ppb", "ug/m3"),
        "no2": ("ppb", "ug/m3"),
        "nox": ("ppb", "ug/m3"),
        "o3": ("ppb", "ug/m3"),
        "so2": ("ppb", "ug/m3"),
        "co": ("ppm", "ug/m3"),
        "co2": ("ppm",),
        "tvoc": ("ppb",),
        "noise": ("dB",),
        "aqi": ("1",),
        # any family
        "temperature": ("Cel",),
        "device_temperature": ("Cel",),
        "humidity": ("%",),
        "pressure": ("hPa",),
        "battery": ("%",),
        "battery_voltage": ("V",),
    }
)

DISPLAY = MappingProxyType({"1": "", "ug/m3": "µg/m³", "Cel": "°C"})

_SPELLINGS = MappingProxyType(
    {"µg/m³": "ug/m3", "μg/m³": "ug/m3", "ug/m³": "ug/m3", "µg/m3": "ug/m3", "°C": "Cel", "": "1"}
)


_SUFFIXES = re.compile(r"(_[a-z0-9]{1,16}){0,3}")


@lru_cache(maxsize=10_000)
def canonical_units(observed_property: str) -> tuple[str, ...] | None:
    """The admitted UCUM codes of a property, the default first; None for an unknown property.

    At most three suffixes of 16 lower-case letters and digits each.

    >>> canonical_units("vehicle_count_heavy")
    ('1',)
    >>> canonical_units("spped") is None, canonical_units("speed_North!") is None
    (True, True)
    """
    stem = observed_property
    while stem:
        if stem in CANONICAL_UNITS:
            return CANONICAL_UNITS[stem] if _SUFFIXES.fullmatch(observed_property, len(stem)) else None
        stem = stem.rpartition("_")[0]
    return None


def normalise(unit: str) -> str:
    """The UCUM code of a common spelling of a canonical unit; other text is returned unchanged.

    >>> normalise("µg/m³")
    'ug/m3'
    """
    return _SPELLINGS.get(unit, unit)


def display(unit: str) -> str:
    """How a UCUM code is written for people.

    >>> display("ug/m3")
    'µg/m³'
    """
    return DISPLAY.get(unit, unit)
