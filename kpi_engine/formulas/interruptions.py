"""Reliability of supply from a list of interruptions: SAIFI, CAIDI, SAIDI and ASAI. Pure arrays."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from kpi_engine.formulas.base import Floats
from pulso.errors import ConfigurationError

MOMENTARY_MINUTES = 5.0
"""Interruptions up to this long, inclusive, are momentary: 5 min in IEEE 1366, recalled, not verified."""


class MajorEventDays(StrEnum):
    """What becomes of interruptions on major-event days."""

    INCLUDED = "included"
    EXCLUDED = "excluded"
    SEPARATE = "separate"  # left out of the indices, and reported in indices of their own


@dataclass(frozen=True, slots=True)
class Interruptions:
    """One element per group of customers that lost supply, and got it back, together.

    A supply restored in stages is as many elements as stages. `minutes` of the period that they were without supply,
    cut at its ends; `major` if the interruption falls on a major-event day.
    """

    customers: Floats
    minutes: Floats
    major: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Period:
    """What the indices refer to: customers served (the mean of the period), and its length in hours."""

    customers_served: float
    hours: float

    def __post_init__(self) -> None:
        if not (self.customers_served > 0 and self.hours > 0):
            raise ConfigurationError(f"no reliability of {self.customers_served} customers over {self.hours} h")


@dataclass(frozen=True, slots=True)
class Reliability:
    """Indices of sustained interruptions, and how many elements went into them.

    `saifi` interruptions per customer, `saidi` minutes per customer, `caidi` minutes per interruption (NaN if nobody
    was interrupted), `asai` share of the customer-hours with supply in %. `momentary` elements are counted only;
    `unusable` ones lack a number of customers or a duration, or have a negative one.
    """

    saifi: float
    saidi: float
    caidi: float
    asai: float
    sustained: int
    momentary: int
    unusable: int


@dataclass(frozen=True, slots=True)
class ReliabilityReport:
    """The indices, and those of major-event days where they were asked for separately.

    SAIFI and SAIDI of both add up to those of all interruptions; CAIDI and ASAI do not.
    """

    indices: Reliability
    major_days: Reliability | None = None


def reliability(
    interruptions: Interruptions,
    period: Period,
    *,
    momentary_minutes: float = MOMENTARY_MINUTES,
    major_event_days: MajorEventDays = MajorEventDays.INCLUDED,
) -> ReliabilityReport:
    """SAIFI, SAIDI, CAIDI and ASAI of a period, [start, end), without major-event days if so asked.

    SAIFI = sum of customers interrupted / customers served; SAIDI = sum of customer-minutes / customers served;
    CAIDI = sum of customer-minutes / sum of customers interrupted; ASAI = 100 * (1 - SAIDI / minutes of the period).
    Interruptions longer than `momentary_minutes` are sustained and count; one exactly that long is momentary.

    IEEE 1366. SAIFI (EC: I: ES: 1C) and CAIDI (EC: I: ES: 2C, over 12 months) are verified in the ITU manuals. SAIDI,
    which is none of the 91 indicators, ASAI, the limit of 5 min and that major-event days are left out or reported
    separately are recalled, not verified. That ASAI keeps the hours of days that are left out is our own design.
    """
    if major_event_days is MajorEventDays.INCLUDED:
        return ReliabilityReport(_indices(interruptions, period, momentary_minutes))
    everyday = _indices(_selected(interruptions, ~interruptions.major), period, momentary_minutes)
    if major_event_days is MajorEventDays.EXCLUDED:
        return ReliabilityReport(everyday)
    on_major_days = _indices(_selected(interruptions, interruptions.major), period, momentary_minutes)
    return ReliabilityReport(everyday, on_major_days)


def _selected(interruptions: Interruptions, chosen: NDArray[np.bool_]) -> Interruptions:
    return Interruptions(interruptions.customers[chosen], interruptions.minutes[chosen], interruptions.major[chosen])


def _indices(interruptions: Interruptions, period: Period, momentary_minutes: float) -> Reliability:
    customers, minutes = interruptions.customers, interruptions.minutes
    usable = np.isfinite(customers) & np.isfinite(minutes) & (customers >= 0) & (minutes >= 0)
    sustained = usable & (minutes > momentary_minutes)
    interrupted = float(customers[sustained].sum())
    customer_minutes = float((customers[sustained] * minutes[sustained]).sum())
    saidi = customer_minutes / period.customers_served
    return Reliability(
        saifi=interrupted / period.customers_served,
        saidi=saidi,
        caidi=customer_minutes / interrupted if interrupted else float("nan"),
        asai=100 * (1 - saidi / (period.hours * 60)),
        sustained=int(sustained.sum()),
        momentary=int((usable & ~sustained).sum()),
        unusable=int((~usable).sum()),
    )
