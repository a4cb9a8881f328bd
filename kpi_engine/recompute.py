"""The proof that live equals replay: KPI values from the raw observations, beside the ones that are stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from kpi_engine.catalogue import Indicator
from kpi_engine.engine import CONSUMER
from kpi_engine.evaluate import Computed, evaluate
from kpi_engine.keeper import minute_panes
from kpi_engine.panes import coarsen
from kpi_engine.progress import Progress
from kpi_engine.revisions import same_result
from kpi_engine.ring import LoadedPanes
from kpi_engine.things import Roster, Things
from kpi_engine.windows import HOUR, chunks, from_minute, to_minute
from pulso.db.batches import read_position, read_unconsumed
from pulso.db.kpi_values import Key, load_latest_range
from pulso.db.panes import load_newest, load_observation_range
from pulso.db.session import Transaction
from pulso.frame import ObservationFrame
from pulso.model import KpiId, KpiValue, Window, ZoneId

Ints = NDArray[np.int64]

_WINDOWS = 512
_SPAN = 6 * HOUR  # minutes of raw observations in memory at once


@dataclass(frozen=True, slots=True)
class Difference:
    """One window whose stored newest revision is not what the observations give; None where there is none."""

    kpi_id: KpiId
    zone_id: ZoneId
    window_end: datetime
    stored: KpiValue | None
    computed: Computed | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many windows were compared, and those that differ."""

    compared: int
    differences: tuple[Difference, ...]


async def compare(
    transaction: Transaction, indicators: Sequence[Indicator], roster: Roster, period: Window
) -> Comparison:
    """Compare every value whose window ends within (start, end] of `period` with a recompute from `observation`.

    All of it sees one moment of the database: what ingest has stored but the engine has not taken up is left out.
    Values of an older version of their definition are not compared. The period has to be over, or windows that the
    engine is about to open would count as differences. Raises StorageError.
    """
    replay = await _replay(transaction, roster)
    compared, differences = 0, []
    for indicator in indicators:
        stored = await load_latest_range(transaction, indicator.definition.id, period.start, period.end)
        computed = await replay.compute(indicator, to_minute(period.start), to_minute(period.end))
        old = {key for key, value in stored.items() if value.version != indicator.version}
        compared += len((stored.keys() | computed.keys()) - old)
        differences += [each for each in _differences(stored, computed) if _key(each) not in old]
    return Comparison(compared, tuple(differences))


async def _replay(transaction: Transaction, roster: Roster) -> "_Replay":
    position = await read_position(transaction, CONSUMER)
    everything = np.array([stream.datastream_id for stream in roster.datastreams], np.int64)
    coming = await read_unconsumed(transaction, position, everything)
    progress = Progress(roster, 0.0)
    progress.note(*await load_newest(transaction), 0)
    return _Replay(transaction, roster, progress, coming)


@dataclass(frozen=True)
class _Replay:
    """Raw observations of one moment of the database; `coming` are frames the engine has not taken up."""

    transaction: Transaction
    roster: Roster
    progress: Progress
    coming: Sequence[ObservationFrame]

    async def compute(self, indicator: Indicator, first: int, last: int) -> dict[Key, Computed]:
        """What the engine should have written for windows that end within (first, last], in minutes."""
        family = indicator.definition.family
        newest = self.progress.newest_minute(family)
        if newest is None:
            return {}
        things = self.roster.things(family, indicator.definition.inputs, all_inputs=indicator.formula.all_inputs)
        last_end = min(last, indicator.windows.end_after(newest))
        ends = np.arange(indicator.windows.end_after(first), last_end + 1, indicator.windows.step)
        found: dict[Key, Computed] = {}
        for some in chunks(ends, _WINDOWS, _SPAN):
            for each in await self._evaluate(indicator, things, some):
                if each.observed_until is not None:
                    found[each.kpi_id, each.zone_id, each.window.end] = each
        return found

    async def _evaluate(self, indicator: Indicator, things: Things, ends: Ints) -> list[Computed]:
        first = int(ends[0]) - indicator.windows.length - indicator.reach
        end = int(ends[-1]) + indicator.reach
        observations = await load_observation_range(self.transaction, things.datastream_ids, first, end)
        panes = minute_panes(observations, self.coming)
        if indicator.formula.resolution == HOUR:
            panes = coarsen(panes, HOUR, indicator.windows.phase)
        return evaluate(indicator, things, LoadedPanes(panes), ends)


def _differences(stored: dict[Key, KpiValue], computed: dict[Key, Computed]) -> Iterator[Difference]:
    for key in sorted(stored.keys() | computed.keys(), key=lambda key: (key[0], key[2], key[1])):
        was, should = stored.get(key), computed.get(key)
        if not _agree(was, should):
            yield Difference(*key, was, should)


def _agree(stored: KpiValue | None, computed: Computed | None) -> bool:
    """Whether both say the same; "insufficient data" may stand in a row or be the lack of one."""
    if stored and computed:
        return same_result(computed, stored)
    return all(each is None or each.value is None for each in (stored, computed))


def _key(difference: Difference) -> Key:
    return (difference.kpi_id, difference.zone_id, difference.window_end)


def describe(difference: Difference) -> str:
    """One line for people."""

    def text(value: KpiValue | Computed | None) -> str:
        return "nothing" if value is None else f"{value.value} (coverage {value.coverage}, band {value.band or '-'})"

    end = from_minute(to_minute(difference.window_end)).isoformat()
    where = f"{difference.kpi_id} {difference.zone_id} window to {end}"
    return f"{where}: stored {text(difference.stored)}, recomputed {text(difference.computed)}"
