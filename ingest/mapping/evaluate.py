"""Evaluation of compiled tables on one record: conditions, texts, times, observations. Raises DecodeError only."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from ingest.mapping.paths import MISSING
from ingest.mapping.patterns import LONGEST_TEXT, Pattern
from ingest.mapping.scope import Scope
from ingest.mapping.tables import (
    THOUSANDS,
    Condition,
    Coordinate,
    NumberFrom,
    Observation,
    Position,
    Scalar,
    Taken,
    Template,
    Test,
    TextFrom,
    TimeFrom,
)
from ingest.mapping.times import to_time
from ingest.measured import as_number, measured, quoted
from ingest.message import DecodedObservation
from ingest.privacy import is_personal
from ingest.vocabulary import meaning
from pulso.errors import DecodeError, RejectReason
from pulso.units import canonical_units

MOST_OBSERVATIONS = 20_000
"""Observations that one message may come to."""

MOST_ATTEMPTS = 100_000
"""Values of one message that are looked at, found or not."""

NO_DATA = frozenset({"", "-", "--", "nan", "n/a", "na", "null", "none", "nil", "unknown", "unavailable", "undefined"})
"""Texts, in any case, that say that there is no reading."""

_NUMBER_AND_UNIT = re.compile(
    r"\s*+([+-]?(?:\d{1,3}(?:\.\d{3})++,\d*+|\d++(?:[.,]\d*+)?|[.,]\d++)(?:[eE][+-]?\d{1,3})?)\s*+(\S.*+)?", re.DOTALL
)
_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d*)?")
_HEX = re.compile(r"(?:0[xX])?[0-9A-Fa-f]{1,16}")
_GROUPED = re.compile(r"[+-]?\d{1,3}([ ,'])\d{3}(?:\1\d{3})*+(?![\d])(?:[.,]\d++)?")
_LONGEST_TEXT = 64
_LONGEST_SPAN = 4e9  # seconds; more than a century
_MOST_DIGITS = 18  # of a power of ten
_LONGEST_UNIT = 32


@dataclass(slots=True)
class Tally:
    """What became of the values a mapping or a profile asks for."""

    count: int = 0
    attempts: int = 0
    understood: bool = False  # a value was there, and was no reading or was not asked for
    missing: list[str] = field(default_factory=list)

    def attempt(self) -> None:
        """One more value is looked at. Raises DecodeError (too_large)."""
        self.attempts += 1
        if self.attempts > MOST_ATTEMPTS:
            raise DecodeError(RejectReason.TOO_LARGE, f"more than {MOST_ATTEMPTS} values to look at in one message")

    def add(self) -> None:
        """One more observation. Raises DecodeError (too_large)."""
        self.count += 1
        if self.count > MOST_OBSERVATIONS:
            raise DecodeError(RejectReason.TOO_LARGE, f"more than {MOST_OBSERVATIONS} observations in one message")

    def miss(self, what: str) -> None:
        """A value that is not in the message; the first ones are named when nothing else is."""
        if len(self.missing) < 12 and what not in self.missing:
            self.missing.append(what)


# --- conditions ------------------------------------------------------------------------------------------------------


def holds(condition: Condition, scope: Scope) -> bool:
    """Whether the condition is met. Raises DecodeError."""
    if condition.expression is not None:
        found = scope.find(condition.expression)
        return found is not MISSING and found is not None and found is not False and found not in ("", [], {})
    return all(
        _passes(test, scope.parts.get(operand, MISSING) if isinstance(operand, str) else scope.find(operand))
        for operand, test in condition.tests
    )


def _passes(test: Test, value: object) -> bool:
    present = value is not MISSING and value is not None
    if test.exists is not None and test.exists is not present:
        return False
    if test.one_of is not None and not _is_one(value, test.one_of):
        return False
    if test.none_of is not None and _is_one(value, test.none_of):
        return False
    limits = (test.above, test.at_least, test.below, test.at_most)
    if limits == (None, None, None, None):
        return True
    number = as_number(value)
    if number is None:
        return False
    above, at_least, below, at_most = limits
    return (
        (above is None or number > above)
        and (at_least is None or number >= at_least)
        and (below is None or number < below)
        and (at_most is None or number <= at_most)
    )


def _is_one(value: object, wanted: Sequence[Scalar]) -> bool:
    """Equality that keeps true apart from 1, and compares numbers as numbers."""
    return any(value == each and isinstance(value, bool) is isinstance(each, bool) for each in wanted)


# --- texts -----------------------------------------------------------------------------------------------------------


def as_text(value: object) -> str | None:
    """A value as a text: whole numbers without a point, yes and no as true and false; None for lists and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 63 else None
    return None


def take(taken: Taken, scope: Scope) -> object:
    """What stands at the path or in the part; MISSING if there is no such."""
    if taken.path is not None:
        return scope.find(taken.path)
    return MISSING if taken.part is None else scope.parts.get(taken.part, MISSING)


def text_of(source: TextFrom, scope: Scope) -> str | None:
    """The text; None if the message does not tell it. Raises DecodeError."""
    if source.fixed is not None:
        return _filled(source.fixed, scope)
    text = _matched(source.pattern, as_text(take(source, scope)))
    if text is None:
        return source.otherwise
    if source.values:
        return source.values.get(text, source.otherwise)
    return text


def _filled(template: Template, scope: Scope) -> str | None:
    pieces: list[str] = []
    for piece in template.pieces:
        if isinstance(piece, str):
            pieces.append(piece)
            continue
        found = scope.parts[piece.text] if piece.text in scope.parts else as_text(scope.find(piece))
        if found is None:
            return None
        pieces.append(found)
    return "".join(pieces)


def _matched(pattern: Pattern | None, text: str | None) -> str | None:
    if pattern is None or text is None:
        return text
    found = pattern.search(text)
    if found is None:
        return None
    return found[1] if pattern.expression.groups else found[0]


# --- times and places ------------------------------------------------------------------------------------------------


def time_of(source: TimeFrom, scope: Scope, zone: tzinfo) -> int | None:
    """Microseconds since 1970 UTC; None if the message does not tell it.

    Raises DecodeError (wrong_shape) if it has to, (impossible_timestamp) for what is no time.
    """
    found = take(source, scope)
    if source.pattern is not None:
        found = _matched(source.pattern, as_text(found))
    if found is MISSING or found is None or found == "":
        if source.required:
            raise DecodeError(RejectReason.WRONG_SHAPE, f"no time at {_named(source)}")
        return None
    return to_time(found, source.format, source.timezone or zone, source.since) + _stepped(source, scope)


def _stepped(source: TimeFrom, scope: Scope) -> int:
    """Microseconds from the time of a list to that of one of its records. Raises DecodeError (wrong_shape)."""
    if source.step is None or source.steps is None:
        return 0
    step = source.step.fixed if source.step.fixed is not None else as_number(take(source.step, scope))
    count = as_number(scope.parts.get(source.steps, ""))
    if step is None or count is None or not abs(step * count) <= _LONGEST_SPAN:
        raise DecodeError(RejectReason.WRONG_SHAPE, f"no seconds between the records at {_named(source.step)}")
    return round(step * count * 1_000_000)


def place_of(position: Position, scope: Scope) -> tuple[float, float] | None:
    """(latitude, longitude) in degrees; None where the message tells none that can be."""
    latitude, longitude = _degrees(position.latitude, scope), _degrees(position.longitude, scope)
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return None if latitude == longitude == 0 else (latitude, longitude)


def _degrees(coordinate: Coordinate, scope: Scope) -> float | None:
    return as_number(take(coordinate, scope)) if coordinate.fixed is None else coordinate.fixed


# --- observations ----------------------------------------------------------------------------------------------------


def observe(table: Observation, scope: Scope, at: int | None, tally: Tally) -> DecodedObservation | None:
    """One observation of a record; None if there is none. Raises DecodeError."""
    tally.attempt()
    if table.when is not None and not holds(table.when, scope):
        tally.understood = True
        return None
    fixed = table.value.fixed
    value: object = take(table.value, scope) if fixed is None else fixed
    if value is MISSING:
        tally.miss(_named(table.value))
        if table.required:
            raise DecodeError(RejectReason.WRONG_SHAPE, f"no value at {_named(table.value)}")
        return None
    chosen = _property(table, scope)
    if chosen is None:
        tally.understood = True
        return None
    observed_property, unit = chosen
    read = _read(table, observed_property, value, unit)
    if read is None:
        tally.understood = True
        return None
    number, unit = read
    reckoned = _reckoned(table, observed_property, number, scope)
    result = measured(observed_property, reckoned, unit, at=at)
    if result is not None and reckoned != number:
        result = result._replace(sent_result=number)
    tally.add()
    return result


def _reckoned(table: Observation, observed_property: str, number: float, scope: Scope) -> float:
    """(number - minus) × scale × factor / divisor × 10^exponent + offset. Raises DecodeError (wrong_shape).

    What is missing or null counts for nothing, as does a factor or divisor of 0.
    """
    beside = (
        None if source is None else _number_beside(table, observed_property, source, scope)
        for source in (table.minus, table.factor, table.divisor, table.exponent)
    )
    minus, factor, divisor, exponent = beside
    if minus is not None:
        number -= minus
    number *= table.scale
    number = number * (factor or 1.0) / (divisor or 1.0)
    if exponent:
        if not abs(exponent) <= _MOST_DIGITS or not exponent.is_integer():
            raise DecodeError(RejectReason.WRONG_SHAPE, f"{observed_property}: {exponent:g} is no power of ten")
        number = number * 10.0**exponent if exponent > 0 else number / 10.0**-exponent
    return number + table.offset


def _number_beside(table: Observation, observed_property: str, source: NumberFrom, scope: Scope) -> float | None:
    value: object = take(source, scope) if source.fixed is None else source.fixed
    if value is MISSING or value is None:
        return None
    number = _from_hex(value, signed_bits=None) if table.hex and isinstance(value, str) else as_number(value)
    if number is None:
        raise DecodeError(
            RejectReason.WRONG_SHAPE, f"{observed_property}: {quoted(value)} at {_named(source)} is not a number"
        )
    return number


def _from_hex(text: str, *, signed_bits: int | None) -> float | None:
    """The whole number of hexadecimal digits, with or without 0x; `signed_bits`: it is one in two's complement."""
    if not _HEX.fullmatch(text.strip()):
        return None
    number = int(text.strip(), 16)
    if signed_bits is not None:
        if number >= 1 << signed_bits:
            return None
        number -= (number >> (signed_bits - 1)) << signed_bits
    return float(number)


def _property(table: Observation, scope: Scope) -> tuple[str, str | None] | None:
    """Property and unit; None if the message tells a property that is not asked for."""
    source = table.property
    if source.fixed is not None:
        return source.fixed, None if table.unit is None else text_of(table.unit, scope)
    text = _matched(source.pattern, as_text(take(source, scope)))
    if text is None or (not source.values and is_personal(text)):
        return None
    if source.values:
        chosen = source.values.get(text)
        if chosen is None:
            return None
        return chosen.property, chosen.unit if table.unit is None else text_of(table.unit, scope)
    unit = None if table.unit is None else text_of(table.unit, scope)
    admitted = canonical_units(text)
    if admitted is not None:
        return text, unit if unit is not None or len(admitted) == 1 else None
    known = meaning(text, unit)
    return None if known is None or not known.certain else (known.observed_property, known.unit or unit)


def _read(
    table: Observation, observed_property: str, value: object, unit: str | None
) -> tuple[float, str | None] | None:
    """The number and its unit as sent; None where it is no reading. Raises DecodeError (wrong_shape)."""
    if value is None or _is_no_reading(table.no_reading, value):
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in NO_DATA and text not in table.values:
            return None
        value, unit = _from_text(table, text, unit)
        if table.hex and isinstance(value, str):
            value = _from_hex(value, signed_bits=None if isinstance(table.hex, bool) else table.hex)
        if value is None:
            raise _no_number(observed_property, text)
    elif table.values:
        value = table.values.get(as_text(value) or "", value)
    number = as_number(value)
    if number is None and not isinstance(value, float):
        raise _no_number(observed_property, value)
    if number is None or _is_no_reading(table.no_reading, number):
        return None  # CBOR and MessagePack can write infinity and "not a number"
    is_outside = table.range is not None and not table.range[0] <= number <= table.range[1]
    return None if is_outside else (number, unit)


def _from_text(table: Observation, text: str, unit: str | None) -> tuple[object, str | None]:
    """The number a text spells, as a number or as a text, and the unit beside it; None if there is none."""
    if text in table.values:
        return table.values[text], unit
    if table.thousands is not None and len(text) <= LONGEST_TEXT:
        text = re.sub(rf"(?<=\d)[{THOUSANDS[table.thousands]}](?=\d{{3}}(?!\d))", "", text)
    split = _by_pattern(table.pattern, text) if table.pattern is not None else (text, None)
    if table.leading_number:
        split = _number_and_unit(text)
    if split is None:
        return None, unit
    number, beside = split
    if number in table.values:
        return table.values[number], beside or unit
    if table.decimal_comma:
        if not _COMMA.fullmatch(number[:_LONGEST_TEXT]):
            return None, unit
        number = number.replace(".", "").replace(",", ".")
    return number, beside or unit


def _by_pattern(pattern: Pattern, text: str) -> tuple[str, str | None] | None:
    """What the group (or the groups `value` and `unit`) of a pattern hold; None if it does not fit."""
    found = pattern.search(text)
    if found is None:
        return None
    named = found.groupdict()
    return ((named["value"] if "value" in named else found[1]) or "").strip(), named.get("unit") or None


def _number_and_unit(text: str) -> tuple[str, str | None] | None:
    """`2799 mm` in its two parts; None if it does not begin with a number."""
    split = _NUMBER_AND_UNIT.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    beside = "" if split is None else (split[2] or "").strip()
    return None if split is None or len(beside) > _LONGEST_UNIT else (split[1], beside or None)


def _is_no_reading(no_reading: Sequence[Scalar], value: object) -> bool:
    return bool(no_reading) and _is_one(value, no_reading)


def _no_number(observed_property: str, value: object) -> DecodeError:
    """What to say, and which key of the mapping language would read it, if one would."""
    keys: list[str] = []
    split = _number_and_unit(value) if isinstance(value, str) else None
    if split is not None:
        keys += ["leading_number = true"] if split[1] else []
        keys += ["decimal_comma = true"] if "," in split[0] else []
    if isinstance(value, str) and (grouped := _GROUPED.match(value)) is not None:
        keys = [
            f"thousands = {json.dumps(grouped[1])}",
            *(["leading_number = true"] if grouped.end() < len(value) else []),
        ]
        keys += ["decimal_comma = true"] if grouped[1] == " " and "," in value else []
    elif isinstance(value, str) and value.isalpha() and len(value) <= _LONGEST_UNIT:
        text = json.dumps(value, ensure_ascii=False)
        keys = [
            f"no_reading = [{text}] if it says that there is none, values = {{ {text} = … }} if it stands for a number"
        ]
    hint = f"; to read it: {' and '.join(keys)}" if keys else ""
    return DecodeError(RejectReason.WRONG_SHAPE, f"{observed_property}: {quoted(value)} is not a number{hint}")


def _named(taken: Taken) -> str:
    return f"{taken.path.text}" if taken.path is not None else f"{{{taken.part}}}"
