"""Goalposts: between which two values of a KPI its score runs from 0 to 100, since when, and who says so."""

from datetime import date
from typing import Annotated

from pydantic import Field, model_validator

from kpi_engine.scoring.documents import Table, content_version, parse

Text = Annotated[str, Field(min_length=1)]


class Goalposts(Table):
    """Goalposts of one KPI, or of one `series` of it (pm10, 4g), in the unit of the KPI; our own design.

    Either `worst` (score 0; above `target` where less is better) or `tolerance` (score 0 at that distance from a
    `target` that is best on both sides). In force on the days from `valid_from` to `valid_to`, both included; without
    `valid_to`, until further notice.
    """

    kpi: Text
    series: Text | None = None
    worst: float | None = None
    target: float
    tolerance: Annotated[float, Field(gt=0)] | None = None
    source: Text
    valid_from: date
    valid_to: date | None = None
    approved_by: Text

    @model_validator(mode="after")
    def _possible(self) -> "Goalposts":
        if (self.worst is None) == (self.tolerance is None):
            raise ValueError("goalposts have either 'worst' or 'tolerance'")
        if self.worst == self.target:
            raise ValueError("'worst' and 'target' are the same value")
        if self.valid_to is not None and self.valid_to < self.valid_from:
            raise ValueError(f"'valid_to' {self.valid_to} is before 'valid_from' {self.valid_from}")
        return self

    def covers(self, day: date) -> bool:
        """Whether these goalposts are in force on `day`."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


class GoalpostSet(Table):
    """All goalposts of a city. At most one of a KPI and series is in force on any day."""

    goalposts: tuple[Goalposts, ...] = ()

    @model_validator(mode="after")
    def _one_at_a_time(self) -> "GoalpostSet":
        faults = [
            f"goalposts[{second + 1}] and goalposts[{first + 1}] of {each.kpi!r} overlap"
            for second, each in enumerate(self.goalposts)
            for first, earlier in enumerate(self.goalposts[:second])
            if _overlap(earlier, each)
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def version(self) -> str:
        """Of the content, whatever the order of the tables."""
        return content_version(sorted(each.version for each in self.goalposts))

    def in_force(self, kpi: str, series: str | None, day: date) -> Goalposts | None:
        """The goalposts on the date of the value: those of the series, else those of the KPI, else None."""
        known = [each for each in self.goalposts if each.kpi == kpi and each.covers(day)]
        own = (each for each in known if each.series == series)
        common = (each for each in known if each.series is None)
        return next(own, None) or next(common, None)


def load_goalposts(text: str) -> GoalpostSet:
    """Goalposts from TOML with tables `[[goalposts]]`. Raises ConfigurationError that names every fault by its key."""
    return parse(text, GoalpostSet, "goalposts")


def _overlap(one: Goalposts, other: Goalposts) -> bool:
    same = (one.kpi, one.series) == (other.kpi, other.series)
    return same and (one.covers(other.valid_from) or other.covers(one.valid_from))
