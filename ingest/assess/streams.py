"""What the assessment knows of each datastream: its thresholds and its latest observations, as columns that grow."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ingest.assess.checks import NEVER
from pulso.city.assessment import AssessmentTable, Rule
from pulso.units import stem_of

LAGS = 3
"""Observations kept of each datastream: as many as the running median of the spike test needs."""

MOST_NEIGHBOURS = 15
"""Neighbours an observation is compared with; of more, those registered next after it, in a ring."""

_REGISTERS = ("energy_import", "energy_export")
_MICROS = 1e6
_INFINITY = float("inf")

# Thresholds with the value that lets everything pass; times in microseconds.
_THRESHOLDS: Mapping[str, float] = {
    "lowest": -_INFINITY,
    "highest": _INFINITY,
    "low": -_INFINITY,
    "high": _INFINITY,
    "per_minute": _INFINITY,
    "slack": 0.0,
    "rate_gap": -1.0,
    "height": _INFINITY,
    "spike_gap": -1.0,
    "stuck_times": _INFINITY,
    "stuck_least": _INFINITY,
    "may_stay": -_INFINITY,
    "deviations": 0.0,
    "floor": _INFINITY,
    "within": -1.0,
    "max_kw": _INFINITY,
    "register_size": float("nan"),
}


class Streams:
    """Columns by place; place 0 stands for every datastream that was never met, and lets all pass.

    `thresholds` (names of `_THRESHOLDS`), `ruled` (has a rule), `sequence` (a test looks at what came before),
    `register` (cumulative), `neighbours` (places, 0 for none). State: `values` and `times` of the latest observations,
    newest first, (places, LAGS); `run` and `run_began`: how often and since when the newest value has stood.
    """

    def __init__(self, table: AssessmentTable) -> None:
        self._table = table
        self._place_of = np.zeros(1024, np.int32)
        self._count = 1
        self._groups: dict[tuple[str, str, str], list[int]] = {}
        self._group_of: dict[int, tuple[str, str, str]] = {}
        self._changed: set[tuple[str, str, str]] = set()
        self._rules: dict[tuple[str, str], Rule | None] = {}
        self.thresholds = {name: np.full(1024, value) for name, value in _THRESHOLDS.items()}
        self.ruled = np.zeros(1024, bool)
        self.sequence = np.zeros(1024, bool)
        self.register = np.zeros(1024, bool)
        self.compared = np.zeros(1024, bool)
        self.neighbours = np.zeros((1024, MOST_NEIGHBOURS), np.int32)
        self.values = np.full((1024, LAGS), np.nan)
        self.times = np.full((1024, LAGS), NEVER, np.int64)
        self.run = np.zeros(1024, np.int64)
        self.run_began = np.zeros(1024, np.int64)

    def places(self, datastream_id: NDArray[np.int32]) -> NDArray[np.int32]:
        """Where the columns hold each datastream."""
        if len(datastream_id) and int(datastream_id.max()) >= len(self._place_of):
            known = np.minimum(datastream_id, len(self._place_of) - 1)
            return np.where(datastream_id < len(self._place_of), self._place_of[known], 0)
        return self._place_of[datastream_id]

    def meet(
        self,
        datastream_id: int,
        observed_property: str,
        unit: str,
        zone_id: str | None,
        properties: Mapping[str, float],
    ) -> None:
        """Register a datastream, or what changed about it; what was observed so far stays."""
        place = self._place(datastream_id)
        key = observed_property, unit
        if key not in self._rules:
            self._rules[key] = self._table.rule_for(*key)
        rule = self._rules[key]
        register = stem_of(observed_property) in _REGISTERS
        for name, value in _thresholds(rule, properties, self._table, register=register).items():
            self.thresholds[name][place] = value
        self.ruled[place] = rule is not None
        self.register[place] = register
        self.sequence[place] = register or (rule is not None and rule.looks_back)
        self._join(place, None if rule is None or rule.neighbours is None or zone_id is None else (*key, zone_id))

    def settle(self) -> None:
        """Make neighbours of those that joined or left a group since the last time."""
        for group in self._changed:
            members = np.array(self._groups[group], np.int32)
            reach = max(min(MOST_NEIGHBOURS, len(members) - 1), 0)
            ring = (np.arange(len(members))[:, None] + np.arange(1, reach + 1)) % max(len(members), 1)
            self.neighbours[members] = 0
            self.neighbours[members, :reach] = members[ring]
        self._changed.clear()

    def _join(self, place: int, group: tuple[str, str, str] | None) -> None:
        before = self._group_of.get(place)
        if before == group:
            return
        if before is not None:
            self._groups[before].remove(place)
            self._changed.add(before)
            del self._group_of[place]
        self.neighbours[place] = 0
        self.compared[place] = group is not None
        if group is not None:
            self._groups.setdefault(group, []).append(place)
            self._group_of[place] = group
            self._changed.add(group)

    def _place(self, datastream_id: int) -> int:
        while datastream_id >= len(self._place_of):
            self._place_of = np.concatenate([self._place_of, np.zeros_like(self._place_of)])
        if self._place_of[datastream_id] == 0:
            if self._count == len(self.run):
                self._grow()
            self._place_of[datastream_id] = self._count
            self._count += 1
        return int(self._place_of[datastream_id])

    def _grow(self) -> None:
        """Double all columns; the new half is as an empty place is."""
        for name, column in self.thresholds.items():
            self.thresholds[name] = np.concatenate([column, np.full_like(column, _THRESHOLDS[name])])
        for attribute in ("ruled", "sequence", "register", "compared", "neighbours", "run", "run_began"):
            column = getattr(self, attribute)
            setattr(self, attribute, np.concatenate([column, np.zeros_like(column)]))
        self.values = np.concatenate([self.values, np.full_like(self.values, np.nan)])
        self.times = np.concatenate([self.times, np.full_like(self.times, NEVER)])


def _thresholds(
    rule: Rule | None, properties: Mapping[str, float], table: AssessmentTable, *, register: bool
) -> dict[str, float]:
    values = dict(_THRESHOLDS)
    if register:
        values["max_kw"] = properties.get("max_power_kw", table.registers.max_power_kw)
        values["register_size"] = properties.get("register_max_kwh", float("nan"))
    if rule is None:
        return values
    if rule.possible is not None:
        values["lowest"], values["highest"] = rule.possible
    if rule.plausible is not None:
        values["low"], values["high"] = rule.plausible
    if rule.rate is not None:
        values |= {"per_minute": rule.rate.per_minute, "slack": rule.rate.slack}
        values["rate_gap"] = rule.rate.longest_gap * _MICROS
    if rule.spike is not None:
        values |= {"height": rule.spike.height, "spike_gap": rule.spike.longest_gap * _MICROS}
    if rule.stuck is not None:
        values |= {"stuck_times": rule.stuck.times, "stuck_least": rule.stuck.seconds * _MICROS}
        values["may_stay"] = -_INFINITY if rule.stuck.except_below is None else rule.stuck.except_below
    if rule.neighbours is not None:
        values |= {"deviations": rule.neighbours.deviations, "floor": rule.neighbours.floor}
        values["within"] = rule.neighbours.within * _MICROS
    return values
