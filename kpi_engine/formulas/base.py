"""What a formula is given, what it gives back, and how it registers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpi_engine.formulas.nom172 import BandTable
from kpi_engine.ring import PaneSource
from kpi_engine.things import Things
from pulso.registry import Registry

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MINUTE = 1
HOUR = 60

_SCALED = frozenset({"sum", "min", "max", "first", "last"})


@dataclass(frozen=True)
class Slots:
    """Which panes windows consist of. Many windows share a pane, so each is looked up and worked on once.

    `starts` (slots): start of each pane in minutes, ascending; `place` (windows, slots of a window): position in
    `starts`; in `place_with_reach` also of the panes beside the window that a formula looks at.
    """

    starts: Ints
    place: Ints
    place_with_reach: Ints

    @staticmethod
    def of(starts: Ints, length: int, resolution: int, reach: int) -> "Slots":
        """The panes of windows that begin at `starts`, all in minutes."""
        needed = starts[:, None] + np.arange(-reach, length + reach, resolution)
        unique, place = np.unique(needed, return_inverse=True)
        place = place.reshape(needed.shape)
        return Slots(unique, place[:, reach // resolution : needed.shape[1] - reach // resolution], place)

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sum over the panes of each window: (slots, ...) to (windows, ...)."""
        total: NDArray[Any] = values[self.place].sum(axis=1)
        return total

    def counts(self, counts: Ints) -> Ints:
        """As `sums`, for integers only: differences of running totals, exact and independent of the length."""
        running = np.concatenate([np.zeros_like(counts[:1]), counts.cumsum(axis=0)])
        total: Ints = running[self.place[:, -1] + 1] - running[self.place[:, 0]]
        return total

    def newest(self, present: NDArray[np.bool_]) -> Ints:
        """For each window and thing the position of its newest pane that is present; -1 where there is none."""
        positions = np.arange(len(self.starts))[:, None]
        before = np.maximum.accumulate(np.where(present, positions, -1), axis=0)[self.place[:, -1]]
        return np.where(before >= self.place[:, :1], before, -1)


class InputPanes:
    """The panes of one input, each field as an array (slots, things), fetched when first asked for."""

    def __init__(self, source: PaneSource, slots: Slots, streams: Ints, factors: Floats) -> None:
        self._look_up = source.look_up(slots.starts, streams)
        self._slots = slots
        self._factors = factors
        self._fields: dict[str, NDArray[Any]] = {}

    def field(self, name: str) -> NDArray[Any]:
        """One field, (slots, things), in the unit of the input; moments in microseconds since 1970 UTC."""
        if name not in self._fields:
            found = self._look_up(name)
            self._fields[name] = found * self._factors if name in _SCALED else found
        return self._fields[name]

    def windowed(self, name: str, *, with_reach: bool = False) -> NDArray[Any]:
        """One field, (windows, slots of a window, things), `with_reach` with the panes beside the windows."""
        place = self._slots.place_with_reach if with_reach else self._slots.place
        windowed: NDArray[Any] = self.field(name)[place]
        return windowed

    def mean(self) -> Floats:
        """Mean of each pane, (slots, things); NaN where it is empty."""
        return divide(self.field("sum"), self.field("count"))


@dataclass(frozen=True)
class Scope:
    """One definition over some of its windows: `starts` and `ends` in minutes since 1970 UTC."""

    starts: Ints
    ends: Ints
    slots: Slots
    things: Things
    inputs: Mapping[str, InputPanes]
    parameters: Mapping[str, float | str]
    bands: BandTable | None
    local_dates: tuple[date, ...]  # of the last minute of each window, on the city's calendar

    def number(self, parameter: str) -> float:
        """A numeric parameter."""
        return float(self.parameters[parameter])

    @property
    def minutes(self) -> int:
        """Length of each window."""
        return int(self.ends[0] - self.starts[0])

    def reported(self, name: str) -> Floats:
        """Share of the expected observations of one input that are there, per window and thing, at most 1."""
        expected = self.minutes * 60 / self.things.interval
        share: Floats = np.minimum(1.0, self.slots.counts(self.inputs[name].field("count")) / expected)
        return share


@dataclass(frozen=True)
class Outcome:
    """A formula's answer, arrays (windows, zones). `value` is NaN where there is nothing to compute it from.

    Coverage is `present` over `expected`; `band` is an index into the states from good to extreme where the formula
    decides that itself, -1 for none; `detail(window, zone)` says what deserves to be kept beside the value.
    """

    value: Floats
    present: Floats
    expected: Floats
    band: Ints | None = None
    detail: Callable[[int, int], Mapping[str, object]] | None = None


@dataclass(frozen=True)
class Formula:
    """A registered formula. `resolution` of the panes it reads in minutes; `reach`: minutes beside the window."""

    compute: Callable[[Scope], Outcome]
    inputs: frozenset[str]
    all_inputs: bool = True
    resolution: int = MINUTE
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    reach: str | None = None  # name of the parameter that holds it


IN_SERVICE_UNTIL = "in_service_until"  # a property of a thing: seconds since 1970 UTC

formulas: Registry[Formula] = Registry("formula")


def formula(  # noqa: PLR0913 (options of a registration, all but the name by keyword)
    name: str,
    *,
    inputs: tuple[str, ...],
    all_inputs: bool = True,
    resolution: int = MINUTE,
    parameters: Mapping[str, float | str] = MappingProxyType({}),
    reach: str | None = None,
) -> Callable[[Callable[[Scope], Outcome]], Callable[[Scope], Outcome]]:
    """Register a function as the formula `name`; `parameters` are its defaults, which a definition may override."""

    def add(compute: Callable[[Scope], Outcome]) -> Callable[[Scope], Outcome]:
        formulas.register(name)(
            Formula(compute, frozenset(inputs), all_inputs, resolution, MappingProxyType(dict(parameters)), reach)
        )
        return compute

    return add


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient; NaN where the denominator is not positive."""
    quotient: Floats = np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)
    return quotient


def everyone(scope: Scope) -> Floats:
    """1 per window and thing that is expected in it, which is what coverage is measured against.

    A thing with `in_service_until` is expected in windows that begin before it, and not afterwards.
    """
    until = scope.things.property(IN_SERVICE_UNTIL) / 60
    ended = scope.starts[:, np.newaxis] >= until[np.newaxis, :]  # false where it is not known
    return np.where(ended, 0.0, 1.0)
