"""The feed: one listener and one set of queries, whatever the number of viewers."""

import asyncio
import math
import time
from collections.abc import Awaitable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from dashboard.gate import DatabaseGate
from dashboard.live.city_state import INCIDENT_BANDS, CityState, history_start
from dashboard.live.hub import Hub, Update
from dashboard.metrics import WebMetrics
from pulso.city.definition import WindowShape
from pulso.clock import Clock
from pulso.db import listen
from pulso.errors import StorageError

log = structlog.get_logger()

Result = TypeVar("Result")

CHANNELS = ("pulso_kpi_value",)
BEAT = 1.0  # seconds between frames, news or not; the wall calls the connection lost after three without one
LEAST_PAUSE = 0.25  # seconds between two frames
ACTIVITY_EVERY = timedelta(seconds=5)
EVERYTHING_EVERY = timedelta(seconds=60)  # values are read again even if no notification came
LOOK_BACK = timedelta(days=2)  # how old a value may be to be named as the last one
QUERY_TIMEOUT = 3.0  # seconds until a database that does not answer counts as away


class Feed:
    """Reads what changed, and publishes a frame at every beat and at every change."""

    def __init__(self, state: CityState, gate: DatabaseGate, hub: Hub, clock: Clock, metrics: WebMetrics) -> None:
        self._state = state
        self._gate = gate
        self._hub = hub
        self._clock = clock
        self._metrics = metrics
        self._notified = asyncio.Event()
        self._changed = asyncio.Event()
        self._activity_read: datetime | None = None
        self._everything_read: datetime | None = None

    async def run(self) -> None:
        """Read, listen and publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat(), name="live-beat")
            tasks.create_task(self._read_forever(), name="live-read")

    async def _beat(self) -> None:
        while True:
            self._changed.clear()
            self.publish()
            await asyncio.sleep(LEAST_PAUSE)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), BEAT - LEAST_PAUSE)

    def publish(self) -> None:
        """Hand the hub the state of this moment: values grow old even when nothing is read."""
        now = self._clock.now()
        cells = self._state.cells(now)
        newest = self._state.newest
        delay = None if newest is None else max(0, round((now - newest).total_seconds() * 1000))
        self._hub.publish(
            Update(
                now=now,
                cells=cells,
                points=self._state.points(),
                families=self._state.families(cells),
                incidents=self._state.incidents(cells),
                database_away_since=self._gate.away_since,
                delay=delay,
            )
        )
        self._metrics.delay.set(math.nan if delay is None else delay / 1000)
        self._metrics.database_up.set(self._gate.away_since is None)

    async def _read_forever(self) -> None:
        while True:
            await self._gate.reopen()
            self._activity_read = self._everything_read = None
            listener = asyncio.create_task(
                listen(self._gate.database, dict.fromkeys(CHANNELS, self._notified)), name="live-listen"
            )
            try:
                await self._read_until_lost()
            except (StorageError, TimeoutError) as error:
                log.warning("live_feed_interrupted", error=str(error) or type(error).__name__)
            finally:
                listener.cancel()

    async def _read_until_lost(self) -> None:
        """Read at every notification and at every beat. Raises StorageError or TimeoutError."""
        while True:
            started = time.perf_counter()
            await asyncio.wait_for(self.read(values=self._take_notification()), QUERY_TIMEOUT)
            self._metrics.read_seconds.observe(time.perf_counter() - started)
            self._changed.set()
            await asyncio.sleep(LEAST_PAUSE)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._notified.wait(), BEAT - LEAST_PAUSE)

    def _take_notification(self) -> bool:
        notified = self._notified.is_set()
        self._notified.clear()
        return notified

    async def read(self, *, values: bool) -> None:
        """Bring the state up to date; `values` says that KPI values have changed. Raises StorageError."""
        now = self._clock.now()
        reading = self._gate.live_reading
        self._state.saw_observation(await self._counted("newest_batch", reading.newest_batch()))
        if self._is_due(self._activity_read, ACTIVITY_EVERY, now):
            self._state.set_activity(await self._counted("activity", reading.activity(now)))
            self._state.intervals = await self._counted("intervals", reading.intervals())
            self._activity_read = now
        everything = self._is_due(self._everything_read, EVERYTHING_EVERY, now)
        if values or everything:
            await self._read_values(now, everything=everything)

    async def _read_values(self, now: datetime, *, everything: bool) -> None:
        """Read all windows, or those that can still be provisional: the others wait for the next full reading."""
        state, reading = self._state, self._gate.live_reading
        windows: dict[str, WindowShape] = {kpi_id: definition.window for kpi_id, definition in state.pack.kpis.items()}
        steps = {kpi_id: window.step for kpi_id, window in windows.items()}
        zones = [zone.zone_id for zone in state.pack.zones]
        open_since = {kpi_id: now - window.length - 5 * window.step for kpi_id, window in windows.items()}
        history = history_start(state.pack, state.board, now)
        if everything:
            shown = {kpi_id: min(since, now - LOOK_BACK) for kpi_id, since in open_since.items()}
        else:
            shown = open_since
            history = {kpi_id: max(start, open_since[kpi_id]) for kpi_id, start in history.items()}
        state.add_history(await self._counted("history", reading.history(history, state.pack.city_zone.zone_id)), now)
        state.set_rows(await self._counted("shown_values", reading.shown_values(steps, shown, zones, now)), shown)
        if keys := state.unknown_since(state.cells(now)):
            state.since |= await self._counted("band_since", reading.band_since(keys, INCIDENT_BANDS, now))
        if everything:
            self._everything_read = now

    async def _counted(self, query: str, rows: Awaitable[Result]) -> Result:
        self._metrics.reads.labels(query).inc()
        return await rows

    @staticmethod
    def _is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
        return last is None or now - last >= every
