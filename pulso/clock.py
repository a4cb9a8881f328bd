"""Time as a dependency: loops take a `Clock`, pure functions take `now`."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets time pass."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...

    async def sleep(self, duration: timedelta) -> None:
        """Return when `duration` has passed on this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, duration: timedelta) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(duration.total_seconds())


class ManualClock:
    """A clock that stands still until it is moved; for tests."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        """The moment it was last set to."""
        return self._now

    def advance(self, duration: timedelta) -> None:
        """Move the clock on by `duration`."""
        self._now += duration

    async def sleep(self, duration: timedelta) -> None:
        """Advance by `duration` at once, giving other tasks one turn."""
        self.advance(duration)
        await asyncio.sleep(0)
