"""NOM-172-SEMARNAT-2023, the Mexican air and health index: weighted means and dated bands. Pure arrays."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kpi_engine.rounding import round_half_up
from pulso.errors import ConfigurationError

Floats = NDArray[np.float64]

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
    exists = ~np.isnan(hours)
    largest = np.where(exists, hours, -np.inf).max(axis=-1)
    smallest = np.where(exists, hours, np.inf).min(axis=-1)
    spread = np.divide(
        largest - smallest, largest, out=np.zeros_like(largest), where=np.isfinite(largest) & (largest > 0)
    )
    weight = np.maximum(1.0 - spread, 0.5)
    if reference_rounding:
        weight = round_half_up(weight, 2)
    weights = np.where(exists, weight[..., None] ** np.arange(hours.shape[-1]), 0.0)
    total = weights.sum(axis=-1)
    mean = np.divide(
        (weights * np.where(exists, hours, 0.0)).sum(axis=-1), total, out=np.zeros_like(total), where=total > 0
    )
    if reference_rounding:
        mean = round_half_up(mean)
    valid = exists[..., :3].sum(axis=-1) >= 2
    return np.where(valid, round_half_up(mean * factor), np.nan)


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

        Values are rounded half up first, as the norm asks. Lower ends are excluded, upper ends included.
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
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
        keys = dict.fromkeys((row["pollutant"], row["valid_from"], row["valid_to"]) for row in rows)
        return BandTable([_cuts(*key, rows) for key in keys])
    except (OSError, KeyError, ValueError) as error:
        raise ConfigurationError(f"{path.name}: not a table of bands: {error!r}") from error


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
    return _Cuts(
        pollutant, date.fromisoformat(valid_from), date.fromisoformat(valid_to) if valid_to else date.max, ends
    )
