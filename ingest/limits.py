"""What an observation has to keep to, whoever sent it: numbers that can be, times that can be, units that fit."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from ingest.message import LARGEST_RESULT, DecodedObservation, Reported
from pulso.errors import DecodeError, RejectReason
from pulso.model import to_micros
from pulso.units import canonical_units

EARLIEST = to_micros(datetime(2000, 1, 1, tzinfo=UTC))
LONGEST_ID = 200
_MOST_OFFSET = 14  # hours between UTC and any time zone
_NEARLY = 180  # seconds
_ID = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ADMITTED_PROPERTY = re.compile(r"[a-z][a-z0-9_]{0,62}")


def check_thing(external_id: str) -> None:
    """Raise DecodeError (wrong_shape) for a thing id that is empty, too long or not printable."""
    if not _ID.fullmatch(external_id):
        raise DecodeError(
            RejectReason.WRONG_SHAPE,
            f"thing id {external_id[:80]!r}: 1 to {LONGEST_ID} characters, no control characters",
        )


def check_observations(observations: Sequence[DecodedObservation], received_at: int, max_ahead: int) -> None:
    """Raise DecodeError for a result or a time that cannot be. Times and `max_ahead` in microseconds."""
    latest = received_at + max_ahead
    for name, result, _, phenomenon_time, result_time, _, _ in observations:
        if not -LARGEST_RESULT <= result <= LARGEST_RESULT:  # also NaN
            raise DecodeError(RejectReason.IMPOSSIBLE_RESULT, f"{name} of {result:g}")
        if phenomenon_time is not None and not EARLIEST <= phenomenon_time <= latest:
            raise _bad_time("phenomenon time", phenomenon_time, received_at)
        if result_time is not None and not EARLIEST <= result_time <= latest:
            raise _bad_time("result time", result_time, received_at)


def admitted_unit(thing: Reported, observation: DecodedObservation) -> str:
    """The unit a datastream of this observation has.

    Raises DecodeError for an unknown property or a unit it is not kept in; a mapping may admit a property of its own by
    stating its unit.
    """
    name, stated = observation.observed_property, observation.unit
    admitted = canonical_units(name)
    if admitted is None:
        if thing.admits and stated is not None and _ADMITTED_PROPERTY.fullmatch(name):
            return stated
        raise DecodeError(RejectReason.UNKNOWN_PROPERTY, f"no observed property {name[:80]!r}")
    unit = stated or admitted[0]
    if unit not in admitted:
        raise DecodeError(RejectReason.UNIT_MISMATCH, f"{name} is kept in {' or '.join(admitted)}, not {unit[:80]}")
    return unit


def storable(text: str) -> str:
    """`text` with what PostgreSQL's text cannot hold (NUL, lone surrogates) written out.

    >>> storable("a\\x00b")
    'a\\\\u0000b'
    """
    return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _bad_time(name: str, at: int, received_at: int) -> DecodeError:
    if at < EARLIEST:
        return DecodeError(RejectReason.IMPOSSIBLE_TIMESTAMP, f"{name} is before 2000")
    ahead = (at - received_at) / 1e6
    hours = round(ahead / 3600)
    is_whole = 1 <= hours <= _MOST_OFFSET and abs(ahead - 3600 * hours) < _NEARLY
    hint = f", nearly {hours} h: is it in another time zone, or in summer time?" if is_whole else ""
    return DecodeError(RejectReason.FUTURE_TIMESTAMP, f"{name} is {ahead:.0f} s ahead of receipt{hint}")
