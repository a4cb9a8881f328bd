"""Windows and watermarks: which windows there are, which an observation touches, and when one is complete.

Inside the engine a moment is a whole minute since 1970 UTC, so that windows are integers and sets of them arrays.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from pulso.errors import ConfigurationError
from pulso.model import EPOCH, Window

Ints = NDArray[np.int64]

HOUR = 60
_MINUTE = timedelta(minutes=1)


def to_minute(moment: datetime) -> int:
    """The minute that contains `moment`, since 1970 UTC."""
    return (moment - EPOCH) // _MINUTE


def from_minute(minute: int) -> datetime:
    """The UTC datetime at which a minute begins."""
    return EPOCH + int(minute) * _MINUTE


def local_phase(timezone: ZoneInfo) -> int:
    """Minutes past the UTC hour at which the local hour begins: 0 nearly everywhere, 30 in India, 15 in Nepal.

    Zones that keep or drop daylight saving by whole hours keep their phase, which is what windows are aligned by.
    """
    offset = datetime(2026, 1, 1, tzinfo=UTC).astimezone(timezone).utcoffset() or timedelta()
    return -(offset // _MINUTE) % HOUR


@dataclass(frozen=True, slots=True)
class SlidingWindows:
    """Windows [end - length, end), one every `step`, at `phase` past the hour; tumbling when step == length.

    All in minutes. `step` divides the hour, so that windows keep to the local clock through daylight saving.
    """

    length: int
    step: int
    phase: int = 0

    def __post_init__(self) -> None:
        if self.step < 1 or HOUR % self.step:
            raise ConfigurationError(f"a window step of {self.step} min does not divide the hour")
        if self.length < self.step or self.length % self.step:
            raise ConfigurationError(f"window length {self.length} min is not a multiple of its step {self.step} min")

    def window(self, end: int) -> Window:
        """The window that ends there."""
        return Window(from_minute(end - self.length), from_minute(end))

    def end_after(self, minute: int) -> int:
        """End of the oldest window that is not over at the beginning of `minute`: the live one, if that is now."""
        return minute - (minute - self.phase) % self.step + self.step

    def assign(self, minute: int) -> list[Window]:
        """The windows that contain `minute`, oldest first."""
        first = self.end_after(minute)
        return [self.window(end) for end in range(first, minute + self.length + 1, self.step)]

    def ends_touching(self, minutes: Ints, reach: int = 0) -> Ints:
        """Ends of the windows that contain any of `minutes`, or have one within `reach` of either side; ascending."""
        oldest = minutes - reach - (minutes - reach - self.phase) % self.step + self.step
        ends = oldest[:, None] + np.arange(0, self.length + 2 * reach + self.step, self.step)
        return np.unique(ends[ends <= (minutes + self.length + reach)[:, None]])

    def ends_opened(self, before: "Horizon", now: "Horizon") -> Ints:
        """Ends of the windows that hold data already and that begin to be shown as the horizon moves on.

        A window is shown from the moment its last step has begun: until then the window before it says the same with
        more behind it.
        """
        if before.newest is None or before.shown is None or now.shown is None:
            return np.empty(0, np.int64)
        first = self.end_after(before.shown) + self.step
        last = min(self.end_after(now.shown), self.end_after(before.newest) + self.length - self.step)
        return np.arange(first, last + 1, self.step)


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far a family has come: its `newest` minute, and the minute up to which windows are shown.

    `shown` does not go beyond the present: a sensor whose clock is ahead opens no window before its time.
    """

    newest: int | None = None
    shown: int | None = None

    @staticmethod
    def of(newest: int | None, present: int) -> "Horizon":
        """The horizon at the minute `present`."""
        return Horizon(newest, None if newest is None else min(newest, present))


def watermark(newest: Ints, heard: Ints, patience: Ints, now: int) -> int | None:
    """Up to when things are believed to have told everything; None if none was ever heard.

    Arrays with one element per thing, in microseconds: `newest` event time, `heard` processing time of the last
    observation, `patience` how long the thing may be silent. It is the smallest `newest` over the things that are
    neither idle (silent for longer than their patience) nor straggling (their own time is further than that behind
    the newest of all, as with a clock that is wrong): neither may freeze a city's indicators. When all are idle,
    processing time takes over.
    """
    if not len(newest):
        return None
    idle = now - heard > patience
    if idle.all():
        return max(int(newest.max()), now - int(patience.max()))
    straggling = newest.max() - newest > patience
    return int(newest[~idle & ~straggling].min(initial=int(newest.max())))


def chunks(ends: Ints, most: int, span: int) -> Iterable[Ints]:
    """Cut ascending `ends` into runs of at most `most` ends that lie within `span` minutes of each other."""
    while len(ends):
        size = min(most, int(np.searchsorted(ends, ends[0] + span, side="right")))
        yield ends[:size]
        ends = ends[size:]
