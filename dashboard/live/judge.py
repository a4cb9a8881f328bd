"""Whether a value may still be shown as live. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dashboard.live.frame import Cell, CellState, millis
from pulso.city import KpiDefinition
from pulso.db.reading import ShownRow
from pulso.model import BandState

# What may pass between an observation and the screen before it counts as silence: transit, ingest, one engine tick.
GRACE = timedelta(seconds=30)
_NAMED = 2


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is known of one KPI: its definition, and the usual interval between observations of one of its things."""

    definition: KpiDefinition
    interval: timedelta


def is_current(row: ShownRow, expected: Expectation, now: datetime) -> bool:
    """Whether data reached up to the end of the value's window, or to now, and no later window is overdue.

    observed_until      window_end            now
    ------|-----------------|------------------|---->
          <- interval + 30 s ->  <- step + interval + 30 s ->
    """
    if row.window_end is None:
        return False
    overdue = now - row.window_end > expected.definition.window.step + expected.interval + GRACE
    return not overdue and _data_reached(row.window_end, row.observed_until or row.window_end, expected, now)


def is_insufficient(row: ShownRow, expected: Expectation, now: datetime) -> bool:
    """Whether data arrives in the running window, but less of it than the formula needs for a value."""
    if row.running_end is None or row.running_until is None or row.running_value is not None:
        return False
    return bool(row.running_coverage) and _data_reached(row.running_end, row.running_until, expected, now)


def _data_reached(window_end: datetime, observed_until: datetime, expected: Expectation, now: datetime) -> bool:
    return min(window_end, now) - observed_until <= expected.interval + GRACE


def judge(row: ShownRow, expected: Expectation, now: datetime, difference: float | None = None) -> Cell:
    """What to show for one KPI and zone at `now`; `difference` is only told with a value."""
    if is_current(row, expected, now):
        return _current(row, expected.definition, difference)
    reached = row.observed_until or row.window_end
    if is_insufficient(row, expected, now):
        return Cell(
            row.kpi_id, row.zone_id, CellState.INSUFFICIENT,
            coverage=_hundredths(row.running_coverage), observed_until=millis(reached) if reached else None,
        )  # fmt: skip
    if reached is None or row.value is None:
        return Cell(row.kpi_id, row.zone_id, CellState.NONE)
    return Cell(
        row.kpi_id, row.zone_id, CellState.STALE,
        last=_rounded(row.value, expected.definition), coverage=_hundredths(row.running_coverage),
        observed_until=millis(min(reached, now)),
    )  # fmt: skip


def _current(row: ShownRow, definition: KpiDefinition, difference: float | None) -> Cell:
    return Cell(
        row.kpi_id,
        row.zone_id,
        CellState.OK,
        value=_rounded(row.value, definition),
        band=row.band,
        coverage=_hundredths(row.coverage),
        status=row.status,
        window_end=millis(row.window_end) if row.window_end else None,
        observed_until=millis(row.observed_until) if row.observed_until else None,
        difference=_rounded(difference, definition),
        note=_note(row),
    )


def _note(row: ShownRow) -> str | None:
    """The pollutants an air index is due to, two by name; a good index is due to none."""
    pollutants = (row.detail or {}).get("pollutants")
    if row.band == BandState.GOOD or not isinstance(pollutants, list) or not pollutants:
        return None
    named, more = pollutants[:_NAMED], len(pollutants) - _NAMED
    return " · ".join(map(str, named)) + (f" +{more}" if more > 0 else "")


def _rounded(value: float | None, definition: KpiDefinition) -> float | None:
    """Rounded as shown, so that what cannot be seen does not make a frame; minus zero is zero."""
    return None if value is None else round(value, definition.decimals) + 0.0


def _hundredths(share: float | None) -> float | None:
    return None if share is None else round(share, 2)
