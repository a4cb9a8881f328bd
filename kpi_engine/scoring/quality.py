"""How far a reported value can be trusted, and how long an old one may stand in. Neither changes a score."""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

CARRY_FORWARD_MONTHS = 24


class QualityLabel(StrEnum):
    """The six data-quality labels of the U4SSC reporting template (verified), best first."""

    MEASURED = "accurate measurement"
    SURVEY = "extrapolated from inhabitant survey"
    HIGHER_LEVEL = "extrapolated from higher-level data"
    ASSUMPTIONS = "estimated from assumptions"
    PERSONAL = "personal estimate"
    UNKNOWN = "unknown method, not traceable"


_WORST_FIRST = tuple(reversed(QualityLabel))


def quality_grade(labels: Iterable[QualityLabel]) -> int | None:
    """Grade of a value from the labels of its inputs, the worst of which wins; None without inputs.

    5 accurate measurement, 4 survey, 3 higher-level data, 2 assumptions, 1 personal estimate, 0 unknown. The order of
    the list is U4SSC's, the numbers are our own design. A grade is shown beside a score and does not change it.
    """
    return min((_WORST_FIRST.index(label) for label in labels), default=None)


def may_be_published(grade: int | None, *, blocked_up_to: int) -> bool:
    """Whether a value of this grade may leave the house: above the limit the city has set; never without a grade."""
    return grade is not None and grade > blocked_up_to


@dataclass(frozen=True, slots=True)
class CarriedValue:
    """A value that stands in, with its age in whole months since the end of its period."""

    value: float
    period_end: date
    age_months: int


def carry_forward(values: Iterable[tuple[date, float | None]], day: date) -> CarriedValue | None:
    """The newest value whose period [start, end) had ended by `day`, if at most 24 months old (our own design).

    `values` are pairs of the day after the period (2026-01-01 for the year 2025) and the value, None or NaN where
    there is none. On the day 24 months after the end it still counts, the day after it no longer does.
    """
    known = [(end, value) for end, value in values if value is not None and value == value and end <= day]  # noqa: PLR0124 (NaN)
    if not known:
        return None
    end, value = max(known, key=lambda each: each[0])
    if day > _months_after(end, CARRY_FORWARD_MONTHS):
        return None
    return CarriedValue(value, end, _whole_months(end, day))


def _months_after(day: date, months: int) -> date:
    """The same day of a later month, or its last day where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _whole_months(start: date, end: date) -> int:
    months = (end.year - start.year) * 12 + end.month - start.month
    return months if _months_after(start, months) <= end else months - 1
