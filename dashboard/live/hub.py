"""The hub: keeps the state of the city once, and gives every viewer what it has not seen.

A viewer is no more than the number of the last frame it was given: nothing is queued for it, so a slow one costs no
memory and skips to the latest values. A frame is serialised once for all viewers who stand at the same number.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dashboard.live.frame import Activity, Cell, Frame, Incident, encode, millis
from dashboard.metrics import WebMetrics

RETRY = b"retry: 1000\n\n"  # milliseconds a browser waits before it connects again
MOST_VIEWERS = 800  # streams of one process; each holds a socket, of the 1,024 that many systems allow
_FROM_THE_START = -1

Points = Mapping[str, Mapping[int, float | None]]


@dataclass(frozen=True, slots=True)
class Update:
    """The state of the city at `now`; `points` are whole sparklines."""

    now: datetime
    cells: Iterable[Cell] = ()
    points: Points = field(default_factory=dict)
    families: tuple[Activity, ...] = ()
    incidents: tuple[Incident, ...] = ()
    database_away_since: datetime | None = None
    delay: int | None = None


class Hub:
    """State and viewers of the live stream; used on one event loop."""

    def __init__(self, build: str, metrics: WebMetrics) -> None:
        self._build = build
        self._metrics = metrics
        self._sequence = 0
        self._cells: dict[tuple[str, str], tuple[Cell, int]] = {}
        self._points: dict[str, dict[int, tuple[float | None, int]]] = {}
        self._families: tuple[tuple[Activity, ...], int] = ((), 0)
        self._incidents: tuple[tuple[Incident, ...], int] = ((), 0)
        self._latest: Update | None = None
        self._encoded: dict[int, bytes] = {}
        self._next = asyncio.Event()
        self._closed = False
        self._viewers = 0

    @property
    def is_full(self) -> bool:
        """Whether another stream would be one too many."""
        return self._viewers >= MOST_VIEWERS

    def publish(self, update: Update) -> None:
        """Take the new state and wake every viewer; a frame goes out even if nothing changed: it is the heartbeat."""
        self._sequence += 1
        for cell in update.cells:
            self._keep_cell(cell)
        for kpi_id, points in update.points.items():
            self._keep_points(kpi_id, points)
        if update.families != self._families[0]:
            self._families = (update.families, self._sequence)
        if update.incidents != self._incidents[0]:
            self._incidents = (update.incidents, self._sequence)
        self._latest = update
        self._encoded.clear()
        self._wake()

    def close(self) -> None:
        """End every stream, so that the server can leave."""
        self._closed = True
        self._wake()

    async def frames(self) -> AsyncIterator[bytes]:
        """The stream of one viewer: first the whole state, then what changed since the frame before."""
        self._count(+1)
        try:
            yield RETRY
            seen = _FROM_THE_START
            while await self._newer_than(seen):
                frame, seen = self._frame_since(seen), self._sequence
                self._metrics.frames.inc()
                yield frame
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._viewers += change
        self._metrics.viewers.set(self._viewers)

    async def _newer_than(self, seen: int) -> bool:
        """Wait for a frame that the viewer has not seen; False when the hub is closed."""
        while not self._closed and (self._latest is None or self._sequence == seen):
            await self._next.wait()
        return not self._closed

    def _wake(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    def _keep_cell(self, cell: Cell) -> None:
        known = self._cells.get((cell.kpi, cell.zone))
        if known is None or known[0] != cell:
            self._cells[cell.kpi, cell.zone] = (cell, self._sequence)

    def _keep_points(self, kpi_id: str, points: Mapping[int, float | None]) -> None:
        known = self._points.setdefault(kpi_id, {})
        for end in known.keys() - points.keys():
            del known[end]
        for end, value in points.items():
            if end not in known or known[end][0] != value:
                known[end] = (value, self._sequence)

    def _frame_since(self, seen: int) -> bytes:
        """The frame from `seen` to now, serialised once per starting point and tick."""
        if seen not in self._encoded:
            self._encoded[seen] = encode(self._compose(seen))
            self._metrics.encoded.inc()
        return self._encoded[seen]

    def _compose(self, seen: int) -> Frame:
        latest = self._latest
        assert latest is not None  # noqa: S101 (callers have waited for it)
        away = latest.database_away_since
        return Frame(
            sequence=self._sequence,
            now=millis(latest.now),
            build=self._build,
            reset=seen == _FROM_THE_START,
            database_away_since=millis(away) if away else None,
            delay=latest.delay,
            cells=tuple(cell for cell, changed in self._cells.values() if changed > seen),
            points=self._points_since(seen),
            families=self._families[0] if self._families[1] > seen else None,
            incidents=self._incidents[0] if self._incidents[1] > seen else None,
        )

    def _points_since(self, seen: int) -> dict[str, tuple[tuple[int, float | None], ...]]:
        changed = {
            kpi_id: tuple((end, value) for end, (value, sequence) in sorted(known.items()) if sequence > seen)
            for kpi_id, known in self._points.items()
        }
        return {kpi_id: points for kpi_id, points in changed.items() if points}
