"""Air quality against the limits of health: valid means, Mexican norms by date, WHO guidelines. Pure arrays.

Everything is in the unit of the table it is compared with (PM µg/m³, gases of the Mexican norms ppm, of WHO µg/m³ and
CO mg/m³); `gas_units` converts. Hours and days are those of the city's clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kpi_engine.formulas.base import Floats, Ints, divide
from kpi_engine.formulas.nom172 import in_force, read_table
from kpi_engine.rounding import round_half_up
from pulso.errors import ConfigurationError

Entry = TypeVar("Entry")

MINIMUM_SHARE = 0.75
"""With this share of its values a mean is valid: 6 of 8 h, 18 of 24 h (verified through secondary material)."""

_NOISE = 6  # decimals beyond which a difference is one of summing, not of measuring


class Averaging(StrEnum):
    """Over what a limit holds, as the tables name it."""

    HOUR = "1 h"
    EIGHT_HOURS = "8 h"
    DAY = "24 h"
    YEAR = "annual"
    PEAK_SEASON = "peak season"


# --- means and what they rest on -------------------------------------------------------------------------------------


def data_capture(values: Floats, expected: int | None = None) -> Floats:
    """Indicator A7: valid values over expected ones, %, of values (..., n) with NaN where there is none valid.

    `expected` is n where not given: say 23 for a day that lost an hour, or 8760 for a year of which only a part was
    kept. At most 100; NaN where none is expected. Its use as a flag of quality is our own design.
    """
    count = values.shape[-1] if expected is None else expected
    valid = (~np.isnan(values)).sum(axis=-1)
    return np.minimum(100.0, 100.0 * valid / count) if count > 0 else np.full(valid.shape, np.nan)


def valid_mean(values: Floats, expected: int | None = None, *, minimum_share: float = MINIMUM_SHARE) -> Floats:
    """Mean of the values (..., n) that exist, in their unit; NaN with fewer than `minimum_share` of the expected ones.

    Exactly the share is enough (verified through secondary material); nothing is imputed. `expected` as in
    `data_capture`. With the 24 hours of a day this is the daily mean, 18 hours needed.
    """
    exists = ~np.isnan(values)
    needed = _needed(values.shape[-1] if expected is None else expected, minimum_share)
    return _mean(np.where(exists, values, 0.0).sum(axis=-1), exists.sum(axis=-1), needed)


def running_mean(values: Floats, length: int, *, minimum_share: float = MINIMUM_SHARE) -> Floats:
    """Mean of each `length` consecutive values (..., n), oldest first: (..., n - length + 1), of the windows they end.

    Windows lie wholly inside the values, so pass `length - 1` earlier ones for a mean from the first on; none where
    there are fewer values than `length`. NaN with fewer than `minimum_share` of them, as in `valid_mean`: the 8-hour
    mean of O3 and CO needs six hours (verified through secondary material). With 12 monthly or 8760 hourly values it is
    the rolling year. Raises ValueError for a length below 1.
    """
    if length < 1:
        raise ValueError(f"a mean of {length} values")
    if values.shape[-1] < length:
        return np.empty((*values.shape[:-1], 0))
    exists = ~np.isnan(values)
    total = sliding_window_view(np.where(exists, values, 0.0), length, axis=-1).sum(axis=-1)
    count = sliding_window_view(exists, length, axis=-1).sum(axis=-1)
    return _mean(total, count, _needed(length, minimum_share))


def daily_maximum(values: Floats, expected: int | None = None, *, minimum_share: float = MINIMUM_SHARE) -> Floats:
    """Largest of the values (days, n) of each day, such as hours or 8-hour means; NaN with too few, as in `valid_mean`.

    That the completeness of means holds for maxima too is our own design. With a `minimum_share` of 0 one value is
    enough, so that a high hour of a day with many gaps counts.
    """
    exists = ~np.isnan(values)
    needed = _needed(values.shape[-1] if expected is None else expected, minimum_share)
    largest = np.where(exists, values, -np.inf).max(axis=-1, initial=-np.inf)
    return np.where(exists.sum(axis=-1) >= needed, largest, np.nan)


def annual_mean(hours: Floats, year: int) -> Floats:
    """Indicator A3: mean of the valid hours (..., n) of a calendar year; NaN with fewer than 75 % of its hours.

    The year has 8760 hours, or 8784 in a leap year, so the hours of a running year are not enough before October.
    The 75 % rule is verified through secondary material; norms that ask for it in each quarter too are not followed.
    This is EN: EN: AQ: 1C for PM10, PM2.5, NO2, SO2 and O3, not for CO (verified in ITU's manual). Raises ValueError
    for more hours than the year has.
    """
    expected = (date(year + 1, 1, 1) - date(year, 1, 1)).days * 24
    if hours.shape[-1] > expected:
        raise ValueError(f"{hours.shape[-1]} hours for {year}, which has {expected}")
    return valid_mean(hours, expected)


def _needed(expected: int, minimum_share: float) -> int:
    """How many values are enough: at least one."""
    return max(1, int(np.ceil(round(expected * minimum_share, _NOISE))))


def _mean(total: Floats, count: Ints, needed: int) -> Floats:
    return divide(total, np.where(count >= needed, count, 0.0))


def share_per_band(bands: Floats, count: int = 5) -> Floats:
    """Indicator A6: share of the valid hours in each band, %: band indices (hours, ...) to (count, ...).

    `bands` as `BandTable.index` gives them: 0 to `count` - 1, NaN where the hour is not valid. The shares sum to 100;
    NaN where no hour is valid. Raises ValueError for another number.
    """
    valid = ~np.isnan(bands)
    if not np.isin(bands[valid], np.arange(count)).all():
        raise ValueError(f"bands are numbered 0 to {count - 1}")
    hours = valid.sum(axis=0)
    in_band = np.stack([(bands == band).sum(axis=0) for band in range(count)])
    return divide(100.0 * in_band, np.broadcast_to(hours.astype(float), in_band.shape))


# --- Mexican health norms --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit in force on [first, last]."""

    first: date
    last: date
    value: float


@dataclass(frozen=True, slots=True)
class DaysOver:
    """Indicator A5, per station: days over the limit, and days that could be judged at all."""

    over: Ints
    judged: Ints


class HealthLimits:
    """The limits of the Mexican health norms (SSA1), by pollutant, averaging time and day of observation.

    NOM-020 (O3), 021 (CO), 022 (SO2), 023 (NO2) and 025 (PM), verified through secondary material only.
    """

    def __init__(self, limits: Mapping[tuple[str, Averaging], Sequence[_Limit]]) -> None:
        self._limits = MappingProxyType(dict(limits))

    def limits(self, pollutant: str, averaging: Averaging, days: Sequence[date]) -> Floats:
        """The limit in force on each day, in the unit of the table; NaN on days the table says nothing of.

        An annual mean is judged by the last day of its year. Raises ConfigurationError where the norms have no limit.
        """
        stages = _entry(self._limits, pollutant, averaging, "the Mexican health norms")
        return np.array(
            [next((stage.value for stage in stages if stage.first <= day <= stage.last), np.nan) for day in days]
        )

    def exceeded(
        self,
        pollutant: str,
        averaging: Averaging,
        values: Floats,
        days: Sequence[date],
        *,
        decimals: int | None = None,
    ) -> Floats:
        """1 where the value (days, ...) of a day is over the limit in force then, 0 where not, NaN if not known.

        The limit itself is not over it. The norms' own rule of rounding was not read: values are compared as they are
        (our own design; but for the noise of summing), or rounded half up to `decimals` first.
        """
        rounded = round_half_up(values, _NOISE if decimals is None else decimals)
        limits = self.limits(pollutant, averaging, days).reshape(-1, *[1] * (values.ndim - 1))
        over = (rounded > limits).astype(float)
        return np.where(np.isnan(rounded) | np.isnan(limits), np.nan, over)


def days_over(exceeded: Floats) -> DaysOver:
    """Indicator A5: how many days are over the limit, of `HealthLimits.exceeded` (days, ...) of daily values.

    The daily value is the mean of 24 h, or the daily maximum of 1 h or 8 h means. A day without a valid value is
    neither over nor within: compare `judged` with the days of the period before the count is shown.
    """
    return DaysOver((exceeded == 1).sum(axis=0), (~np.isnan(exceeded)).sum(axis=0))


def load_health_limits(path: Path) -> HealthLimits:
    """Read a table of dated limits. Raises ConfigurationError naming the file and what is wrong with it."""
    return read_table(path, "table of health limits", _health_limits)


def _health_limits(rows: list[dict[str, str]]) -> HealthLimits:
    limits: dict[tuple[str, Averaging], list[_Limit]] = {}
    for row in rows:
        stages = limits.setdefault((row["pollutant"], Averaging(row["averaging"])), [])
        limit = _Limit(*in_force(row["valid_from"], row["valid_to"]), _positive(row["limit"]))
        if any(limit.first <= stage.last and stage.first <= limit.last for stage in stages):
            raise ValueError(f"two limits of {row['pollutant']} over {row['averaging']} in force together")
        stages.append(limit)
    return HealthLimits(limits)


# --- WHO -------------------------------------------------------------------------------------------------------------


class WhoGuidelines:
    """The guideline levels of WHO's air quality guidelines of 2021 (verified; NO2 over 1 h recalled)."""

    def __init__(self, levels: Mapping[tuple[str, Averaging], float]) -> None:
        self._levels = MappingProxyType(dict(levels))

    def level(self, pollutant: str, averaging: Averaging) -> float:
        """The guideline level, µg/m³, CO mg/m³. Raises ConfigurationError where WHO has none."""
        return _entry(self._levels, pollutant, averaging, "WHO's guidelines")

    def multiple(self, pollutant: str, averaging: Averaging, values: Floats) -> Floats:
        """Indicator A4: how many times the guideline level a mean is; 1 is the level itself, NaN stays NaN.

        For A4 the annual mean A3 of PM2.5, PM10 or NO2 by `Averaging.YEAR`; ozone has a level for its peak season and
        SO2 and CO only one for a day. Raises ConfigurationError where WHO has none.
        """
        return values / self.level(pollutant, averaging)


def load_who(path: Path) -> WhoGuidelines:
    """Read a table of guideline levels. Raises ConfigurationError naming the file and what is wrong with it."""
    return read_table(path, "table of guideline levels", _who)


def _who(rows: list[dict[str, str]]) -> WhoGuidelines:
    levels = {(row["pollutant"], Averaging(row["averaging"])): _positive(row["guideline"]) for row in rows}
    if len(levels) < len(rows):
        raise ValueError("two levels for one pollutant and averaging time")
    return WhoGuidelines(levels)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < np.inf:
        raise ValueError(f"{text!r} is no limit")
    return number


def _entry(entries: Mapping[tuple[str, Averaging], Entry], pollutant: str, averaging: Averaging, whose: str) -> Entry:
    try:
        return entries[pollutant, averaging]
    except KeyError:
        raise ConfigurationError(f"{whose} have nothing for {pollutant} over {averaging}") from None
