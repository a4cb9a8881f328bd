"""Quality of electricity: power factor and what CFE charges for it, voltage, frequency, harmonics. Pure arrays.

Limits are inclusive: a value on its limit is within it. Means are compared after rounding, so that the order of a
summation cannot decide about a value on a limit.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kpi_engine.formulas.base import Floats, Ints
from kpi_engine.formulas.ratios import ratio, share_percent
from kpi_engine.rounding import round_half_up
from pulso.errors import ConfigurationError

MICRO = 6
"""Decimals that V and Hz are rounded to before they are compared."""


class PowerFactorThreshold(IntEnum):
    """The power factor that is asked for, in %: below it a surcharge is due, from it on a credit.

    0.95 for medium voltage with a demand of 1 MW or more and for all high voltage, 0.97 for those since 2026-04-08:
    verified in a provider's account of CRE A/073/2023, which was contested in court. From when to when each was in
    force before is not known here, so the caller chooses.
    """

    GENERAL = 90
    LARGE_USERS = 95
    LARGE_USERS_SINCE_2026_04_08 = 97


class BillingPowerFactor(NamedTuple):
    """Power factor of a period, and the share of its intervals that it rests on (NaN if it has none)."""

    power_factor: Floats
    covered: Floats


def power_factor(kwh: Floats | float, kvarh: Floats | float) -> Floats:
    """Power factor, a ratio from 0 to 1: kWh / sqrt(kWh^2 + kvarh^2).

    The sign of the reactive energy does not matter. NaN where an input is missing, where there is no energy at all, and
    for negative active energy (net export). Formula and required values: verified in a provider's account of
    CRE A/073/2023.
    """
    active = np.asarray(kwh, np.float64)
    return np.where(active >= 0, np.minimum(ratio(active, np.hypot(active, kvarh)), 1.0), np.nan)


def billing_power_factor(kwh: Floats, kvarh: Floats) -> BillingPowerFactor:
    """Power factor of a billing period from the energies of its intervals, both (..., intervals).

    Energies are added up first: the mean of the intervals' power factors would be another number. An interval without
    one of its energies (NaN) counts with neither, and lowers `covered`. Formula as `power_factor`.
    """
    known = np.isfinite(kwh) & np.isfinite(kvarh)
    total_kwh, total_kvarh = (np.where(known, energy, 0.0).sum(axis=-1) for energy in (kwh, kvarh))
    covered = ratio(known.sum(axis=-1).astype(float), float(known.shape[-1]))
    return BillingPowerFactor(power_factor(total_kwh, total_kvarh), covered)


def cfe_power_factor_charge(factor: Floats | float, threshold_percent: float = PowerFactorThreshold.GENERAL) -> Floats:
    """What CFE adds to a monthly bill for its power factor, in % of the bill; negative: a credit.

    With T the threshold and PF the power factor in %: below T + 3/5 * (T/PF - 1) * 100, at most +120; from T on
    (inclusive) - 1/4 * (1 - T/PF) * 100, at least -2.5. Nothing is due exactly at T, everything (+120) without any
    active energy (PF = 0). NaN for a power factor that is missing or not within 0 to 1. Raises ConfigurationError for a
    threshold not within 0 to 100.

    Credit and its cap for T = 90: verified against a published bill. T = 95 in place of 90 for large users: verified in
    a newspaper. Surcharge and its cap: recalled, not verified; that both caps hold for other thresholds: likewise.
    """
    if not 0 < threshold_percent <= 100:
        raise ConfigurationError(f"a power factor threshold of {threshold_percent} % is not within 0 to 100 %")
    percent = 100 * np.asarray(factor, np.float64)
    with np.errstate(divide="ignore", over="ignore"):  # hardly any active energy: what is due is capped anyway
        short_by = threshold_percent / np.where((percent >= 0) & (percent <= 100), percent, np.nan) - 1
        surcharge = np.minimum(60 * short_by, 120.0)
        credit = np.maximum(25 * short_by, -2.5)
    return np.where(short_by > 0, surcharge, credit)


def within_voltage(means: Floats, nominal_v: float, below_percent: float, above_percent: float) -> NDArray[np.bool_]:
    """Which means of the voltage in V are within nominal - below % and nominal + above %, both ends included.

    Means and limits are rounded to 1 µV first. A missing mean (NaN) is not within. Nominal 127 V and +/- 10 %, which is
    114.3 V to 139.7 V, as the Mexican rule: recalled, not verified.
    """
    rounded = round_half_up(means, MICRO)
    low, high = round(nominal_v * (1 - below_percent / 100), MICRO), round(nominal_v * (1 + above_percent / 100), MICRO)
    inside: NDArray[np.bool_] = (rounded >= low) & (rounded <= high)
    return inside


def voltage_compliance_percent(means: Floats, nominal_v: float, tolerance_percent: float = 10.0) -> Floats:
    """Share of the known 10-minute means of the voltage within nominal +/- tolerance, limits included, in %.

    `means` (..., blocks) in V, one per half-open block of ten minutes, NaN where missing: those are in neither count.
    NaN where no mean is known. EN 50160: verified on a forum page that transcribes it.
    """
    inside = within_voltage(means, nominal_v, tolerance_percent, tolerance_percent).sum(axis=-1)
    return share_percent(inside, (~np.isnan(means)).sum(axis=-1))


class VoltageWeek(NamedTuple):
    """A week of voltage: means that are known, % within +/- 10 % and within +10/-15 %, and the verdict.

    `enough` says if the verdict could be given; `passes` is False where it could not.
    """

    counted: Ints
    narrow_percent: Floats
    wide_percent: Floats
    enough: NDArray[np.bool_]
    passes: NDArray[np.bool_]


def judge_voltage_week(means: Floats, nominal_v: float, *, minimum_means: int) -> VoltageWeek:
    """The weekly rule of EN 50160: 95 % of the 10-minute means within +/- 10 %, and all within +10/-15 %.

    `means` (..., blocks) in V of one week, which has 1,008 blocks, NaN where missing; both limits and the 95 % are
    inclusive. The rule itself is verified on a forum page that transcribes it. How many means a verdict needs is not
    known from it, hence `minimum_means`: our own design.
    """
    counted = (~np.isnan(means)).sum(axis=-1)
    narrow = within_voltage(means, nominal_v, 10.0, 10.0).sum(axis=-1)
    wide = within_voltage(means, nominal_v, 15.0, 10.0).sum(axis=-1)
    enough = np.asarray((counted >= minimum_means) & (counted > 0))
    passes = enough & (100 * narrow >= 95 * counted) & (wide == counted)  # in integers: exactly 95 % passes
    return VoltageWeek(counted, share_percent(narrow, counted), share_percent(wide, counted), enough, passes)


def frequency_deviation(means: Floats | float, nominal_hz: float = 60.0) -> Floats:
    """Deviation of 10-second means of the frequency from nominal in Hz, positive above it, to 1 µHz; NaN stays NaN.

    60 Hz as the nominal frequency and means over ten seconds: recalled, not verified.
    """
    return np.asarray(round_half_up(np.asarray(means, np.float64) - nominal_hz, MICRO))


def frequency_on_watch(deviation: Floats, limit_hz: float = 0.2) -> NDArray[np.bool_]:
    """Which deviations in Hz are beyond +/- limit; on the limit, and where missing, they are not.

    The limit of 0.2 Hz is our own design, not a rule of the grid.
    """
    return np.asarray(np.abs(deviation) > limit_hz)


def total_harmonic_distortion(fundamental: Floats | float, harmonics: Floats) -> Floats:
    """Total harmonic distortion of one phase, a ratio: sqrt(sum of squares of the harmonics) / fundamental.

    `harmonics` (..., orders) from the second order on, rms in the unit of the `fundamental` (...). NaN where a harmonic
    is missing, as it is not zero, and where the fundamental is missing or not positive. Recalled, not verified.
    """
    return ratio(np.sqrt(np.square(harmonics).sum(axis=-1)), fundamental)


def within_distortion(distortion: Floats, limit: float = 0.08) -> NDArray[np.bool_]:
    """Which 10-minute values of the voltage's distortion (a ratio, per phase) are at most the limit, which is included.

    A missing value is not within. 0.08 at low voltage, below 1 kV, by IEEE 519-2014 and 2022: recalled, not verified.
    """
    return np.asarray(distortion <= limit)
