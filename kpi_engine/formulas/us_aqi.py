"""The Air Quality Index of the US EPA, 2024: NowCast and index. EPA's numbers, never those of NOM-172. Pure arrays.

An optional second reading beside the Mexican index: it has a number from 0 to 500 where NOM-172 has bands only, and its
NowCast lacks the factor of the norm. Whatever shows it names `STANDARD`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kpi_engine.formulas.nom172 import concentration_weight, has_two_of_three_newest, read_table, weighted_by_age
from kpi_engine.rounding import round_half_up

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STANDARD = "US EPA AQI 2024"
"""What the index is called, in the table of breakpoints and wherever it is shown."""

_END_OF_SCALE = 500


def nowcast(hours: Floats) -> Floats:
    """EPA's NowCast of PM2.5 or PM10 in µg/m³, not yet truncated; NaN where it is not valid.

    `hours` (..., 12) are raw hourly means, newest first, NaN where missing. With w = 1 - (max - min) / max and
    W = max(w, 0.5) it is sum(c_i W^(i-1)) / sum(W^(i-1)) over the hours that exist; a missing hour keeps its place.
    Valid with at least two of the three newest hours. Verified in EPA's own text (nepis.epa.gov P100X0J6). The weights
    are those of NOM-172, without its factor and without any rounding on the way.
    """
    mean = weighted_by_age(hours, concentration_weight(hours))
    return np.where(has_two_of_three_newest(hours), mean, np.nan)


def truncate(values: Floats, decimals: int) -> Floats:
    """Values cut down to `decimals`, as EPA asks for concentrations (verified for PM, see `AqiTable.truncated`).

    Noise just below a whole step counts as the step, as in `round_half_up` (our own design). NaN stays NaN.

    >>> truncate(np.array([35.49, 35.4, 0.0709]), 1).tolist()
    [35.4, 35.4, 0.0]
    """
    return round_half_up(values - 0.5 / 10.0**decimals, decimals)


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines of one pollutant, ascending: concentrations [low, high] of each, both included, and its indices."""

    decimals: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    index_low: tuple[float, ...]
    index_high: tuple[float, ...]

    @property
    def is_open(self) -> bool:
        """Whether the lines reach the end of the scale, so that the last one may be drawn on."""
        return self.index_high[-1] >= _END_OF_SCALE


@dataclass(frozen=True)
class Overall:
    """The index over all pollutants, with everything in the shape of the concentrations.

    `index` is NaN where no pollutant has one. `responsible` holds per pollutant where it has that index; ties are all
    responsible. `is_incomplete`: a concentration lies above its table and no other averaging time of that pollutant
    has an index there, so the true index may be higher.
    """

    index: Floats
    responsible: Mapping[str, Bools]
    is_incomplete: Bools
    standard: str = STANDARD


class AqiTable:
    """The breakpoints, by pollutant with averaging time: pm25, pm10, o3_8h, o3_1h, co_8h, so2_1h, so2_24h, no2_1h.

    PM in µg/m³, O3 and CO in ppm, SO2 and NO2 in ppb. PM2.5 and the other breakpoints are verified through secondary
    material; those of one-hour ozone are recalled. The table is EPA's of 2024, whatever the date of observation.
    """

    def __init__(self, lines: Mapping[str, _Lines], categories: Sequence[tuple[str, float]]) -> None:
        self._lines = dict(lines)
        self._ends = np.array([end for _, end in categories[:-1]])
        self.categories = tuple(name for name, _ in categories)

    def truncated(self, pollutant: str, values: Floats) -> Floats:
        """Concentrations cut to the decimals that count: PM2.5 and CO 0.1, PM10 1, O3 0.001 ppm, SO2 and NO2 1 ppb.

        Verified in EPA's text for PM, through secondary material for gases. Raises KeyError for an unknown pollutant.
        """
        return truncate(values, self._lines[pollutant].decimals)

    def index(self, pollutant: str, values: Floats, *, clamp: bool = False) -> Floats:
        """The index of one pollutant, whole numbers: the line through the breakpoints at the truncated concentration.

        I = (I_hi - I_lo) / (C_hi - C_lo) * (C - C_lo) + I_lo, rounded half up (verified through secondary material).
        NaN below the first line of a pollutant (also for negative concentrations, our own design), and above the last
        one where that ends below 500: ozone over 8 h above 0.200 ppm and SO2 over 1 h above 304 ppb have no index
        there and need the other averaging time (recalled). Above an index of 500 the last line is drawn on, which is
        what to store; `clamp` stops at 500 as many tools do. Raises KeyError for an unknown pollutant.
        """
        lines, cut = self._lines[pollutant], self.truncated(pollutant, values)
        place = np.clip(np.searchsorted(lines.low, cut, side="right") - 1, 0, len(lines.low) - 1)
        low, high, index_low, index_high = (
            np.array(ends)[place] for ends in (lines.low, lines.high, lines.index_low, lines.index_high)
        )
        index = round_half_up((index_high - index_low) / (high - low) * (cut - low) + index_low)
        index = np.where((cut < lines.low[0]) | self.is_beyond(pollutant, values), np.nan, index)
        return np.minimum(index, _END_OF_SCALE) if clamp else index

    def is_beyond(self, pollutant: str, values: Floats) -> Bools:
        """Where a concentration has no index because it lies above a table that ends below 500."""
        lines = self._lines[pollutant]
        beyond: Bools = (self.truncated(pollutant, values) > lines.high[-1]) & (not lines.is_open)
        return beyond

    def category(self, index: Floats) -> Floats:
        """Number of the category of an index in `categories`, 0 the best; NaN where there is no index.

        Good to 50, Moderate to 100, Unhealthy for Sensitive Groups to 150, Unhealthy to 200, Very Unhealthy to 300,
        Hazardous above; upper ends included (verified through secondary material).
        """
        above = (index[..., None] > self._ends).sum(axis=-1)
        return np.where(np.isnan(index), np.nan, above)

    def overall(self, concentrations: Mapping[str, Floats], *, clamp: bool = False) -> Overall:
        """The largest index over pollutants, arrays of one shape, and who is responsible for it (EPA, recalled).

        Two averaging times of one gas both count. Raises ValueError for no pollutant, KeyError for an unknown one.
        """
        if not concentrations:
            raise ValueError("an index needs at least one pollutant")
        indices = {name: self.index(name, values, clamp=clamp) for name, values in concentrations.items()}
        largest = np.fmax.reduce(list(indices.values()))
        beyond = {name: self.is_beyond(name, values) for name, values in concentrations.items()}
        unanswered = [where & ~_answered(name, indices) for name, where in beyond.items()]
        responsible = {name: index == largest for name, index in indices.items()}
        return Overall(largest, responsible, np.logical_or.reduce(unanswered))


def _answered(pollutant: str, indices: Mapping[str, Floats]) -> Bools:
    """Where any averaging time of a pollutant has an index."""
    substance = pollutant.partition("_")[0]
    found = [~np.isnan(index) for name, index in indices.items() if name.partition("_")[0] == substance]
    answered: Bools = np.logical_or.reduce(found)
    return answered


def load_breakpoints(path: Path) -> AqiTable:
    """Read a table of breakpoints. Raises ConfigurationError naming the file and what is wrong with it.

    The file has to say of every row that it is EPA's, so that no other standard is shown under EPA's name.
    """
    return read_table(path, f"table of {STANDARD}", _table)


def _table(rows: list[dict[str, str]]) -> AqiTable:
    strangers = {row["standard"] for row in rows} - {STANDARD}
    if strangers or not rows:
        raise ValueError(f"rows of {', '.join(sorted(strangers)) or 'no standard'}")
    ends: dict[str, float] = {}
    for row in rows:
        if ends.setdefault(row["category"], float(row["i_hi"])) != float(row["i_hi"]):
            raise ValueError(f"category {row['category']!r} ends at two indices")
    pollutants = dict.fromkeys(row["pollutant"] for row in rows)
    lines = {pollutant: _lines(pollutant, rows) for pollutant in pollutants}
    return AqiTable(lines, sorted(ends.items(), key=lambda each: each[1]))


def _lines(pollutant: str, rows: Sequence[dict[str, str]]) -> _Lines:
    mine = sorted((row for row in rows if row["pollutant"] == pollutant), key=lambda row: float(row["c_lo"]))
    low, high, index_low, index_high = (
        tuple(float(row[name]) for row in mine) for name in ("c_lo", "c_hi", "i_lo", "i_hi")
    )
    (decimals,) = {int(row["truncate_decimals"]) for row in mine}
    step = 10.0**-decimals
    gapless = all(abs(after - before - step) < step / 1000 for before, after in zip(high, low[1:], strict=False))
    rising = all(start < end for start, end in (*zip(low, high, strict=True), *zip(index_low, index_high, strict=True)))
    climbing = all(before < after for before, after in zip(index_high, index_low[1:], strict=False))
    if not (gapless and rising and climbing):
        raise ValueError(f"lines of {pollutant} do not ascend one step after the other")
    return _Lines(decimals, low, high, index_low, index_high)
