"""One step of the engine: batches in, panes and KPI values out, position saved, all in one transaction."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from kpi_engine.catalogue import Indicator
from kpi_engine.evaluate import CHUNK, Computed, evaluate
from kpi_engine.keeper import PaneKeeper
from kpi_engine.progress import Progress
from kpi_engine.revisions import revise
from kpi_engine.ring import LoadedPanes, PaneRing
from kpi_engine.things import Roster, Things
from kpi_engine.windows import HOUR, Horizon, chunks, from_minute, to_minute
from pulso.clock import Clock
from pulso.db.batches import Position, read_batches, read_unconsumed, save_position, take_position
from pulso.db.kpi_values import (
    FinalityLimit,
    Key,
    finalise,
    load_latest,
    notify_changed,
    record_definitions,
    write_values,
)
from pulso.db.panes import Rollup, load_newest, load_pane_range
from pulso.db.session import Session, Transaction
from pulso.frame import ObservationFrame, concatenate
from pulso.model import Family, KpiId, KpiValue, ZoneId, to_micros
from pulso.panes import MINUTE_MICROS, Panes
from pulso.settings import EngineSettings

Ints = NDArray[np.int64]

CONSUMER = "kpi"
BATCHES_PER_STEP = 64
VALUES_AT_ONCE = 5000  # compared with what is stored and written together: bounds memory when history comes in
_SPAN = {1: 360, HOUR: 10 * 24 * HOUR}  # minutes of panes loaded at once, by resolution: bounds memory


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did. `lag`: seconds from storing the oldest batch of the step to taking it up."""

    observations: int
    values_written: int
    finalised: int
    has_more: bool
    lag: float | None


class Engine:
    """Everything one engine remembers. Memory is only ever as good as the last commit: after an error open another."""

    def __init__(
        self,
        session: Session,
        indicators: Sequence[Indicator],
        roster: Roster,
        clock: Clock,
        settings: EngineSettings,
    ) -> None:
        self._session = session
        self._indicators = tuple(indicators)
        self._clock = clock
        self._settings = settings
        phase = indicators[0].windows.phase if indicators else 0
        self._keeper = PaneKeeper(phase, to_minute(clock.now()))
        self._position = Position()
        self._limits: dict[tuple[KpiId, ZoneId], int] = {}
        self._roster = roster
        self._things: dict[KpiId, Things] = {}
        self._progress = Progress(roster, settings.idle_timeout)
        self._horizons = dict.fromkeys({each.definition.family for each in indicators}, Horizon())
        self._restate_recent = True
        self._learn(roster)

    async def open(self) -> None:
        """Rebuild memory from the database and record the definitions in use. Raises StorageError."""
        async with self._session.transaction() as transaction:
            self._position = await take_position(transaction, CONSUMER)
            await self._keeper.load(transaction)
            self._progress.note(*await load_newest(transaction), to_micros(self._clock.now()))
            await record_definitions(
                transaction,
                [(each.definition.id, each.version, each.definition.document()) for each in self._indicators],
            )

    @property
    def position(self) -> Position:
        """The last batch that was consumed."""
        return self._position

    def update_roster(self, roster: Roster) -> None:
        """Take up a changed registry; values of the recent past are restated by the next step."""
        if roster != self._roster:
            self._roster = roster
            self._progress = self._progress.under(roster)
            self._learn(roster)
            self._restate_recent = True

    def watermark_delay(self) -> float | None:
        """Seconds by which the slowest family's watermark is behind the present."""
        now = to_micros(self._clock.now())
        marks = [self._progress.watermark(family, None, now) for family in self._horizons]
        return max(((now - mark) / 1e6 for mark in marks if mark is not None), default=None)

    async def step(self) -> Step:
        """Take up what ingest committed meanwhile, and settle what has become complete. Raises StorageError."""
        now = self._clock.now()
        async with self._session.transaction() as transaction:
            await self._keeper.advance(transaction, to_minute(now))
            batches = await read_batches(transaction, self._position, BATCHES_PER_STEP)
            position = batches[-1].position if batches else self._position
            frame = concatenate([batch.frame for batch in batches]) if batches else None
            changed = await self._take_up(transaction, frame, position, now)
            passed = self._raise_limits(now)
            written = await self._restate(transaction, changed, now)
            finalised = await finalise(transaction, passed, now)
            if batches:
                await save_position(transaction, CONSUMER, position)
            if written or finalised:
                await notify_changed(transaction)
        self._position = position
        lag = (now - batches[0].stored_at).total_seconds() if batches else None
        return Step(len(frame) if frame else 0, written, finalised, len(batches) == BATCHES_PER_STEP, lag)

    def _learn(self, roster: Roster) -> None:
        self._things = {
            each.definition.id: roster.things(
                each.definition.family, each.definition.inputs, all_inputs=each.formula.all_inputs
            )
            for each in self._indicators
        }

    async def _take_up(
        self, transaction: Transaction, frame: ObservationFrame | None, position: Position, now: datetime
    ) -> Panes:
        """Stage 1: the panes that a frame changed."""
        if frame is None:
            return Panes.empty()

        async def unconsumed(datastream_ids: Ints) -> list[ObservationFrame]:
            return await read_unconsumed(transaction, position, datastream_ids)

        changed = await self._keeper.apply(transaction, frame, unconsumed)
        self._progress.observe(changed, to_micros(now))
        return changed

    async def _restate(self, transaction: Transaction, changed: Panes, now: datetime) -> int:
        """Stage 2: the KPI values that changed panes and passing time change; returns how many rows were written."""
        horizons = {
            family: Horizon.of(self._progress.newest_minute(family), to_minute(now)) for family in self._horizons
        }
        written, pending = 0, list[Computed]()
        emptied = bool((changed.count == 0).any())
        for indicator in self._indicators:
            ends = self._ends(indicator, changed, horizons[indicator.definition.family])
            async for computed in self._compute(transaction, indicator, ends):
                # Windows without an observation are news only where there was one.
                pending += [each for each in computed if emptied or each.observed_until]
                if len(pending) >= VALUES_AT_ONCE:
                    written += await self._write(transaction, pending, now)
                    pending = []
        self._horizons = horizons
        self._restate_recent = False
        return written + await self._write(transaction, pending, now)

    def _ends(self, indicator: Indicator, changed: Panes, horizon: Horizon) -> Ints:
        """Ends of the windows whose value may have changed, ascending."""
        if horizon.shown is None:
            return np.empty(0, np.int64)
        windows = indicator.windows
        mine = np.isin(changed.datastream_id, self._things[indicator.definition.id].datastream_ids)
        dirty = np.unique(changed.start[mine])
        before = self._horizons[indicator.definition.family]
        ends = [windows.ends_touching(dirty, indicator.reach), windows.ends_opened(before, horizon)]
        if self._restate_recent:
            ring = self._ring(indicator)
            recent = windows.ends_touching(ring.occupied(), indicator.reach)
            ends.append(recent[_inside(indicator, ring, recent)])
        found = np.unique(np.concatenate(ends))
        return found[found <= windows.end_after(horizon.shown)]

    def _ring(self, indicator: Indicator) -> PaneRing:
        return self._keeper.hours if indicator.formula.resolution == HOUR else self._keeper.minutes

    async def _compute(
        self, transaction: Transaction, indicator: Indicator, ends: Ints
    ) -> AsyncIterator[list[Computed]]:
        """Values of these windows, from memory where it reaches, from the rollup tables elsewhere."""
        things, ring = self._things[indicator.definition.id], self._ring(indicator)
        recent = _inside(indicator, ring, ends)
        yield evaluate(indicator, things, ring, ends[recent])
        resolution = indicator.formula.resolution
        for some in chunks(ends[~recent], CHUNK, _SPAN[resolution]):
            first, end = _needed(indicator, int(some[0]), int(some[-1]))
            rollup = Rollup.HOUR if resolution == HOUR else Rollup.MINUTE
            panes = await load_pane_range(transaction, rollup, things.datastream_ids, first, end)
            yield evaluate(indicator, things, LoadedPanes(panes), some)

    async def _write(self, transaction: Transaction, computed: Sequence[Computed], now: datetime) -> int:
        keys: list[Key] = [(each.kpi_id, each.zone_id, each.window.end) for each in computed]
        stored = await load_latest(transaction, keys)
        rows: list[KpiValue] = []
        for key, each in zip(keys, computed, strict=True):
            row = revise(each, stored.get(key), is_final=self._is_final(each))
            if row is not None:
                rows.append(row)
        await write_values(transaction, rows, now)
        return len(rows)

    def _is_final(self, computed: Computed) -> bool:
        limit = self._limits.get((computed.kpi_id, computed.zone_id))
        return limit is not None and to_minute(computed.window.end) <= limit

    def _raise_limits(self, now: datetime) -> list[FinalityLimit]:
        """Move finality on with the watermarks, never back; returns where it moved."""
        marks = self._watermarks(to_micros(now))
        moved: list[FinalityLimit] = []
        for each in self._indicators:
            for zone_id in self._roster.zone_ids:
                mark = marks[each.definition.family, zone_id]
                key = (each.definition.id, zone_id)
                limit = None if mark is None else mark // MINUTE_MICROS - each.lateness
                if limit is not None and limit > self._limits.get(key, limit - 1):
                    self._limits[key] = limit
                    moved.append(FinalityLimit(*key, from_minute(limit)))
        return moved

    def _watermarks(self, now: int) -> dict[tuple[Family, ZoneId], int | None]:
        city = self._roster.zone_ids[0]
        return {
            (family, zone_id): self._progress.watermark(family, None if zone_id == city else zone_id, now)
            for family in self._horizons
            for zone_id in self._roster.zone_ids
        }


def _needed(indicator: Indicator, first_end: int, last_end: int) -> tuple[int, int]:
    """[first, end) minutes of panes that windows from `first_end` to `last_end` read."""
    return first_end - indicator.windows.length - indicator.reach, last_end + indicator.reach


def _inside(indicator: Indicator, ring: PaneRing, ends: Ints) -> NDArray[np.bool_]:
    """Which windows a ring can serve. After its end there is nothing yet, or it would have been made to reach there."""
    first, end = ends - indicator.windows.length - indicator.reach, ends + indicator.reach
    inside: NDArray[np.bool_] = (first >= ring.start) & (end <= ring.end)
    return inside
