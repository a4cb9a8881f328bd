"""NOM-172-SEMARNAT-2023, the Mexican air and health index: weighted means and dated bands. Pure arrays."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kpi_engine.rounding import round_half_up
from pulso.errors import ConfigurationError

Floats = NDArray[np.float64]
Table = TypeVar("Table")

FACTOR = {"PM2.5": 0.694, "PM10": 0.714}
"""What the weighted mean is multiplied by, per pollutant."""

DECIMALS = {"PM10": 0, "PM2.5": 0, "O3": 3, "NO2": 3, "SO2": 3, "CO": 2}
"""Decimals to round to before classifying: PM in µg/m³, gases in ppm."""


def weighted_mean(hours: Floats, factor: float, *, reference_rounding: bool = True) -> Floats:
    """The weighted 12-hour mean of particles, in whole µg/m³; NaN where it is not valid.

    `hours` (..., 12) are hourly means, newest first, NaN where missing. With w = 1 - (max - min) / max and
    W = max(w, 0.5), the value is factor * sum(c_i W^(i-1)) / sum(W^(i-1)) over the hours that exist; a missing hour
    keeps its place. Valid with at least two of the three newest hours (NOM-172-SEMARNAT-2023, particles).

    The public reference function rounds W to two decimals, the mean to an integer and the product again; the norm's own
    chain is not verified, hence `reference_rounding`. All roundings are half up.
    """
    weight = concentration_weight(hours)
    if reference_rounding:
        weight = round_half_up(weight, 2)
    mean = weighted_by_age(hours, weight)
    if reference_rounding:
        mean = round_half_up(mean)
    return np.where(has_two_of_three_newest(hours), round_half_up(mean * factor), np.nan)


def concentration_weight(hours: Floats) -> Floats:
    """The weight W = max(1 - (max - min) / max, 0.5) of hourly means (..., 12); 1 where all are zero or none exists.

    Equal in NOM-172 (verified through secondary material) and in EPA's NowCast (verified in EPA's own text).
    """
    exists = ~np.isnan(hours)
    largest = np.where(exists, hours, -np.inf).max(axis=-1)
    smallest = np.where(exists, hours, np.inf).min(axis=-1)
    spread = np.divide(
        largest - smallest, largest, out=np.zeros_like(largest), where=np.isfinite(largest) & (largest > 0)
    )
    weight: Floats = np.maximum(1.0 - spread, 0.5)
    return weight


def weighted_by_age(hours: Floats, weight: Floats) -> Floats:
    """Mean sum(c_i W^(i-1)) / sum(W^(i-1)) of hourly means (..., 12), newest first; 0 where none exists.

    A missing hour (NaN) keeps its place: those before it are not moved up.
    """
    exists = ~np.isnan(hours)
    weights = np.where(exists, np.asarray(weight)[..., None] ** np.arange(hours.shape[-1]), 0.0)
    total = weights.sum(axis=-1)
    mean: Floats = np.divide(
        (weights * np.where(exists, hours, 0.0)).sum(axis=-1), total, out=np.zeros_like(total), where=total > 0
    )
    return mean


def has_two_of_three_newest(hours: Floats) -> NDArray[np.bool_]:
    """Whether at least two of the three newest of the hourly means (..., 12) exist, without which nothing is valid."""
    enough: NDArray[np.bool_] = (~np.isnan(hours[..., :3])).sum(axis=-1) >= 2
    return enough


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Upper ends (included) of the bands of one pollutant but the last, in force on [first, last]."""

    pollutant: str
    first: date
    last: date
    ends: tuple[float, ...]


class BandTable:
    """A dated table of bands: cut points by pollutant and day of observation."""

    def __init__(self, cuts: Sequence[_Cuts]) -> None:
        self._cuts = tuple(cuts)

    def index(self, pollutant: str, values: Floats, days: Sequence[date]) -> Floats:
        """Band index, 0 the best, of values (days, ...) by the table in force on each day; NaN where there is none.

        Values are rounded half up first, as the norm asks. Lower ends are excluded, upper ends included. Particles by
        their weighted mean, O3, NO2 and SO2 by the mean of one hour, CO by the running mean of eight (from 2024-07-23;
        the table has nothing earlier for SO2 and CO).
        """
        rounded = round_half_up(values, DECIMALS[pollutant])
        found = np.full(values.shape, np.nan)
        for row, day in enumerate(days):
            ends = self._ends(pollutant, day)
            if ends is not None:
                above = (rounded[row, ..., None] > np.array(ends)).sum(axis=-1)
                found[row] = np.where(np.isnan(rounded[row]), np.nan, above)
        return found

    def _ends(self, pollutant: str, day: date) -> tuple[float, ...] | None:
        for cuts in self._cuts:
            if cuts.pollutant == pollutant and cuts.first <= day <= cuts.last:
                return cuts.ends
        return None


def load_bands(path: Path) -> BandTable:
    """Read a table of bands. Raises ConfigurationError naming the file and what is wrong with it."""
    return read_table(path, "table of bands", _band_table)


def read_table(path: Path, what: str, build: Callable[[list[dict[str, str]]], Table]) -> Table:
    """What `build` makes of the rows of a CSV file; lines that begin with # are notes.

    Raises ConfigurationError naming the file, `what` it should be, and what is wrong with it: unreadable, a row that is
    too short or too long, or whatever KeyError or ValueError `build` raises.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
        return build([_whole(row) for row in rows])
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise ConfigurationError(f"{path.name}: not a {what}: {error!r}") from error


def _whole(row: dict[str, str]) -> dict[str, str]:
    if None in row or None in row.values():  # what the reader puts where a row is too long, or too short
        raise ValueError(f"a row with other columns than the heading: {list(row.values())}")
    return row


def _band_table(rows: list[dict[str, str]]) -> BandTable:
    keys = dict.fromkeys((row["pollutant"], row["valid_from"], row["valid_to"]) for row in rows)
    return BandTable([_cuts(*key, rows) for key in keys])


def _cuts(pollutant: str, valid_from: str, valid_to: str, rows: Sequence[dict[str, str]]) -> _Cuts:
    if pollutant not in DECIMALS:
        raise ValueError(f"unknown pollutant {pollutant!r}")
    mine = [
        row
        for row in rows
        if (row["pollutant"], row["valid_from"], row["valid_to"]) == (pollutant, valid_from, valid_to)
    ]
    mine.sort(key=lambda row: int(row["band_index"]))
    ends = tuple(float(row["at_most"]) for row in mine[:-1])
    if mine[-1]["at_most"] or list(ends) != sorted(ends):
        raise ValueError(f"bands of {pollutant} from {valid_from} do not ascend to an open one")
    return _Cuts(pollutant, *in_force(valid_from, valid_to), ends)


def in_force(valid_from: str, valid_to: str) -> tuple[date, date]:
    """First and last day of a row; one without `valid_to` is in force until further notice. Raises ValueError."""
    first, last = date.fromisoformat(valid_from), date.fromisoformat(valid_to) if valid_to else date.max
    if first > last:
        raise ValueError(f"valid from {valid_from} to {valid_to}")
    return first, last
