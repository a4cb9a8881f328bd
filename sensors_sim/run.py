"""The loop of one publishing process: descriptions, history, and then every message at its moment."""

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter

from pulso.clock import Clock
from pulso.model import Family, from_micros, to_micros
from sensors_sim.control import LIST_TOPIC, IncidentBook, list_payload, parse_list
from sensors_sim.encode import description, description_topic
from sensors_sim.generate import Generator, Message
from sensors_sim.incidents import Incident
from sensors_sim.publish import Publisher
from sensors_sim.settings import SimSettings
from sensors_sim.truth import TruthWriter

log = structlog.get_logger()

PUBLISHED = Counter("pulso_sim_messages", "Messages handed to the broker, copies included.", ["kind"])
LIVE_STEP = timedelta(seconds=2)
LOAD_STEP = timedelta(milliseconds=250)
HISTORY_STEP = timedelta(minutes=1)
BEHIND = timedelta(seconds=5)
LIST_AHEAD = timedelta(hours=1)
OTHERS_LEARN = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a run ends by itself: after so many messages, or so long; None for never."""

    count: int | None = None
    duration: timedelta | None = None


class Outlet:
    """Publishes messages as often as they say, and writes down what was sent beside what was true."""

    def __init__(self, publisher: Publisher, clock: Clock, truth: TruthWriter | None = None) -> None:
        self.publisher = publisher
        self._clock = clock
        self._truth = truth
        self.published = 0

    async def send(self, message: Message, kind: str) -> None:
        """Publish one message; how often it was is written down even when a stop comes half-way."""
        sent = 0
        try:
            for _ in range(message.copies):
                await self.publisher.publish(message.topic, message.payload)
                sent += 1
        finally:
            self.published += sent
            PUBLISHED.labels(kind).inc(sent)
            if self._truth and (sent or not message.copies):
                self._truth.record(message, sent, self._clock.now())


class Simulation:
    """One process's part of the city, on its way to the broker."""

    def __init__(
        self, generator: Generator, outlet: Outlet, book: IncidentBook, settings: SimSettings, clock: Clock
    ) -> None:
        self._generator = generator
        self._outlet = outlet
        self._book = book
        self._settings = settings
        self._clock = clock
        self._step = LOAD_STEP if settings.rate else LIVE_STEP
        self._held: list[tuple[int, int, Message]] = []
        self._serial = 0
        self._listed: list[Incident] | None = None
        self._next_warning = clock.now()
        self.planned_until = clock.now()
        """Messages up to here are made already; an incident cannot start before it."""

    def trigger(self, payload: bytes) -> None:
        """Take in a request for an incident; called on the event loop, of one process only.

        It starts after all that is made already, here and, with the margin, in the other publishing processes.
        """
        margin = OTHERS_LEARN if self._generator.share[1] > 1 else timedelta(0)
        self._book.request(payload, earliest=max(self.planned_until, self._clock.now()) + margin)

    def adopt(self, payload: bytes) -> None:
        """Take over the incidents that the first process lists; called on the event loop of the other ones."""
        self._book.adopt(parse_list(payload))

    async def run(self, bounds: Bounds) -> None:
        """Describe, send the newest history, then live and older history together; returns when bounds are met."""
        now = self._clock.now()
        await self._describe()
        async with asyncio.TaskGroup() as group:
            recent = self._settings.history_recent if self._settings.sends_history else timedelta(0)
            await self._send_history("recent", now - recent, now)
            older = group.create_task(self._send_older_history(now), name="older-history")
            await self._live(now, bounds)
            older.cancel()

    async def _describe(self) -> None:
        number, of = self._generator.share
        for fleet in self._generator.city.fleets:
            for thing in fleet.things[number::of]:
                await self._outlet.publisher.publish(description_topic(thing), description(thing), retain=True)

    # History

    async def _send_older_history(self, now: datetime) -> None:
        settings = self._settings
        if not settings.sends_history:
            return
        air, everything, recent = now - settings.history_air, now - settings.history_all, now - settings.history_recent
        await self._send_history("air", air, everything, families=(Family.AIR,), rate=settings.history_rate)
        await self._send_history("all", everything, recent, rate=settings.history_rate)

    async def _send_history(
        self,
        name: str,
        start: datetime,
        end: datetime,
        *,
        families: Sequence[Family] = tuple(Family),
        rate: float | None = None,
    ) -> None:
        """Send all instants in [start, end), oldest first, at `rate` messages per second or as fast as possible."""
        if start >= end:
            return
        progress = _Progress(name, start, end)
        at = start
        while at < end:
            until = min(at + HISTORY_STEP, end)
            began = self._clock.now()
            messages = self._made(at, until, families)
            for message in messages:
                await self._outlet.send(message, "history")
            if rate:
                left = timedelta(seconds=len(messages) / rate) - (self._clock.now() - began)
                await self._clock.sleep(max(left, timedelta(0)))
            at = until
            progress.log(at)

    # Live

    async def _live(self, start: datetime, bounds: Bounds) -> None:
        """Send every message at its moment; the next step is made before this one is sent, so none waits."""
        end = start + bounds.duration if bounds.duration else None
        began, sent = self._clock.now(), 0
        upcoming = self._made(start, start + self._step)
        at = start + self._step
        while True:
            messages, upcoming = upcoming, self._made(at, at + self._step)
            await self._list_incidents(at)
            sent += await self._send_paced(messages, None if bounds.count is None else bounds.count - sent)
            if (bounds.count is not None and sent >= bounds.count) or (end is not None and at >= end):
                break
            self._warn_if_behind(at)
            at += self._step
        taken = (self._clock.now() - began).total_seconds()
        log.info("live_done", messages=sent, seconds=round(taken, 3), per_second=round(sent / max(taken, 1e-9), 1))

    async def _send_paced(self, messages: Sequence[Message], most: int | None) -> int:
        """Send each message at its moment until `most` are published; how many were, with all copies of the last."""
        sent = 0
        for message in messages:
            if most is not None and sent >= most:
                break
            await self._wait_for(message.release)
            await self._outlet.send(message, "live")
            sent += message.copies
        return sent

    async def _wait_for(self, release: int) -> None:
        ahead = from_micros(release) - self._clock.now()
        if ahead > timedelta(milliseconds=2):
            await self._clock.sleep(ahead)

    def _warn_if_behind(self, at: datetime) -> None:
        now = self._clock.now()
        if now - at > BEHIND and now >= self._next_warning:
            self._next_warning = now + timedelta(seconds=30)
            log.warning("behind", seconds=round((now - at).total_seconds(), 1))

    async def _list_incidents(self, now: datetime) -> None:
        if self._generator.share[0] != 0:
            return
        current = self._book.current(now, LIST_AHEAD)
        if current != self._listed:
            await self._outlet.publisher.publish(LIST_TOPIC, list_payload(current), retain=True)
            self._listed = current

    # Both

    def _made(self, start: datetime, end: datetime, families: Sequence[Family] = tuple(Family)) -> list[Message]:
        """Messages that leave in [start, end); those that leave later are held back for their time."""
        self.planned_until = max(self.planned_until, end)
        incidents = self._book.between(start - timedelta(hours=1), end)
        bounds = to_micros(start), to_micros(end)
        for message in self._generator.messages(*bounds, incidents, families):
            self._serial += 1
            heapq.heappush(self._held, (message.release, self._serial, message))
        leaving = []
        while self._held and self._held[0][0] < bounds[1]:
            leaving.append(heapq.heappop(self._held)[2])
        return leaving


class _Progress:
    """Says in the log how far a stretch of history has come, at every tenth of it."""

    def __init__(self, name: str, start: datetime, end: datetime) -> None:
        self._name, self._start, self._length = name, start, end - start
        self._tenths = 0

    def log(self, reached: datetime) -> None:
        tenths = int(10 * ((reached - self._start) / self._length))
        if tenths > self._tenths:
            self._tenths = tenths
            log.info("history", part=self._name, done_percent=10 * tenths, until=reached.isoformat(timespec="seconds"))
