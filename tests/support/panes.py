"""Evaluating formulas on a few hand-made observations, without a database."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from kpi_engine.catalogue import Indicator, load_catalogue
from kpi_engine.evaluate import Computed, evaluate
from kpi_engine.panes import aggregate, coarsen
from kpi_engine.ring import LoadedPanes
from kpi_engine.things import Roster
from kpi_engine.windows import HOUR, to_minute
from pulso.city import load_pack
from pulso.db.things import RegisteredDatastream
from pulso.model import DatastreamId, ThingId, ZoneId, to_micros

END = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
"""End of the window the tests look at: a full hour."""

PACK = load_pack("cdmx")
INDICATORS = {indicator.definition.id: indicator for indicator in load_catalogue(PACK)}
ZONES = (ZoneId("cdmx"), ZoneId("coyoacan"), ZoneId("tlalpan"))


class Bench:
    """Things and observations for one indicator."""

    def __init__(self, kpi_id: str, **parameters: float) -> None:
        indicator = INDICATORS[kpi_id]  # type: ignore[index]
        self.indicator: Indicator = replace(indicator, parameters={**indicator.parameters, **parameters})
        self._streams: list[RegisteredDatastream] = []
        self._observations: list[tuple[int, int, float]] = []

    def thing(
        self,
        name: str,
        series: Mapping[str, Sequence[tuple[float, float]]],
        *,
        zone: str = "coyoacan",
        interval: float = 60,
        properties: Mapping[str, float] | None = None,
        units: Mapping[str, str] | None = None,
    ) -> "Bench":
        """A thing with observations {property: [(minutes before END, result)]}."""
        for observed_property, points in series.items():
            number = len(self._streams) + 1
            unit = (units or {}).get(observed_property) or _unit(observed_property)
            self._streams.append(
                RegisteredDatastream(
                    DatastreamId(number), observed_property, unit, ThingId(1), name,
                    self.indicator.definition.family, ZoneId(zone), interval, dict(properties or {}),
                )
            )  # fmt: skip
            self._observations += [(number, to_micros(END) - round(ago * 60e6), result) for ago, result in points]
        return self

    def roster(self) -> Roster:
        """The things as the engine knows them."""
        return Roster(ZONES, tuple(self._streams))

    def values(self, end: datetime = END) -> dict[str, Computed]:
        """The value of the window that ends at `end`, by zone."""
        things = self.roster().things(
            self.indicator.definition.family,
            self.indicator.definition.inputs,
            all_inputs=self.indicator.formula.all_inputs,
        )
        ids, times, results = (np.array(column) for column in zip(*self._observations, strict=True))
        panes = aggregate(ids, times, results.astype(float))
        if self.indicator.formula.resolution == HOUR:
            panes = coarsen(panes, HOUR, 0)
        computed = evaluate(self.indicator, things, LoadedPanes(panes), np.array([to_minute(end)]))
        return {str(each.zone_id): each for each in computed}


def _unit(observed_property: str) -> str:
    from pulso.units import canonical_units

    return (canonical_units(observed_property) or ("1",))[0]


def per_minute(minutes: int, result: float, *, start: float = 0.5) -> list[tuple[float, float]]:
    """One result in each of the last `minutes` minutes."""
    return [(start + n, result) for n in range(minutes)]
