"""The payload of Sparkplug B as protobuf messages, and the parts of it that are read.

Format: Sparkplug Specification 3.0.0 (Eclipse), chapter 6; package org.eclipse.tahu.protobuf, proto2. Data sets and
extensions are declared as bytes: they are not read, so they are not parsed. Templates are bytes as well, and parsed
level by level, with an end. Text is declared as bytes too, since its encoding is checked only where it is read.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import (  # type: ignore[import-untyped]
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError as ProtobufError  # type: ignore[import-untyped]
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]

from pulso.errors import DecodeError, RejectReason

MOST_METRICS = 10_000  # of a payload, those of templates included
_DEEPEST = 4  # templates within templates
_LONGEST_TEXT = 200
_PACKAGE = "pulso.sparkplug_b"
_MESSAGES = {
    "PropertyValue": {
        "type": (1, "uint32"),
        "is_null": (2, "bool"),
        "int_value": (3, "uint32"),
        "long_value": (4, "uint64"),
        "float_value": (5, "float"),
        "double_value": (6, "double"),
        "boolean_value": (7, "bool"),
        "string_value": (8, "bytes"),
    },
    "PropertySet": {"keys": (1, "repeated bytes"), "values": (2, "repeated PropertyValue")},
    "Metric": {
        "name": (1, "bytes"),
        "alias": (2, "uint64"),
        "timestamp": (3, "uint64"),
        "datatype": (4, "uint32"),
        "is_historical": (5, "bool"),
        "is_transient": (6, "bool"),
        "is_null": (7, "bool"),
        "properties": (9, "PropertySet"),
        "int_value": (10, "uint32"),
        "long_value": (11, "uint64"),
        "float_value": (12, "float"),
        "double_value": (13, "double"),
        "boolean_value": (14, "bool"),
        "string_value": (15, "bytes"),
        "bytes_value": (16, "bytes"),
        "dataset_value": (17, "bytes"),
        "template_value": (18, "bytes"),
    },
    "Template": {"metrics": (2, "repeated Metric"), "is_definition": (5, "bool")},
    "Payload": {
        "timestamp": (1, "uint64"),
        "metrics": (2, "repeated Metric"),
        "seq": (3, "uint64"),
        "uuid": (4, "bytes"),
        "body": (5, "bytes"),
    },
}
_NUMBERS = ("int_value", "long_value", "float_value", "double_value", "boolean_value")
_UNIT_PROPERTIES = frozenset({"engunit", "engunits", "engineeringunit", "engineeringunits", "unit", "units"})

BOOLEAN, STRING, TEXT = 11, 12, 14
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
_UNSIGNED = frozenset({5, 6, 7, 8})
_REAL = frozenset({9, 10})
NUMERIC = frozenset({*_SIGNED_BITS, *_UNSIGNED, *_REAL, BOOLEAN})


class Metric(NamedTuple):
    """One metric. `timestamp` in milliseconds since 1970 UTC; `value` a number as it is on the wire, or text.

    `members` are those of a template instance; a definition of a template has none, since it measures nothing.
    """

    name: str | None
    alias: int | None
    timestamp: int | None
    datatype: int | None
    is_null: bool
    unit: str | None
    value: int | float | bool | str | None
    members: tuple["Metric", ...] = ()


class Payload(NamedTuple):
    """A payload. `seq` is None in deaths and commands."""

    timestamp: int | None
    seq: int | None
    metrics: tuple[Metric, ...]


def _message_classes() -> tuple[Any, Any]:
    file = FileDescriptorProto(name="pulso/sparkplug_b.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = DescriptorProto(name=name)
        for field_name, (number, kind) in fields.items():
            label, _, plain = kind.rpartition(" ")
            field = FieldDescriptorProto(name=field_name, number=number)
            field.label = field.LABEL_REPEATED if label else field.LABEL_OPTIONAL
            if plain in _MESSAGES:
                field.type = field.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{plain}"
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{plain.upper()}")
            message.field.append(field)
        file.message_type.append(message)
    pool = DescriptorPool()
    pool.Add(file)
    payload, template = (pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in ("Payload", "Template"))
    return GetMessageClass(payload), GetMessageClass(template)


_Payload, _Template = _message_classes()


def parse(payload: bytes) -> Payload:
    """The payload of a message. Raises DecodeError (malformed, too_many_properties)."""
    message = _parsed(_Payload, payload)
    metrics, _ = _metrics(message.metrics, MOST_METRICS, _DEEPEST)
    return Payload(_optional(message, "timestamp"), _optional(message, "seq"), metrics)


def rebirth_command(at: int) -> bytes:
    """The payload that asks an edge node for its births, sent at `at`, milliseconds since 1970 UTC.

    A command has no sequence number (payloads-ncmd-seq).
    """
    message = _Payload(timestamp=at)
    message.metrics.add(name=b"Node Control/Rebirth", timestamp=at, datatype=BOOLEAN, boolean_value=True)
    return bytes(message.SerializeToString())


def number_of(value: object, datatype: int | None) -> float | None:
    """The number that `value` on the wire stands for: signed integers are sent as two's complement.

    >>> number_of(0xFFFFFFFE, 3), number_of(0xFFFFFFFE, 7), number_of("12", 12)
    (-2.0, 4294967294.0, None)
    """
    if isinstance(value, str) or value is None or (datatype is not None and datatype not in NUMERIC):
        return None
    if datatype in _SIGNED_BITS and isinstance(value, int) and not isinstance(value, bool):
        bits = _SIGNED_BITS[datatype]
        value &= (1 << bits) - 1
        value -= (value >> (bits - 1)) << bits
    return float(value) if isinstance(value, int | float) else None


def is_ambiguous(value: object, datatype: int | None) -> bool:
    """Whether the number depends on a data type that is not told: an integer with the sign bit of 32 or 64 bits."""
    return datatype is None and isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 31


def _parsed(kind: Any, payload: bytes) -> Any:
    message = kind()
    try:
        message.ParseFromString(payload)
    except ProtobufError as error:
        raise DecodeError(RejectReason.MALFORMED, f"not a Sparkplug B payload: {error}") from None
    return message


def _metrics(messages: Any, left: int, depth: int) -> tuple[tuple[Metric, ...], int]:
    """Metrics and how many more the payload may have. Raises DecodeError (malformed, too_many_properties)."""
    left -= len(messages)
    if left < 0:
        raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, f"more than {MOST_METRICS} metrics")
    metrics = []
    for message in messages:
        metric = _metric(message)
        if message.HasField("template_value") and depth > 0:
            template = _parsed(_Template, message.template_value)
            if not template.is_definition:
                members, left = _metrics(template.metrics, left, depth - 1)
                metric = metric._replace(members=members)
        metrics.append(metric)
    return tuple(metrics), left


def _metric(message: Any) -> Metric:
    value: int | float | bool | str | None = None
    for field in _NUMBERS:
        if message.HasField(field):
            value = getattr(message, field)
    if message.HasField("string_value"):
        value = _text(message.string_value)
    return Metric(
        _text(message.name) if message.HasField("name") else None,
        _optional(message, "alias"),
        _optional(message, "timestamp"),
        _optional(message, "datatype"),
        bool(message.is_null),
        _unit(message) if message.HasField("properties") else None,
        value,
    )


def _unit(metric: Any) -> str | None:
    for key, value in _properties(metric):
        if "".join(letter for letter in key.lower() if letter.isalpha()) in _UNIT_PROPERTIES and value:
            return value
    return None


def _properties(metric: Any) -> Iterator[tuple[str, str | None]]:
    keys, values = metric.properties.keys, metric.properties.values
    for index in range(min(len(keys), len(values), 100)):
        if values[index].HasField("string_value") and not values[index].is_null:
            yield _text(keys[index]) or "", _text(values[index].string_value)


def _optional(message: Any, field: str) -> int | None:
    return int(getattr(message, field)) if message.HasField(field) else None


def _text(raw: bytes) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(RejectReason.MALFORMED, f"not UTF-8 text: {error}") from None
    return text[:_LONGEST_TEXT] or None
