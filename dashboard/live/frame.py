"""What is pushed: frames of JSON, every time in milliseconds since 1970-01-01T00:00Z."""

from datetime import datetime
from enum import StrEnum

import msgspec

from pulso.model import EPOCH


class CellState(StrEnum):
    """Whether a value may be shown."""

    OK = "ok"
    STALE = "stale"
    INSUFFICIENT = "insufficient"
    NONE = "none"


class _Part(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A part of a frame; what is not said is None, 0 or false."""


class Cell(_Part, frozen=True):
    """What is to be shown for one KPI and zone.

    `value` in the unit of the definition, rounded to its decimals; absent unless `state` is ok. `last` is the value
    that was shown before it went stale. `difference` to the value `trend` earlier. `coverage` 0 to 1.
    """

    kpi: str
    zone: str
    state: CellState
    value: float | None = None
    last: float | None = None
    band: str | None = None
    coverage: float | None = None
    status: str | None = None
    window_end: int | None = None
    observed_until: int | None = None
    difference: float | None = None
    note: str | None = None


class Activity(_Part, frozen=True):
    """What one family of things is doing. `worst` is the worst band any district is in, `zones` how many are."""

    family: str
    things: int
    reporting: int
    per_minute: int
    last_seen: int | None = None
    worst: str | None = None
    zones: int = 0
    zone: str | None = None


class Incident(_Part, frozen=True):
    """A district whose value lies in a bad band; `since` may reach back one day."""

    kpi: str
    zone: str
    band: str
    value: float
    since: int | None = None


class Frame(_Part, frozen=True):
    """One event. With `reset` it is the whole state; without, what changed, and lists that are absent did not.

    `delay` is the age of the newest stored observation in milliseconds, None if there is none.
    `points` are the (window end, value) pairs of the city's sparklines.
    """

    sequence: int
    now: int
    build: str
    reset: bool = False
    database_away_since: int | None = None
    delay: int | None = None
    cells: tuple[Cell, ...] = ()
    points: dict[str, tuple[tuple[int, float | None], ...]] = {}
    families: tuple[Activity, ...] | None = None
    incidents: tuple[Incident, ...] | None = None


def millis(moment: datetime) -> int:
    """Milliseconds since 1970-01-01T00:00Z of an aware datetime."""
    return round((moment - EPOCH).total_seconds() * 1000)


_encoder = msgspec.json.Encoder()


def encode(frame: Frame) -> bytes:
    """One server-sent event (HTML Standard, section 9.2.5): JSON has no line breaks, so one data line is enough."""
    return b"event: frame\nid: %d\ndata: %b\n\n" % (frame.sequence, _encoder.encode(frame))
