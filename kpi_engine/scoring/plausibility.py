"""Checks before values are reported: those a U4SSC verifier makes (ITU verification manual; verified).

They judge whether values can be right together, not whether they are true. Each finding says what, where, what to do.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SUM_TOLERANCE = 2.0  # percentage points
UNREPORTED_LIMIT = 0.2

SHARES_OF_A_WHOLE = ("EC: I: T: 4A", "EN: EN: WA: 1C")  # mode share of transport, treatment of solid waste
AIR = "EN: EN: AQ: 1C"
TREATMENT = "EN: EN: WS: 4C"
TO_MICROGRAMS = {"no2": 1.9, "so2": 2.62, "o3": 1.96}  # µg/m³ per ppb


class Check(StrEnum):
    """Which check found something."""

    SUM = "sum"
    ORDER = "order"
    UNREPORTED = "unreported"
    UNIT = "unit"
    RANGE = "range"


@dataclass(frozen=True, slots=True)
class Reported:
    """One KPI as reported, each part by name; NaN or absent is not reported. `unit` as the city wrote it."""

    kpi: str
    parts: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at."""

    check: Check
    where: str
    what: str
    to_do: str


@dataclass(frozen=True, slots=True)
class Order:
    """A part of a KPI that cannot exceed another one, or normally stays below it."""

    lower: tuple[str, str]  # KPI, part
    upper: tuple[str, str]
    normally_below: bool = False


ORDERS = (
    Order((TREATMENT, "secondary"), (TREATMENT, "primary")),
    Order((TREATMENT, "tertiary"), (TREATMENT, "secondary")),
    Order(("EC: I: WS: 2C", "value"), ("EC: I: WS: 1C", "value")),  # potable, basic water supply
    Order(("EC: ICT: ICT: 2C", "value"), ("EC: ICT: ICT: 1C", "value"), normally_below=True),  # broadband, internet
)


def plausibility(reported: Iterable[Reported], asked: Iterable[str]) -> tuple[Finding, ...]:
    """All findings on a report: sums, orders, units and ranges, and the unreported share of the KPIs `asked` for."""
    known = {each.kpi: each for each in reported}
    found = [finding for each in known.values() for finding in (*unit_findings(each), *range_findings(each))]
    found += [finding for kpi in SHARES_OF_A_WHOLE if kpi in known for finding in sum_findings(known[kpi])]
    found += [finding for order in ORDERS for finding in order_findings(known, order)]
    return (*found, *unreported_findings(known, asked))


def sum_findings(reported: Reported) -> list[Finding]:
    """Shares of a whole sum to 100 within 2 percentage points (verified); that both ends count is our own design.

    Shares given as NaN are a finding of their own; where none is reported there is no finding.
    """
    missing = [part for part, value in reported.parts.items() if not math.isfinite(value)]
    if len(missing) == len(reported.parts):
        return []
    if missing:
        what = f"no value for {', '.join(missing)}, so the shares cannot be added up"
        return [Finding(Check.SUM, reported.kpi, what, "report every share, with 0 where there is none")]
    total = round(math.fsum(reported.parts.values()), 9)
    if abs(total - 100) <= SUM_TOLERANCE:
        return []
    what = f"the shares sum to {total:g} %, not to 100 % +/- {SUM_TOLERANCE:g}"
    return [
        Finding(Check.SUM, reported.kpi, what, "check that the shares have one total and none is left out or twice")
    ]


def order_findings(reported: Mapping[str, Reported], order: Order) -> list[Finding]:
    """The lower value is at most the upper one, or below it where that is only normal (verified: ITU manual).

    Nothing where one of them is missing.
    """
    lower, upper = _value(reported, order.lower), _value(reported, order.upper)
    if lower is None or upper is None or lower < upper or (lower == upper and not order.normally_below):
        return []
    names = [f"{kpi} {part}".removesuffix(" value") for kpi, part in (order.lower, order.upper)]
    if order.normally_below:
        what = f"{names[0]} ({lower:g}) is normally below {names[1]} ({upper:g})"
        return [Finding(Check.ORDER, names[0], what, "check both values, or say in the comment why it is so")]
    what = f"{names[0]} ({lower:g}) is above {names[1]} ({upper:g}), which includes it"
    return [Finding(Check.ORDER, names[0], what, "check both values and that they have the same denominator")]


def unreported_findings(reported: Mapping[str, Reported], asked: Iterable[str]) -> list[Finding]:
    """More than 20 % of the KPIs asked for without any value (verified); exactly 20 % is no finding."""
    wanted = sorted(set(asked))
    missing = [
        kpi for kpi in wanted if kpi not in reported or not any(map(math.isfinite, reported[kpi].parts.values()))
    ]
    if len(missing) <= UNREPORTED_LIMIT * len(wanted):
        return []
    what = f"{len(missing)} of {len(wanted)} KPIs are not reported: {', '.join(missing)}"
    return [Finding(Check.UNREPORTED, "report", what, "report them, or mark each NR and expect the verifier to ask")]


def unit_findings(reported: Reported) -> list[Finding]:
    """Air pollutants in ppm or ppb, which have to be converted to µg/m³ (verified: ITU manual p. 95).

    It gives factors for NO2, SO2 and O3; for other pollutants none is made up.
    """
    per_ppb = {"ppb": 1.0, "ppm": 1000.0}.get(reported.unit.strip().lower())
    if reported.kpi != AIR or per_ppb is None:
        return []
    return [
        Finding(
            Check.UNIT, f"{AIR} {part}", f"{value:g} {reported.unit}, asked for in ug/m3", _conversion(part, per_ppb)
        )
        for part, value in reported.parts.items()
        if math.isfinite(value)
    ]


def range_findings(reported: Reported) -> list[Finding]:
    """Values below zero, and percentages above 100, where the unit is `%` or begins with `% of` (our own design)."""
    percentage = reported.unit == "%" or reported.unit.startswith("% of")
    found = []
    for part, value in reported.parts.items():
        if value < 0 or (percentage and value > 100):
            where = f"{reported.kpi} {part}".removesuffix(" value")
            what = f"{value:g} {reported.unit}".strip() + " is outside of what is possible"
            found.append(Finding(Check.RANGE, where, what, "check the unit, the numerator and the denominator"))
    return found


def _value(reported: Mapping[str, Reported], where: tuple[str, str]) -> float | None:
    kpi, part = where
    value = reported[kpi].parts.get(part, math.nan) if kpi in reported else math.nan
    return value if math.isfinite(value) else None


def _conversion(part: str, per_ppb: float) -> str:
    factor = TO_MICROGRAMS.get(part.lower())
    if factor is None:
        return "convert to ug/m3; no factor is given for this pollutant"
    return f"multiply by {factor * per_ppb:g}"
