"""What a city's energy amounts to: per head, per area, renewable, in emissions, and through smart meters. Pure arrays.

Annual figures say how they came about (`Basis`): a year is measured, a month may be annualised, a week may not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from kpi_engine.formulas.base import Floats, Ints
from kpi_engine.formulas.ratios import ratio, share_percent
from pulso.errors import ConfigurationError

YEAR_DAYS = 365
LEAP_YEAR_DAYS = 366

SHORTEST_DAYS = 28
"""The least that is annualised: the shortest whole month. Our own design."""


class Basis(IntEnum):
    """How an annual figure came about, to be shown beside it."""

    REFUSED = 0  # too short a period, or nothing known: there is no figure
    ANNUALISED = 1  # scaled from another period to 365 days: it carries that period's season
    MEASURED = 2  # twelve months, as they were


class Annual(NamedTuple):
    """An annual figure (NaN where refused) and its `Basis`, as integers."""

    value: Floats
    basis: Ints


def annual_energy(kwh: Floats | float, days: Floats | float, *, shortest_days: float = SHORTEST_DAYS) -> Annual:
    """Energy of a year in kWh from that of `days`: as it is for 365 or 366 days, else kWh * 365 / days.

    `days` are those which the energy covers, not those of the calendar. Fewer than `shortest_days` are refused (that
    many are enough): one quiet week is never multiplied by 52. So are missing and negative inputs. That indicators of a
    year are 12-month quantities is verified for those of supply and taken over for these; scaling and refusing are our
    own design.
    """
    kwh, days = np.broadcast_arrays(np.asarray(kwh, np.float64), np.asarray(days, np.float64))
    usable = np.isfinite(kwh) & (kwh >= 0) & np.isfinite(days) & (days >= shortest_days) & (days > 0)
    year = (days >= YEAR_DAYS) & (days <= LEAP_YEAR_DAYS)
    value = np.where(year, kwh, ratio(kwh * YEAR_DAYS, np.where(usable, days, np.nan)))
    basis = np.where(usable, np.where(year, Basis.MEASURED, Basis.ANNUALISED), Basis.REFUSED)
    return Annual(np.where(usable, value, np.nan), basis)


def energy_per_head(
    kwh: Floats | float, days: Floats | float, population: Floats | float, *, shortest_days: float = SHORTEST_DAYS
) -> Annual:
    """Electricity per head in kWh per inhabitant and year: energy of a year / population.

    Refused as in `annual_energy`, and where the population is missing or not positive. EN: E: E: 2C: definition
    verified, unit and formula recalled; it asks for the whole city, so some of its meters are a proxy only.
    """
    return _per(annual_energy(kwh, days, shortest_days=shortest_days), population)


def building_intensity(
    kwh_equivalent: Floats | float,
    days: Floats | float,
    area_m2: Floats | float,
    *,
    shortest_days: float = SHORTEST_DAYS,
) -> Annual:
    """Energy of buildings in equivalent kWh per m² and year: energy of a year / floor area.

    The caller converts fuels to equivalent kWh. Refused as in `annual_energy`, and where the area is missing or not
    positive. EN: E: E: 4A: definition verified, unit and formula recalled.
    """
    return _per(annual_energy(kwh_equivalent, days, shortest_days=shortest_days), area_m2)


def _per(annual: Annual, whole: Floats | float) -> Annual:
    value = ratio(annual.value, whole)
    return Annual(value, np.where(np.isnan(value), Basis.REFUSED, annual.basis))


def renewable_share(renewable_kwh: Floats | float, total_kwh: Floats | float) -> Floats:
    """Renewable share of the energy consumed, in %: 100 * renewable kWh / total kWh, both of the same period.

    NaN where an input is missing, the total is not positive or the renewable energy is more than it. EN: E: E: 1C,
    recalled, not verified; it means all energy, so electricity alone is a proxy.
    """
    return share_percent(renewable_kwh, total_kwh)


def smart_meter_share(smart: Floats | float, meters: Floats | float) -> Floats:
    """Smart electricity meters in %: 100 * smart meters / all meters installed, from the registry of meters.

    NaN where a number is missing, there are no meters, or more smart ones than meters. EC: ICT: ES: 1C: verified in the
    ITU manual.
    """
    return share_percent(smart, meters)


@dataclass(frozen=True, slots=True)
class GridFactor:
    """Emissions of the grid in kg CO2e per kWh (the number is the same in t per MWh), in force on [first, last].

    The caller brings it with its source: it is published anew every year (in Mexico by SEMARNAT: recalled, not
    verified), so none is built in.
    """

    kg_per_kwh: float
    first: date
    last: date
    source: str

    def __post_init__(self) -> None:
        if not 0 <= self.kg_per_kwh < float("inf") or self.last < self.first:
            raise ConfigurationError(f"no grid factor: {self.kg_per_kwh} kg/kWh from {self.first} to {self.last}")


def emissions_kg(kwh: Floats, days: Sequence[date], factors: Sequence[GridFactor]) -> Floats:
    """Emissions in kg CO2e: kWh (days, ...) times the factor in force on the local day of the consumption.

    NaN where the energy is missing or no factor is in force: another year's is not silently taken. Raises
    ConfigurationError if two factors are in force on one of the days. Part of EN: EN: AQ: 2C; that emissions are energy
    times a yearly factor is recalled, not verified.
    """
    per_kwh = np.array([_factor_on(day, factors) for day in days], np.float64)
    return kwh * per_kwh.reshape(-1, *(1,) * (kwh.ndim - 1))


def _factor_on(day: date, factors: Sequence[GridFactor]) -> float:
    in_force = [factor for factor in factors if factor.first <= day <= factor.last]
    if len(in_force) > 1:
        raise ConfigurationError(f"two grid factors on {day}: {in_force[0].source}, {in_force[1].source}")
    return in_force[0].kg_per_kwh if in_force else float("nan")
