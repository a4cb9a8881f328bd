"""Daily and weekly rhythms on the city's own clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from sensors_sim.noise import Floats

Micros: TypeAlias = NDArray[np.int64]

DAY = 86_400.0
WEEK = 7 * DAY
_QUARTER = 900_000_000  # microseconds; zones change their offset on quarters of an hour
_MONDAY = 4 * DAY  # 1970-01-05 was a Monday


@dataclass(frozen=True, slots=True)
class Instants:
    """Moments as three equally long columns.

    `micros`: microseconds since 1970 UTC. `local`: what the city's clock shows, as seconds since 1970.
    `standard`: the same without daylight saving, so that it never jumps; registers run on it.
    """

    micros: Micros
    local: Floats
    standard: Floats

    @classmethod
    def of(cls, micros: Micros, zone: ZoneInfo) -> "Instants":
        """Put the city's clock beside UTC."""
        quarters, back = np.unique(micros // _QUARTER, return_inverse=True)
        offsets = np.array([_offsets(zone, int(quarter)) for quarter in quarters]).reshape(-1, 2)[back]
        seconds = micros / 1e6
        return cls(micros, seconds + offsets[:, 0], seconds + offsets[:, 1])

    @property
    def seconds(self) -> Floats:
        """Seconds since 1970 UTC."""
        return self.micros / 1e6


@lru_cache(maxsize=4096)
def _offsets(zone: ZoneInfo, quarter: int) -> tuple[float, float]:
    moment = datetime.fromtimestamp(quarter * 900, UTC).astimezone(zone)
    offset, saving = moment.utcoffset() or timedelta(0), moment.dst() or timedelta(0)
    return offset.total_seconds(), (offset - saving).total_seconds()


@dataclass(frozen=True)
class Week:
    """A weekly curve through one knot per hour, linear between them, from Monday 00:00 on."""

    knots: tuple[float, ...]

    @classmethod
    def of(cls, workday: Sequence[float], saturday: Sequence[float], sunday: Sequence[float]) -> "Week":
        """Five equal working days and a weekend, 24 values each, for the full hours from 0 to 23."""
        return cls((*(tuple(workday) * 5), *saturday, *sunday))

    @cached_property
    def _values(self) -> Floats:
        return np.array([*self.knots, self.knots[0]])

    @cached_property
    def _sums(self) -> Floats:
        trapezia = (self._values[1:] + self._values[:-1]) * 1800.0
        return np.concatenate([[0.0], np.cumsum(trapezia)])

    def at(self, clock: Floats) -> Floats:
        """The curve at `clock` (seconds on the city's clock)."""
        hour, fraction, _ = self._locate(clock)
        left, right = self._values[hour], self._values[hour + 1]
        curve: Floats = left + (right - left) * fraction
        return curve

    def integral(self, clock: Floats) -> Floats:
        """The curve's integral over seconds, from Monday 1970-01-05 00:00 to `clock`; exact for any length."""
        hour, fraction, weeks = self._locate(clock)
        left, right = self._values[hour], self._values[hour + 1]
        within = 3600.0 * fraction * (left + 0.5 * fraction * (right - left))
        total: Floats = weeks * self._sums[-1] + self._sums[hour] + within
        return total

    @staticmethod
    def _locate(clock: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
        since = clock - _MONDAY
        weeks = np.floor(since / WEEK)
        hours = (since - weeks * WEEK) / 3600.0
        hour = np.minimum(np.floor(hours).astype(np.int64), 167)
        return hour, hours - hour, weeks


def hour_of_day(clock: Floats) -> Floats:
    """Hours since local midnight, in [0, 24)."""
    return (clock % DAY) / 3600.0


def bump(hour: Floats, peak: float, width: float) -> Floats:
    """A bell of height 1 around an hour of the day, `width` hours to its inflection, closed over midnight."""
    distance = (hour - peak + 12.0) % 24.0 - 12.0
    return np.exp(-0.5 * (distance / width) ** 2)


def day_of_year(clock: Floats) -> Floats:
    """Position in the year as a fraction; 0 is about the first of January."""
    return (clock / DAY / 365.2425) % 1.0
