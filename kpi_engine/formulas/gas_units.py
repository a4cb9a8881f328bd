"""Gases between parts per billion and micrograms per cubic metre, by reference factors. Pure arrays."""

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from kpi_engine.things import conversion
from pulso.errors import ConfigurationError

Floats = NDArray[np.float64]

_SIZES = MappingProxyType(
    {"ppb": ("ppb", 1.0), "ppm": ("ppb", 1000.0), "ug/m3": ("ug/m3", 1.0), "mg/m3": ("ug/m3", 1000.0)}
)
"""Per unit the small one of its kind, and how many of that it holds."""


def convert_gas(pollutant: str, values: Floats, unit: str, wanted: str) -> Floats:
    """Concentrations of a gas (O3, NO2, SO2, CO ...) from `unit` to `wanted`: ppb, ppm, ug/m3 or mg/m3 (UCUM codes).

    µg/m³ = ppb * 1.9 (NO2), * 2.62 (SO2), * 1.96 (O3): verified in the U4SSC verification manual of ITU, p. 95. These
    hold at reference conditions; that nothing else is derived from the ambient pressure of a high city is our own
    design. The manual has no factor for CO, so CO is not converted between the two kinds: ppb to ppm, and ug/m3 to
    mg/m3, of any gas are. NaN stays NaN.

    Raises ConfigurationError: a unit that is none of the four, or two kinds of unit without a factor between them.

    >>> convert_gas("O3", np.array([0.06]), "ppm", "ug/m3").round(6).tolist()
    [117.6]
    """
    for each in (unit, wanted):
        if each not in _SIZES:
            raise ConfigurationError(f"{each!r} is no unit of a gas; there are {', '.join(_SIZES)}")
    (small, size), (small_wanted, size_wanted) = _SIZES[unit], _SIZES[wanted]
    factor = conversion(pollutant.lower(), small, small_wanted)
    if factor is None:
        raise ConfigurationError(f"there is no reference factor for {pollutant} from {unit} to {wanted}")
    return values * (size * factor / size_wanted)
