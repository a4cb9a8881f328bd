"""Time stamps as messages write them, to microseconds since 1970 UTC."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, tzinfo
from email.utils import parsedate_to_datetime
from typing import Final

from ingest.measured import as_number, quoted
from pulso.errors import DecodeError, RejectReason
from pulso.model import to_micros

EPOCHS: Final = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1, "epoch_ns": 0.001}
"""Microseconds of one unit of the epoch formats."""

FORMATS = ("auto", "iso", *EPOCHS)

_LONGEST = 64  # characters of a time
_EARLIEST, _LATEST = 946_684_800_000_000, 4_102_444_800_000_000  # 2000 and 2100: where an epoch's unit is told by
_HEX = re.compile(r"0[xX][0-9A-Fa-f]{1,16}")
_LONG_FRACTION = re.compile(r"(\.\d{6})\d+")
_ZONE_NAME = re.compile(r"(Z|[+-]\d\d:?\d\d)\[[^\[\]]{1,40}\]\Z")  # as Java writes it behind the offset
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:[Tt ]\s*(\d{1,2}:.+))?")
_SHORT_HOUR = re.compile(r"\A(?=\d:)")
_SAYS_UTC = re.compile(r"\b(?:UTC|GMT)\b")
_MAIL = re.compile(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} [\d:]{5,8} (?:GMT|UTC|[+-]\d{4})")  # RFC 5322, HTTP
_DOTNET = re.compile(r"/Date\((\d{9,16})(?:[+-]\d{4})?\)/")
_DIGITS_ALONE = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)")
_OFFSET_APART = re.compile(r"(?<=\d) (?=[+-]\d\d:?\d\d\Z)")
_UTC = re.compile(r"(?<=\d)(?: ?(?:UTC|GMT)|z)\Z")
_DATE_WORDS = (("%Y", "%y"), ("%m", "%b", "%B", "%j"), ("%d", "%j"))


def check_format(text: str) -> str:
    """`text` if it is a format of times. Raises ValueError."""
    if text in FORMATS:
        return text
    if "%" not in text:
        raise ValueError(f"{text!r} is not one of {', '.join(FORMATS)}, nor a pattern like '%d.%m.%Y %H:%M'")
    if "%s" in text:
        raise ValueError("%s is not understood; for seconds since 1970 write epoch_s")
    if not any(word in text for word in ("%c", "%x", "%G")) and not all(
        any(word in text for word in words) for words in _DATE_WORDS
    ):
        raise ValueError(f"{text!r} does not tell year, month and day")
    try:
        datetime.strptime(datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC).strftime(text), text)  # noqa: DTZ007 (a trial)
    except (ValueError, re.error) as error:
        raise ValueError(f"{text!r} is not a pattern of times: {error}") from None
    return text


def to_time(value: object, time_format: str, zone: tzinfo, since: date | None = None) -> int:
    """Microseconds since 1970 UTC; a time without a zone is on the clock of `zone`.

    A count (`epoch_…`) begins with the day `since`, 1970-01-01 if None, and may be written as `0x…`.

    `auto` takes ISO 8601 texts, with the end of an interval `start/end` and other signs between a year and what follows
    it, the fourteen digits of a day and its time, dates of mail and of .NET, and numbers of seconds, milliseconds,
    microseconds or nanoseconds since 1970, the unit of which their size tells.
    Raises DecodeError (impossible_timestamp).

    >>> to_time("2024-05-06 07:08:09.25Z", "auto", UTC) == to_time(1714979289250, "auto", UTC)
    True
    """
    if time_format in EPOCHS:
        start = 0 if since is None else to_micros(datetime.combine(since, time(), UTC))
        return start + _epoch(_number(value), EPOCHS[time_format])
    if time_format == "auto" and isinstance(value, str) and (dotnet := _DOTNET.fullmatch(value.strip())) is not None:
        return to_time(dotnet[1], "epoch_ms", zone)
    if time_format == "auto" and (number := as_number(value)) is not None and not isinstance(value, bool):
        digits = str(value) if isinstance(value, str | int) else ""
        if not _DIGITS_ALONE.fullmatch(digits):
            return _some_epoch(number, value)
        value = _DIGITS_ALONE.sub(r"\1-\2-\3T\4:\5:\6", digits)
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise _no_time(value)
    try:
        moment = _read(value.strip(), time_format)
        return to_micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))
    except (ValueError, OverflowError):
        raise _no_time(value, time_format) from None


def _read(text: str, time_format: str) -> datetime:
    if time_format not in ("auto", "iso"):
        moment = datetime.strptime(text, time_format)  # noqa: DTZ007 (its clock is that of the site)
        if "%Z" not in time_format or moment.tzinfo is not None:
            return moment
        if not _SAYS_UTC.search(text):  # strptime takes the names of this machine's zone as well, and tells no offset
            raise ValueError(text)
        return moment.replace(tzinfo=UTC)
    if time_format == "auto" and (mail := _MAIL.fullmatch(text)) is not None:
        moment = parsedate_to_datetime(mail[0])
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    start, stroke, end = text.partition("/")
    return _iso(end if stroke and "T" in start and end[:4].isdigit() else text)


def _iso(text: str) -> datetime:
    if text[4:5] == "-":  # as nearly all are written
        with suppress(ValueError):
            return datetime.fromisoformat(text)
    if text.isdigit() and len(text) < 8:
        raise ValueError(text)
    text = _OFFSET_APART.sub("", _UTC.sub("Z", _ZONE_NAME.sub(r"\1", text)))
    text = _LONG_FRACTION.sub(r"\1", text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        apart = _YEAR_FIRST.fullmatch(text)
        if apart is None:
            raise
    year, _, month, day, clock = apart.groups()
    return datetime.fromisoformat(
        f"{year}-{month:0>2}-{day:0>2}" + (f"T{_SHORT_HOUR.sub('0', clock)}" if clock else "")
    )


def _number(value: object) -> float:
    if isinstance(value, str) and _HEX.fullmatch(value):
        return int(value, 16)
    number = None if isinstance(value, bool) else as_number(value)
    if number is None:
        raise _no_time(value)
    return number


def _epoch(number: float, unit: float) -> int:
    micros = number * unit
    if not abs(micros) < 1e18:
        raise _no_time(number)
    return round(micros)


def _some_epoch(number: float, value: object) -> int:
    for unit in EPOCHS.values():
        micros = number * unit
        if _EARLIEST <= micros < _LATEST:
            return round(micros)
    raise _no_time(value)


def _no_time(value: object, time_format: str | None = None) -> DecodeError:
    """What to say; `time_format` is how a text was read."""
    hint = ""
    if time_format == "auto":
        hint = "; if it is one, give its format, such as '%d/%m/%Y %H:%M:%S'"
    elif time_format is not None:
        hint = f" as {time_format!r}"
    return DecodeError(RejectReason.IMPOSSIBLE_TIMESTAMP, f"{quoted(value)} is not a time we understand{hint}")
