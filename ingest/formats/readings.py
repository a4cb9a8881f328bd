"""What several decoders need to read values, names and times of one thing."""

import re
from datetime import UTC, datetime, tzinfo

from ingest.measured import as_number, measured
from ingest.message import DecodedObservation
from pulso.errors import DecodeError, RejectReason
from pulso.model import to_micros
from pulso.units import convert

_NO_READING = frozenset({"", "nan", "null", "none", "unknown", "unavailable", "n/a", "na", "-", "--"})
REFUSED_UNITS = frozenset({RejectReason.UNKNOWN_UNIT, RejectReason.UNIT_MISMATCH})
"""Why a reading is left out for the sake of the others in its message, which is kept if there are none."""

_LONGEST_SUFFIX = 16  # letters of one suffix of an observed property


class Readings:
    """The observations of one thing at one moment (`at`, microseconds since 1970 UTC; None: not told).

    The first reading of a property counts: who adds a second one gives it a suffix. A reading in a unit that nobody
    knows, or that its property cannot have, is left out for the sake of the others.
    """

    def __init__(self, at: int | None = None) -> None:
        self._at = at
        self._by_property: dict[str, DecodedObservation] = {}
        self._refused: DecodeError | None = None

    def __contains__(self, observed_property: str) -> bool:
        return observed_property in self._by_property

    @property
    def observations(self) -> list[DecodedObservation]:
        """What was added, in that order.

        Raises DecodeError (unknown_unit, unit_mismatch) if all that was added had to be left out for its unit.
        """
        if self._refused is not None and not self._by_property:
            raise self._refused
        return list(self._by_property.values())

    def add(self, observed_property: str, value: object, unit: str | None = None) -> None:
        """Add `value` in `unit`, by default the canonical one of the property, unless it says that there is no reading.

        Raises DecodeError (wrong_shape) for what is no number.
        """
        if is_no_reading(value) or observed_property in self._by_property:
            return
        try:
            observation = measured(observed_property, value, unit, at=self._at)
        except DecodeError as error:
            if error.reason not in REFUSED_UNITS:
                raise
            self._refused = error
            return
        if observation is not None:
            self._by_property[observed_property] = observation


def is_no_reading(value: object) -> bool:
    """Whether a value says that nothing was measured: null, a truth value, or a word like `unavailable`.

    >>> is_no_reading("NaN"), is_no_reading(None), is_no_reading(0), is_no_reading("0")
    (True, True, False, False)
    """
    return value is None or isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in _NO_READING)


def fits(observed_property: str, unit: str) -> bool:
    """Whether values in `unit` can be those of the property."""
    try:
        convert(observed_property, 1.0, unit)
    except DecodeError:
        return False
    return True


def as_suffix(name: str) -> str:
    """A name as the suffix of an observed property: its lower-case letters and digits, 16 at most.

    >>> as_suffix("BME280-76"), as_suffix("Salón")
    ('bme28076', 'saln')
    """
    return re.sub(r"[^a-z0-9]", "", name[:200].lower())[:_LONGEST_SUFFIX]


def as_table(value: object, what: str) -> dict[str, object]:
    """`value` if it is a JSON object. Raises DecodeError (wrong_shape)."""
    if not isinstance(value, dict):
        raise DecodeError(RejectReason.WRONG_SHAPE, f"{what} is not a JSON object")
    return value


def as_text(value: object) -> str | None:
    """`value` if it is a text that says something, and that a database can keep."""
    return value if isinstance(value, str) and value.strip() and "\x00" not in value else None


def moment(text: str, timezone: tzinfo) -> int:
    """Microseconds since 1970 UTC of an ISO 8601 time; `timezone` is the clock of one without a zone.

    Raises DecodeError (wrong_shape).
    """
    try:
        told = datetime.fromisoformat(text.strip()[:64])
        return to_micros((told if told.tzinfo else told.replace(tzinfo=timezone)).astimezone(UTC))
    except (ValueError, OverflowError):
        raise DecodeError(RejectReason.WRONG_SHAPE, f"{text[:64]!r} is not an ISO 8601 time") from None


def epoch_moment(value: object, *, per_second: int) -> int:
    """Microseconds since 1970 UTC of a count since then: of seconds, or of `per_second` parts of one.

    Raises DecodeError (wrong_shape, impossible_timestamp).
    """
    number = as_number(value)
    if number is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, f"the time {str(value)[:80]!r} is not a number")
    if not 0 <= number / per_second < 1e11:  # the year 5138
        raise DecodeError(RejectReason.IMPOSSIBLE_TIMESTAMP, f"the time {number:g} cannot be")
    return round(number * 1_000_000 / per_second)
