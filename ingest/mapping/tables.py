"""The tables of the mapping language, as they are written in TOML, checked and compiled when they are loaded.

A short form stands for the table that is used most: `value = "data.temp"` for `value = { path = "data.temp" }`,
`property = "speed"` for `property = { fixed = "speed" }`. docs/reference/mapping.md explains every key.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from ingest.mapping.paths import Path, parse_path
from ingest.mapping.patterns import Pattern, compile_pattern
from ingest.mapping.times import EPOCHS, check_format
from ingest.mapping.topics import TopicPattern, parse_filter, parse_topic
from pulso.model import Family

Scalar = bool | int | float | str

THOUSANDS = {",": ",", ".": ".", "'": "'\u2019", " ": " \u00a0\u202f"}
"""Signs between groups of three digits, with those that look alike."""

NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$"
PART = r"^[a-z][a-z0-9_]{0,31}$"


def _of_text(read: Callable[[str], object]) -> Callable[[object], object]:
    """A validator for a key that holds a text with a notation of its own."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(f"a text is needed, not {value!r}"[:200])  # noqa: TRY004 (pydantic reports ValueError)
        return read(value)

    return validate


def _short(key: str, *kinds: type) -> BeforeValidator:
    """A validator that takes a value of `kinds` for a table with that one key."""
    return BeforeValidator(
        lambda value: {key: value} if isinstance(value, kinds) and not isinstance(value, dict) else value
    )


def _timezone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone, like America/Mexico_City") from None


def _family(name: str) -> Family:
    try:
        return Family(name)
    except ValueError:
        raise ValueError(f"{name!r} is not one of {', '.join(Family)}") from None


def _day(value: object) -> date:
    """A day as TOML or ISO 8601 writes it."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"{value!r} is not a day like 2000-01-01") from None


AnyDay = Annotated[date, PlainValidator(_day)]
AnyPath = Annotated[Path, PlainValidator(_of_text(parse_path))]
AnyPattern = Annotated[Pattern, PlainValidator(_of_text(compile_pattern))]
AnyTopic = Annotated[TopicPattern, PlainValidator(_of_text(parse_topic))]
AnyFilter = Annotated[tuple[str, ...], PlainValidator(_of_text(parse_filter))]
AnyZone = Annotated[ZoneInfo, PlainValidator(_of_text(_timezone))]
AnyFamily = Annotated[Family, PlainValidator(_of_text(_family))]
TimeFormat = Annotated[str, PlainValidator(_of_text(check_format))]
Name = Annotated[str, Field(pattern=NAME)]
PartName = Annotated[str, Field(pattern=PART)]


class Table(BaseModel):
    """A TOML table: unknown keys are faults, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, strict=True)


def _one_of(table: Table, *keys: str) -> None:
    given = [key for key in keys if getattr(table, key) is not None]
    if len(given) != 1:
        raise ValueError(f"one of {', '.join(keys)} is needed" + (f", not {' and '.join(given)}" if given else ""))


# --- conditions ------------------------------------------------------------------------------------------------------


class Test(Table):
    """What the value at one path has to be; of several, all."""

    one_of: tuple[Scalar, ...] | None = Field(None, alias="is")
    none_of: tuple[Scalar, ...] | None = Field(None, alias="not")
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    exists: bool | None = None


def _test(value: object) -> object:
    if isinstance(value, dict):
        return {key: _tuple(item) if key in ("is", "not") else item for key, item in value.items()}
    return {"is": _tuple(value)}


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


class Condition(Table):
    """Either an expression that has to give something (not null, false or empty), or tests by path, all to be met."""

    expression: AnyPath | None = None
    tests: tuple[tuple[Path | str, Test], ...] = ()


def _condition(value: object) -> object:
    if isinstance(value, str):
        return {"expression": value}
    if not isinstance(value, dict) or not value:
        raise ValueError("a condition is a text (JMESPath), or a table of paths with the values they should have")
    return {"tests": tuple((_operand(key), Test.model_validate(_test(item))) for key, item in value.items())}


def _operand(key: str) -> Path | str:
    """A path, or the name of a part of the topic in braces."""
    if key.startswith("{") and key.endswith("}"):
        return key[1:-1]
    return parse_path(key)


AnyCondition = Annotated[Condition, BeforeValidator(_condition)]
Conditions = Annotated[
    tuple[AnyCondition, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else (value,))
]


# --- where a value is taken from -------------------------------------------------------------------------------------


class Taken(Table):
    """Where a value comes from: a path into the message, or a part of the topic."""

    path: AnyPath | None = None
    part: PartName | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "Taken":
        _one_of(self, *(key for key in ("fixed", "path", "part") if key in type(self).model_fields))
        return self


@dataclass(frozen=True, slots=True)
class Template:
    """A text with braces around names of parts or, where there is no such part, paths: `{portal}/{meter.id}`."""

    text: str
    pieces: tuple[str | Path, ...]

    @property
    def constant(self) -> str | None:
        """The text, if there is nothing to fill in."""
        return self.text if all(isinstance(piece, str) for piece in self.pieces) else None


_BRACES = re.compile(r"\{([^{}]*)\}")


def parse_template(text: str) -> Template:
    """Read a template. Raises ValueError."""
    pieces: list[str | Path] = []
    for at, piece in enumerate(_BRACES.split(text)):
        if at % 2:
            pieces.append(parse_path(piece))
        elif "{" in piece or "}" in piece:
            raise ValueError(f"braces do not match in {text!r}")
        elif piece:
            pieces.append(piece)
    if not pieces:
        raise ValueError("the text is empty")
    return Template(text, tuple(pieces))


AnyTemplate = Annotated[Template, PlainValidator(_of_text(parse_template))]


class TextFrom(Taken):
    """A text: fixed (with parts and paths in braces), or taken from the message and looked up in `values`."""

    fixed: AnyTemplate | None = None
    pattern: AnyPattern | None = None
    values: dict[str, str] = Field(default_factory=dict)
    otherwise: str | None = None


class ChosenProperty(Table):
    """What a text of the message stands for: a property, and its unit where that goes with it."""

    property: str
    unit: str | None = None


class PropertyFrom(Taken):
    """The observed property: fixed, or told by the message."""

    fixed: str | None = None
    pattern: AnyPattern | None = None
    values: dict[str, Annotated[ChosenProperty, _short("property", str)]] = Field(default_factory=dict)


class ValueFrom(Taken):
    """The value of an observation: taken from the message, or always the same."""

    fixed: float | None = None


class NumberFrom(Taken):
    """A number that the value is reckoned with: taken from the message, or always the same."""

    fixed: float | None = None


AnyNumber = Annotated[NumberFrom, _short("fixed", int, float), _short("path", str)]


class TimeFrom(Taken):
    """The time something was measured. Without `required` the time of receipt stands in where it is missing.

    `since` is the day, UTC, from which counts of the formats `epoch_…` go, instead of 1970-01-01. To the time that is
    found `step` seconds are added as many times as the part `steps` says: the number of a record in its list.
    """

    pattern: AnyPattern | None = None
    format: TimeFormat = "auto"
    timezone: AnyZone | None = None
    since: AnyDay | None = None
    step: AnyNumber | None = None
    steps: PartName | None = None
    required: bool = False

    @model_validator(mode="after")
    def _counted(self) -> "TimeFrom":
        if (self.step is None) is not (self.steps is None):
            raise ValueError("'step' (seconds) and 'steps' (the part that counts them) go together")
        if self.since is not None and self.format not in EPOCHS:
            raise ValueError(f"'since' goes with a format that counts: {', '.join(EPOCHS)}")
        return self


class Coordinate(Taken):
    """Degrees, WGS 84."""

    fixed: float | None = None


class Position(Table):
    """Where the device stands."""

    latitude: Annotated[Coordinate, _short("fixed", int, float), _short("path", str)]
    longitude: Annotated[Coordinate, _short("fixed", int, float), _short("path", str)]


class Each(Table):
    """A step into a list, or with `key` into an object, whose keys are then a named part.

    With `columns` the object has a list for each name, and a record has what stands at one place of all of them.
    """

    path: AnyPath
    key: PartName | None = None
    columns: bool = False


_STAR = re.compile(r"\[\*\]\.?")


def _each(value: object) -> object:
    steps = value if isinstance(value, list) else [value]
    return tuple(part for step in steps for part in _each_step(step))


def _each_step(step: object) -> list[object]:
    """`a[*].b[*]` are two steps, so that `^` in the inner records is the outer one."""
    if not isinstance(step, str):
        return [step]
    if "[*]" not in step or any(quote in step for quote in "\"'`(?"):
        return [{"path": step}]
    paths = list(_STAR.split(step))
    if not paths[-1]:
        paths.pop()
    return [{"path": path or "@"} for path in paths]


Steps = Annotated[tuple[Each, ...], BeforeValidator(_each)]


# --- observations ----------------------------------------------------------------------------------------------------


class Observation(Table):
    """One value of the message and what it means."""

    property: Annotated[PropertyFrom, _short("fixed", str)]
    value: Annotated[ValueFrom, _short("fixed", bool, int, float), _short("path", str)]
    unit: Annotated[TextFrom, _short("fixed", str)] | None = None
    each: Steps = ()
    thing: Annotated[TextFrom, _short("fixed", str)] | None = None
    time: Annotated[TimeFrom, _short("path", str)] | None = None
    when: AnyCondition | None = None
    required: bool = False
    no_reading: tuple[Scalar, ...] = ()
    range: tuple[float, float] | None = None
    values: dict[str, float] = Field(default_factory=dict)
    pattern: AnyPattern | None = None
    leading_number: bool = False
    decimal_comma: bool = False
    thousands: str | None = None
    hex: bool | int = False
    minus: AnyNumber | None = None
    scale: float = 1.0
    factor: AnyNumber | None = None
    divisor: AnyNumber | None = None
    exponent: AnyNumber | None = None
    offset: float = 0.0

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: object) -> object:
        return _as_tuples(data, "no_reading", "range")

    @model_validator(mode="after")
    def _sensible(self) -> "Observation":
        if self.pattern is not None and self.leading_number:
            raise ValueError("'pattern' and 'leading_number' exclude each other")
        if self.pattern is not None and self.pattern.expression.groups == 0:
            raise ValueError(r"'pattern' needs a group around the number, as in '(\d+) mm'")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError("'range' is [lowest, highest]")
        if not isinstance(self.hex, bool) and not 8 <= self.hex <= 64:
            raise ValueError("'hex' is true, or the bits of a signed number: 16, 24, 32 …")
        if self.hex and (self.leading_number or self.decimal_comma):
            raise ValueError("'hex' excludes 'leading_number' and 'decimal_comma'")
        if self.thousands is not None and self.thousands not in THOUSANDS:
            raise ValueError(f"'thousands' is the sign between groups of three digits, one of {' '.join(THOUSANDS)}")
        if self.thousands == ("," if self.decimal_comma else "."):
            raise ValueError("'thousands' is the sign of the decimals")
        if self.scale == 0:
            raise ValueError("'scale' of 0 would make every value 0")
        return self


def _as_tuples(data: object, *keys: str) -> object:
    """Lists of TOML for fields that are tuples; one value stands for a list of one."""
    if not isinstance(data, Mapping):
        return data
    return {key: _tuple(value) if key in keys else value for key, value in data.items()}


# --- formats of payloads ---------------------------------------------------------------------------------------------


class Format(Table):
    """How the payload is written: see ingest.mapping.payloads."""

    type: str = "json"
    inside: AnyPath | None = None
    separator: str | None = None
    assign: str | None = None
    columns: tuple[str, ...] = ()
    header: bool = False
    pattern: AnyPattern | None = None
    lines: bool = False

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: object) -> object:
        return _as_tuples(data, "columns")

    @model_validator(mode="after")
    def _complete(self) -> "Format":
        needed: dict[str, tuple[str, ...]] = {
            "json": ("inside", "lines"),
            "influx": (),
            "number": (),
            "text": (),
            "key_value": ("separator", "assign", "lines"),
            "csv": ("separator", "columns", "header"),
            "regex": ("pattern", "lines"),
        }
        if self.type not in needed:
            raise ValueError(f"{self.type!r} is not one of {', '.join(needed)}")
        for key in self.model_fields_set - {"type", *needed[self.type]}:
            raise ValueError(f"{key!r} does not go with the format {self.type!r}")
        if self.type == "csv" and bool(self.columns) == self.header:
            raise ValueError("a csv needs the names of its columns: columns = [...], or header = true")
        if self.type == "regex" and (self.pattern is None or not self.pattern.expression.groupindex):
            raise ValueError("a regex needs a pattern with named groups, as in 'T=(?P<temperature>[0-9.]+)'")
        if self.separator is not None and not 1 <= len(self.separator) <= (1 if self.type == "csv" else 8):
            raise ValueError(f"'separator' of {self.type} is 1 to {1 if self.type == 'csv' else 8} characters")
        return self


# --- the three tables ------------------------------------------------------------------------------------------------


class SourceTable(Table):
    """Claims topics: for a decoder, a profile, a clock, a zone, a family."""

    name: Name
    topics: tuple[AnyFilter, ...] = Field(min_length=1)
    decoder: str | None = None
    timezone: AnyZone | None = None
    family: AnyFamily | None = None
    zone: str | None = None
    profile: str | None = None
    drop: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: object) -> object:
        return _as_tuples(data, "topics", "drop")


class Match(Table):
    """By what a profile recognises a device: any of `models`, `devices`, or all `fields` with `when`."""

    models: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    when: AnyCondition | None = None

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: object) -> object:
        return _as_tuples(data, "models", "devices", "fields")

    @model_validator(mode="after")
    def _narrow(self) -> "Match":
        if self.when is not None and not self.fields:
            raise ValueError("'when' completes 'fields'; name the fields that have to be there")
        return self


class ProfileTable(Table):
    """What the fields of a kind of device mean."""

    name: Name
    title: str = ""
    source: str = ""
    like: str | None = None
    family: AnyFamily | None = None
    match: Match = Match()
    time: Annotated[TimeFrom, _short("path", str)] | None = None
    ignore: Conditions = ()
    drop: tuple[str, ...] = ()
    observation: tuple[Observation, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: object) -> object:
        data = _as_tuples(data, "drop")
        return _tables(data, "observation")


class MappingTable(Table):
    """What the messages of a topic mean."""

    name: Name
    title: str = ""
    topic: AnyTopic
    format: Annotated[Format, _short("type", str)] = Format()
    thing: Annotated[TextFrom, _short("fixed", str)] | None = None
    family: Annotated[TextFrom, _short("fixed", str)] | None = None
    zone: Annotated[TextFrom, _short("fixed", str)] | None = None
    position: Position | None = None
    time: Annotated[TimeFrom, _short("path", str)] | None = None
    when: AnyCondition | None = None
    ignore: Conditions = ()
    each: Steps = ()
    drop: tuple[str, ...] = ()
    fields: AnyPath | None = None
    undecoded: AnyPath | None = None
    model: tuple[Annotated[TextFrom, _short("fixed", str)], ...] = ()
    profile: str | None = None
    observation: tuple[Observation, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: object) -> object:
        data = _as_tuples(data, "drop", "model")
        return _tables(data, "observation")


def _tables(data: Any, key: str) -> object:
    """An array of tables as a tuple; a single table by mistake is left to be named as a fault."""
    if isinstance(data, Mapping) and isinstance(data.get(key), list):
        return {**data, key: tuple(data[key])}
    return data
