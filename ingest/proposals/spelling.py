"""How messages spell numbers and times, told from one example: for proposals, which a person looks at."""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from ingest.mapping.times import to_time
from ingest.measured import as_number
from pulso.errors import DecodeError
from pulso.units import unit_code

_NUMBER = re.compile(r"([+-]?(?:\d{1,3}(?:\.\d{3})+,\d+|\d+(?:[.,]\d+)?))\s*([^\s\d.,;:/-][^\d;:]{0,15})?")
_LONGEST = 40
_DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y-%m-%d", "%d/%m/%y", "%m/%d/%y")
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S.%f")
_FORMATS = (*(f"{day} {clock}" for day in _DAYS for clock in _CLOCKS), "%Y%m%d%H%M%S", "%d-%b-%Y %H:%M:%S")
_EARLIEST, _LATEST = 946_684_800_000_000, 4_102_444_800_000_000  # 2000 and 2100


class Spelled(NamedTuple):
    """A number as a message has it. `unit` is the text behind it; `has_comma`: its decimal sign is a comma."""

    number: float
    unit: str | None = None
    has_comma: bool = False


def spelled(value: object) -> Spelled | None:
    """The number that a value is or spells; None if it is something else.

    >>> spelled("23,5 °C"), spelled("1.234,5"), spelled("12 AB-3"), spelled(True)
    (Spelled(number=23.5, unit='°C', has_comma=True), Spelled(number=1234.5, unit=None, has_comma=True), None, None)
    """
    if isinstance(value, bool):
        return None
    number = as_number(value)
    if number is not None:
        return Spelled(number)
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    found = _NUMBER.fullmatch(value.strip())
    if found is None:
        return None
    digits, unit = found[1], found[2]
    if unit is not None and unit_code(unit.strip()) is None:
        return None
    has_comma = "," in digits
    plain = digits.replace(".", "").replace(",", ".") if has_comma else digits
    return Spelled(float(plain), unit and unit.strip(), has_comma)


def time_format(text: str, near: int) -> str | None:
    """The format of a time without saying so: `auto`, or a pattern; None if it is no time.

    Where more than one fits, as with 04/05/2026, it is the one that comes out nearest to `near` (microseconds).

    >>> time_format("04/05/2026 07:00:00", 1777878000_000_000), time_format("2026-05-04T07:00Z", 0)
    ('%d/%m/%Y %H:%M:%S', 'auto')
    """
    fitting = {each: moment for each in ("auto", *_FORMATS) if (moment := _moment(text, each)) is not None}
    return "auto" if "auto" in fitting else min(fitting, key=lambda each: abs(fitting[each] - near), default=None)


def _moment(text: str, how: str) -> int | None:
    try:
        moment = to_time(text, how, UTC)
    except DecodeError:
        return None
    return moment if _EARLIEST <= moment < _LATEST else None


def is_clock(text: str) -> bool:
    """Whether this is a time of day without a day."""
    return any(_fits(text, clock) for clock in _CLOCKS)


def is_day(text: str) -> bool:
    """Whether this is a day without a time of day."""
    return any(_fits(text, day) for day in _DAYS)


def _fits(text: str, how: str) -> bool:
    try:
        datetime.strptime(text.strip(), how)  # noqa: DTZ007 (a trial)
    except ValueError:
        return False
    return True
