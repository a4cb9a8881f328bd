"""Keeps the panes in memory and in the rollup tables in step, one frame of observations at a time."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kpi_engine.panes import aggregate, coarsen, combine, contains, pane_keys
from kpi_engine.ring import PaneRing
from kpi_engine.windows import HOUR
from pulso.db.panes import (
    Observations,
    Rollup,
    delete_panes,
    load_observations_of,
    load_panes,
    load_recent_panes,
    upsert_panes,
)
from pulso.db.session import Transaction
from pulso.frame import ObservationFrame
from pulso.model import Quality
from pulso.panes import FIELDS, MINUTE_MICROS, Panes, neutral

Ints = NDArray[np.int64]

MINUTE_SLOTS = 180
HOUR_SLOTS = 30
AHEAD = 15
"""Minutes of room after the present: more than ingest lets a sensor's clock be ahead."""

COUNTED = (Quality.PASS, Quality.NOT_EVALUATED, Quality.SUSPECT)


@dataclass(frozen=True)
class Keys:
    """Which panes: (datastream, start in minutes), unique."""

    datastream_id: Ints
    start: Ints

    def __len__(self) -> int:
        return len(self.datastream_id)

    @staticmethod
    def of(datastream_id: Ints, start: Ints) -> "Keys":
        """The distinct ones of these pairs."""
        _, place = np.unique(pane_keys(datastream_id, start), return_index=True)
        return Keys(datastream_id[place], start[place])

    def select(self, rows: NDArray[np.bool_]) -> "Keys":
        """The keys where `rows` holds."""
        return Keys(self.datastream_id[rows], self.start[rows])


def counted(quality: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which observations count in panes."""
    return np.isin(quality, COUNTED)


class PaneKeeper:
    """The rings of recent panes over the two rollup tables.

    Memory per datastream: 180 minutes and 30 hours of 72 bytes each, 15.1 kB, whatever arrives. Panes outside the
    rings are merged in the database. Memory changes before the transaction commits: after a failure throw the keeper
    away and load another one.
    """

    def __init__(self, phase: int, minute: int) -> None:
        """`phase`: minutes past the UTC hour at which the city's hour begins; `minute`: the present."""
        self.minutes = PaneRing(1, MINUTE_SLOTS, end=minute + AHEAD)
        self.hours = PaneRing(HOUR, HOUR_SLOTS, phase, end=minute + AHEAD)
        self._phase = phase
        self._beyond: int | None = None  # first minute written to the database only, being ahead of the rings

    async def load(self, transaction: Transaction) -> None:
        """Fill the rings from the rollup tables."""
        for rollup, ring in ((Rollup.MINUTE, self.minutes), (Rollup.HOUR, self.hours)):
            ring.replace(await load_recent_panes(transaction, rollup, ring.start, ring.end))

    async def advance(self, transaction: Transaction, minute: int) -> None:
        """Move the rings on to the present, so that new panes find their place."""
        self.minutes.advance(minute + AHEAD)
        self.hours.advance(minute + AHEAD)
        if self._beyond is not None and self._beyond < max(self.minutes.end, self.hours.end):
            await self.load(transaction)
            self._beyond = None

    async def apply(
        self,
        transaction: Transaction,
        frame: ObservationFrame,
        unconsumed: Callable[[Ints], Awaitable[Sequence[ObservationFrame]]],
    ) -> Panes:
        """Take a frame in; return the minute panes it changed as they are now (emptied ones with count 0).

        `unconsumed` gives what the frames behind this one hold of some datastreams, if the tables hold it already.
        """
        ids, minute = frame.datastream_id.astype(np.int64), frame.phenomenon_time // MINUTE_MICROS
        corrected = Keys.of(ids[frame.corrects], minute[frame.corrects])
        use = counted(frame.quality) & ~frame.corrects
        added = aggregate(ids[use], frame.phenomenon_time[use], frame.result[use])
        added = added.select(~contains(added, corrected.datastream_id, corrected.start))
        changed = await self._merge(transaction, Rollup.MINUTE, self.minutes, added)
        await self._merge(transaction, Rollup.HOUR, self.hours, coarsen(added, HOUR, self._phase))
        if not len(corrected):
            return changed
        rebuilt = await self._rebuild(transaction, corrected, await unconsumed(corrected.datastream_id))
        return Panes.concatenate(changed, rebuilt)

    async def _merge(self, transaction: Transaction, rollup: Rollup, ring: PaneRing, added: Panes) -> Panes:
        """Merge unique panes into the ring where it reaches, into the table elsewhere; return them merged."""
        covered = ring.covers(added.start)
        merged = ring.merge(added.select(covered))
        if not covered.all():
            outside = added.select(~covered)
            stored = await load_panes(transaction, rollup, outside.datastream_id, outside.start)
            merged = Panes.concatenate(merged, combine(Panes.concatenate(stored, outside)))
            self._note_beyond(outside.start[outside.start >= ring.end])
        await upsert_panes(transaction, rollup, merged)
        return merged

    async def _rebuild(self, transaction: Transaction, keys: Keys, unconsumed: Sequence[ObservationFrame]) -> Panes:
        """Compute corrected panes anew from the observations; then the hours they lie in from their minutes."""
        observations = await load_observations_of(transaction, keys.datastream_id, keys.start)
        rebuilt = minute_panes(observations, unconsumed)
        await self._replace(transaction, Rollup.MINUTE, self.minutes, keys, rebuilt)
        hours = Keys.of(keys.datastream_id, keys.start - (keys.start - self._phase) % HOUR)
        minutes = (hours.start[:, None] + np.arange(HOUR)).ravel()
        stored = await load_panes(transaction, Rollup.MINUTE, hours.datastream_id.repeat(HOUR), minutes)
        await self._replace(transaction, Rollup.HOUR, self.hours, hours, coarsen(stored, HOUR, self._phase))
        return Panes.concatenate(rebuilt, _emptied(_without(keys, rebuilt)))

    async def _replace(
        self, transaction: Transaction, rollup: Rollup, ring: PaneRing, keys: Keys, panes: Panes
    ) -> None:
        """Make ring and table hold exactly `panes` under `keys`."""
        gone = _without(keys, panes)
        covered = gone.select(ring.covers(gone.start))
        ring.clear(covered.datastream_id, covered.start)
        ring.replace(panes.select(ring.covers(panes.start)))
        self._note_beyond(panes.start[panes.start >= ring.end])
        await delete_panes(transaction, rollup, gone.datastream_id, gone.start)
        await upsert_panes(transaction, rollup, panes)

    def _note_beyond(self, starts: Ints) -> None:
        if len(starts):
            first = int(starts.min())
            self._beyond = first if self._beyond is None else min(self._beyond, first)


def minute_panes(observations: Observations, unconsumed: Sequence[ObservationFrame]) -> Panes:
    """Minute panes of stored observations, without those that a frame still to come will add."""
    use = counted(observations.quality)
    coming = {key for frame in unconsumed for key in _new_keys(frame, observations.datastream_id)}
    if coming:
        stored = zip(observations.datastream_id.tolist(), observations.phenomenon_time.tolist(), strict=True)
        use &= np.array([key not in coming for key in stored], bool)
    return aggregate(observations.datastream_id[use], observations.phenomenon_time[use], observations.result[use])


def _new_keys(frame: ObservationFrame, datastream_ids: Ints) -> Iterable[tuple[int, int]]:
    """(datastream, time) of the observations a frame adds, of these datastreams."""
    rows = ~frame.corrects & np.isin(frame.datastream_id, datastream_ids)
    return zip(frame.datastream_id[rows].tolist(), frame.phenomenon_time[rows].tolist(), strict=True)


def _without(keys: Keys, panes: Panes) -> Keys:
    """The keys that none of `panes` has."""
    return keys.select(~np.isin(pane_keys(keys.datastream_id, keys.start), pane_keys(panes.datastream_id, panes.start)))


def _emptied(keys: Keys) -> Panes:
    """Panes with nothing in them, for keys whose last observation is gone."""
    return Panes(keys.datastream_id, keys.start, *(neutral(name, len(keys)) for name in FIELDS))
