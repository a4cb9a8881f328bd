"""Observed properties, their canonical units (UCUM codes), and the conversion of other units into these.

A property may carry a suffix for class, direction, phase, tariff or channel (`vehicle_count_heavy`,
`energy_import_t1`, `voltage_l2`): it keeps the unit of its stem.

How units are spelt stands in `unit_spellings.toml`; pint converts them, imported when first needed (it takes 0.4 s).
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Context as Arithmetic
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pulso.errors import DecodeError, RejectReason
from pulso.unit_spellings import LONGEST, Route, code_of, one_form, spellings

if TYPE_CHECKING:
    import pint

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
    stem = stem_of(observed_property)
    return None if stem is None else CANONICAL_UNITS[stem]


@lru_cache(maxsize=10_000)
def stem_of(observed_property: str) -> str | None:
    """The property without its suffixes; None for an unknown property.

    >>> stem_of("energy_import_t1_l2"), stem_of("spped")
    ('energy_import', None)
    """
    stem = observed_property
    while stem:
        if stem in CANONICAL_UNITS:
            return stem if _SUFFIXES.fullmatch(observed_property, len(stem)) else None
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


class Converted(NamedTuple):
    """A result in `unit`, and what was sent; `sent_result` and `sent_unit` are None where nothing was converted."""

    result: float
    unit: str
    sent_result: float | None
    sent_unit: str | None


def convert(observed_property: str, value: float, unit: str) -> Converted:
    """`value` in a canonical unit of the property, from `unit` as a message spells it.

    Exact to the last digit of the decimal number that `value` stands for: 1810 Wh is 1.81 kWh. For a property outside
    our vocabulary the unit is brought to its UCUM code where it has one we know, and nothing is converted.
    Raises DecodeError: unknown_unit for a unit we do not know, unit_mismatch for one that the property cannot have.

    >>> convert("pressure", 96800, "Pa")
    Converted(result=968.0, unit='hPa', sent_result=96800.0, sent_unit='Pa')
    >>> convert("no2", 3.888, "Parts Per Billion")
    Converted(result=3.888, unit='ppb', sent_result=None, sent_unit=None)
    """
    if len(unit) > LONGEST:
        raise DecodeError(RejectReason.UNKNOWN_UNIT, f"{observed_property}: a unit of {len(unit)} characters")
    scale = _scale(stem_of(observed_property), unit)
    number = float(value)
    if scale.factor is None:
        return Converted(number, scale.unit, None, None)
    result = float(_ARITHMETIC.fma(Decimal(repr(number)), scale.factor, scale.offset))
    return Converted(result, scale.unit, number, unit.strip())


def unit_code(unit: str) -> str | None:
    """The code of a unit as messages spell it; None if it is not known.

    >>> unit_code("µg⋅m⁻³"), unit_code("http://qudt.org/vocab/unit/DEG_C"), unit_code("mw")
    ('ug/m3', 'Cel', None)
    """
    return code_of(one_form(unit)) if len(unit) <= LONGEST else None


def kind_of(unit: str) -> str | None:
    """The kind of quantity that a unit, as messages spell it, measures; None if the unit is not known.

    >>> kind_of("kW"), kind_of("kvar")
    ('power', 'reactive_power')
    """
    code = unit_code(unit)
    return None if code is None else spellings().kinds[code]


def admitted_units(observed_property: str) -> tuple[str, ...]:
    """Codes of all units that are converted for a property, its own first; empty for an unknown property."""
    stem = stem_of(observed_property)
    if stem is None:
        return ()
    table, routes = spellings(), _routes(stem)
    others = (code for code, kind in table.kinds.items() if kind in routes and routes[kind].only is None)
    return tuple(dict.fromkeys((*CANONICAL_UNITS[stem], *others)))


_ARITHMETIC = Arithmetic(prec=40)


class _Scale(NamedTuple):
    """result = value * factor + offset, in `unit`; `factor` None: as it is."""

    unit: str
    factor: Decimal | None = None
    offset: Decimal = Decimal(0)


def _routes(stem: str) -> Mapping[str, Route]:
    """The kinds that a property admits; of two units of one kind the first counts."""
    kinds = spellings().kinds
    own = {kinds[unit]: Route(unit) for unit in reversed(CANONICAL_UNITS[stem])}
    return {**spellings().admits.get(stem, {}), **own}


@lru_cache(maxsize=4096)
def _scale(stem: str | None, unit: str) -> _Scale:
    text = one_form(unit)
    code = code_of(text) if text else None
    if stem is None:
        if code is None and not (text and text.isprintable()):
            raise DecodeError(RejectReason.UNKNOWN_UNIT, f"unit {unit!r}")
        return _Scale(code or text)
    if code in CANONICAL_UNITS[stem]:
        return _Scale(code)
    if not text and CANONICAL_UNITS[stem] == ("1",):
        return _Scale("1")
    if code is None:
        raise DecodeError(RejectReason.UNKNOWN_UNIT, f"{stem}: unit {unit!r} is not known; it takes {_named(stem)}")
    table = spellings()
    route = _routes(stem).get(table.kinds[code])
    if route is None or (route.only is not None and text not in route.only) or code not in table.pint:
        kind = table.kinds[code].replace("_", " ")
        raise DecodeError(
            RejectReason.UNIT_MISMATCH, f"{stem}: unit {unit!r} is one of {kind}; it takes {_named(stem)}"
        )
    return _Scale(route.unit, *_linear(table.pint[code], table.pint[route.unit]))


def _named(stem: str) -> str:
    own = CANONICAL_UNITS[stem]
    others = [unit for unit in admitted_units(stem) if unit not in own]
    return " or ".join(own) + (f" (or converted: {', '.join(others)})" if others else "")


def _linear(given: str, wanted: str) -> Iterator[Decimal]:
    """Factor and offset from one unit to another, as pint names them, to 40 digits."""
    registry = _registry()
    zero, one = (registry.convert(Fraction(number), given, wanted) for number in (0, 1))
    for exact in (one - zero, zero):
        fraction = Fraction(exact)
        yield _ARITHMETIC.divide(Decimal(fraction.numerator), Decimal(fraction.denominator))


@cache
def _registry() -> "pint.UnitRegistry[Fraction]":
    """Pint's units with exact fractions for numbers, so that no conversion adds an error of its own."""
    import pint

    registry: pint.UnitRegistry[Fraction] = pint.UnitRegistry(non_int_type=Fraction, on_redefinition="ignore")
    registry.define("ppb = 1e-9 = ppb")
    registry.define("parts_per_trillion = 1e-12")
    registry.define("millimeter_of_water = 9.80665 * pascal")
    return registry
