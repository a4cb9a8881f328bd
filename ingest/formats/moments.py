"""Points in time as messages write them, in microseconds since 1970 UTC."""

import re
from datetime import datetime, timedelta, timezone, tzinfo

from pulso.model import to_micros

_LONGEST = 64
_ISO = re.compile(r"\d{4}-?\d\d-?\d\d[Tt ]\d\d.*")
_DIGITS = re.compile(r"(\.\d{6})\d+")


def iso_datetime(text: object) -> datetime | None:
    """The moment that ISO 8601 text tells, aware or not as it is written; None for anything else.

    A date alone is no moment. Digits beyond the microsecond are dropped.

    >>> iso_datetime("2026-11-22T18:00:00.123456789Z")
    datetime.datetime(2026, 11, 22, 18, 0, 0, 123456, tzinfo=datetime.timezone.utc)
    >>> iso_datetime("2026-11-22") is None
    True
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    text = text.strip()
    if not _ISO.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(_DIGITS.sub(r"\1", text.upper()))
    except ValueError:
        return None


def iso_moment(text: object, zone: tzinfo) -> int | None:
    """Microseconds of ISO 8601 text; a time without a zone is the wall clock of `zone`. None for anything else."""
    moment = iso_datetime(text)
    return None if moment is None else in_micros(moment, zone)


def interval_end(text: object, zone: tzinfo) -> int | None:
    """Microseconds of ISO 8601 text; the end where it is an interval `start/end`."""
    if isinstance(text, str) and len(text) <= 2 * _LONGEST and "/" in text:
        return iso_moment(text.rpartition("/")[2], zone)
    return iso_moment(text, zone)


def in_micros(moment: datetime, zone: tzinfo) -> int:
    """Microseconds of a moment; one without a zone is the wall clock of `zone`."""
    return to_micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))


def offset(hours: int) -> tzinfo:
    """The clock that is `hours` ahead of UTC."""
    return timezone(timedelta(hours=hours))
