"""Stage 2: panes to KPI values. Pure: the same panes give the same values, live and in replay."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from kpi_engine.catalogue import Indicator
from kpi_engine.formulas.base import InputPanes, Outcome, Scope, Slots
from kpi_engine.ring import PaneSource
from kpi_engine.rounding import round_half_up
from kpi_engine.things import Things
from kpi_engine.windows import from_minute
from pulso.city import Grain
from pulso.model import BandState, KpiId, Window, ZoneId, from_micros
from pulso.panes import NEUTRAL

Ints = NDArray[np.int64]

STATES = tuple(BandState)
COVERAGE_DECIMALS = 4
VALUE_DECIMALS = 6
CHUNK = 128
"""Most windows evaluated together, which bounds memory."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What a formula made of one window and zone, rounded; status and revision come from what is stored."""

    kpi_id: KpiId
    zone_id: ZoneId
    window: Window
    value: float | None
    band: BandState | None
    coverage: float
    observed_until: datetime | None
    version: str
    detail: Mapping[str, object]


def evaluate(indicator: Indicator, things: Things, source: PaneSource, ends: Ints) -> list[Computed]:
    """Values of the windows that end at `ends`, for each zone where anything is expected.

    A zone and window without any observation is computed too, with coverage 0; the caller decides whether that is news.
    """
    return [
        computed
        for first in range(0, len(ends), CHUNK)
        for computed in _evaluate_chunk(indicator, things, source, ends[first : first + CHUNK])
    ]


def _evaluate_chunk(indicator: Indicator, things: Things, source: PaneSource, ends: Ints) -> Iterator[Computed]:
    if not len(things):
        return
    scope = _scope(indicator, things, source, ends)
    outcome = indicator.formula.compute(scope)
    coverage = _coverage(outcome)
    enough = coverage >= indicator.definition.minimum_coverage
    values = round_half_up(np.where(enough, outcome.value, np.nan), VALUE_DECIMALS)
    columns = values.tolist(), coverage.tolist(), _observed_until(scope).tolist()
    windows = [Window(from_minute(end - indicator.windows.length), from_minute(end)) for end in ends.tolist()]
    for window, zone in np.argwhere((outcome.expected > 0) & _in_grain(indicator, things)).tolist():
        value, covered, observed = (column[window][zone] for column in columns)
        yield Computed(
            kpi_id=indicator.definition.id,
            zone_id=things.zoning.zone_ids[zone],
            window=windows[window],
            value=value if isfinite(value) else None,
            band=_band(indicator, outcome, window, zone, value),
            coverage=covered,
            observed_until=None if observed == NEUTRAL["last_time"] else from_micros(observed),
            version=indicator.version,
            detail=dict(outcome.detail(window, zone)) if outcome.detail else {},
        )


def _coverage(outcome: Outcome) -> NDArray[np.float64]:
    """Present over expected, 0 where nothing is expected."""
    nothing = np.zeros_like(outcome.present)
    share = np.divide(outcome.present, outcome.expected, out=nothing, where=outcome.expected > 0)
    return round_half_up(share.clip(0.0, 1.0), COVERAGE_DECIMALS)


def _in_grain(indicator: Indicator, things: Things) -> NDArray[np.bool_]:
    """Which zones the definition wants values for; the city comes first."""
    grain = indicator.definition.grain
    wanted = np.full(len(things.zoning.zone_ids), Grain.ZONE in grain)
    wanted[0] = Grain.CITY in grain
    return wanted


def _scope(indicator: Indicator, things: Things, source: PaneSource, ends: Ints) -> Scope:
    starts = ends - indicator.windows.length
    slots = Slots.of(starts, indicator.windows.length, indicator.formula.resolution, indicator.reach)
    return Scope(
        starts=starts,
        ends=ends,
        slots=slots,
        things=things,
        inputs={
            name: InputPanes(source, slots, streams, things.factors[name]) for name, streams in things.streams.items()
        },
        parameters=indicator.parameters,
        bands=indicator.bands,
        local_dates=tuple(_local_date(indicator, end) for end in ends.tolist()),
    )


def _local_date(indicator: Indicator, end: int) -> date:
    return from_minute(end - 1).astimezone(indicator.timezone).date()


def _observed_until(scope: Scope) -> Ints:
    times = np.max([panes.field("last_time") for panes in scope.inputs.values()], axis=0)
    place = scope.slots.newest(times != NEUTRAL["last_time"])
    newest = np.where(place >= 0, np.take_along_axis(times, place.clip(min=0), axis=0), NEUTRAL["last_time"])
    return scope.things.zoning.newest(newest)


def _band(indicator: Indicator, outcome: Outcome, window: int, zone: int, value: float) -> BandState | None:
    if not isfinite(value):
        return None
    if outcome.band is not None:
        place = int(outcome.band[window, zone])
        return STATES[place] if place >= 0 else None
    band = indicator.definition.band_of(value)
    return band.state if band else None
