"""From what stands in a message to an observation: numbers read from text, units converted, nothing guessed."""

import math
import re

from ingest.message import DecodedObservation
from pulso.errors import DecodeError, RejectReason
from pulso.units import convert

_LONGEST = 64  # characters of a number written as text
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")


def quoted(value: object) -> str:
    """A value as an error may quote it: not what lists and objects hold, which may be personal.

    >>> quoted("12,5"), quoted(["AB-12", 7])
    ("'12,5'", 'a list')
    """
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return repr(str(value)[:80])


def as_number(value: object) -> float | None:
    """The number that `value` is or spells; booleans are 1 and 0; None if it is no finite number.

    >>> as_number(" 83.26 "), as_number(True), as_number("2799 mm"), as_number("nan"), as_number(10**400)
    (83.26, 1.0, None, None, None)
    """
    if isinstance(value, str):
        text = value.strip() if len(value) <= _LONGEST else ""
        return finite(float(text)) if _NUMBER.fullmatch(text) else None
    if isinstance(value, int | float):
        try:
            return finite(float(value))
        except OverflowError:
            return None
    return None


def finite(number: float) -> float | None:
    """`number`, or None if it is infinite or not a number."""
    return number if math.isfinite(number) else None


def measured(
    observed_property: str,
    value: object,
    unit: str | None = None,
    *,
    at: int | None = None,
    result_time: int | None = None,
) -> DecodedObservation | None:
    """An observation of `value` in `unit`, as the message spells both; None if `value` is null: there was no reading.

    `unit` None: the message does not state it and the format defines the canonical one. `at`, `result_time` in
    microseconds since 1970 UTC. Raises DecodeError (wrong_shape) for a value that is no number, (unknown_unit,
    unit_mismatch) for a unit that is unknown or impossible for the property.
    """
    if value is None:
        return None
    number = as_number(value)
    if number is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, f"{observed_property}: {str(value)[:80]!r} is not a number")
    if unit is None:
        return DecodedObservation(observed_property, number, None, at, result_time)
    converted = convert(observed_property, number, unit)
    return DecodedObservation(
        observed_property,
        converted.result,
        converted.unit,
        at,
        result_time,
        converted.sent_result,
        converted.sent_unit,
    )
