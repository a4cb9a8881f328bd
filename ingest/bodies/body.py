"""Payload bytes to values: JSON, CBOR, MessagePack or XML, by content type or by their look, within bounds."""

import base64
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Literal, get_args

import msgspec
from cbor2 import undefined

from ingest.bodies.cbor_body import read_cbor
from ingest.bodies.msgpack_body import read_msgpack
from ingest.bodies.xml_body import read_xml
from pulso.errors import DecodeError, RejectReason

Format = Literal["json", "cbor", "msgpack", "xml"]

DEEPEST = 64
"""Levels of nesting. Real messages have five or six; every level more would cost a decoder that walks them."""

MOST_ITEMS = 100_000
"""Values in one message, so that what is done for each of them stays within a second."""

_BOM = b"\xef\xbb\xbf"
_LOOKS_LIKE_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,64}<[?!A-Za-z_]")
_SAYS_CBOR = b"\xd9\xd9\xf7"  # tag 55799
_CONTENT_TYPES: MappingProxyType[str, Format] = MappingProxyType(
    {
        "application/json": "json",
        "text/json": "json",
        "application/cbor": "cbor",
        "application/msgpack": "msgpack",
        "application/x-msgpack": "msgpack",
        "application/vnd.msgpack": "msgpack",
        "application/xml": "xml",
        "text/xml": "xml",
    }
)
_SUFFIXES: MappingProxyType[str, Format] = MappingProxyType({kind: kind for kind in get_args(Format)})
_json = msgspec.json.Decoder()
_NO_NUMBER = re.compile(rb"[:,\[]\s{0,8}(?:NaN|-?Infinity)")


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed payload: JSON-like values, and the format they were in.

    `value` is made of dict with text keys, list, str, int, float, bool and None, whatever the format was. Integers may
    have up to 128 bits. Integers as keys become text (those of SenML in CBOR "-2", "0", ...), byte strings base64url
    text without padding, NaN and infinities None (all as RFC 8949 section 6.1 has it), times RFC 3339 text in UTC or,
    where CBOR sends them as a number, that number. Of two equal keys the last counts. What XML comes to, read_xml says.
    """

    value: object
    format: Format

    @staticmethod
    def parse(payload: bytes, content_type: str | None) -> "Body":
        """Parse a payload. Raises DecodeError (empty; malformed, also if it is deeper or larger than our bounds).

        A content type of ours, or one with the suffix +json, +cbor, +msgpack or +xml, is taken at its word. With any
        other, or none, JSON is tried first; what begins with `<` then is XML, and bytes that are no text count as CBOR
        or MessagePack if all of them are one map or array.
        """
        if not payload:
            raise DecodeError(RejectReason.EMPTY, "the payload is empty")
        told = _told(content_type)
        if told is not None:
            return Body(_READERS[told](payload), told)
        try:
            return Body(_read_json(payload), "json")
        except DecodeError as not_json:
            if _LOOKS_LIKE_XML.match(payload):
                return Body(_read_xml(payload), "xml")
            body = _binary(payload)
            if body is None:
                raise not_json from None
            return body

    @staticmethod
    def text(payload: bytes) -> str:
        """The payload as text, without a byte order mark. Raises DecodeError (malformed)."""
        try:
            return payload.removeprefix(_BOM).decode("utf-8")
        except UnicodeDecodeError as error:
            raise DecodeError(RejectReason.MALFORMED, f"not UTF-8 text: {error}") from None


def _told(content_type: str | None) -> Format | None:
    """The format that a content type tells."""
    if content_type is None:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    return _CONTENT_TYPES.get(kind) or _SUFFIXES.get(kind.rpartition("+")[2] if "+" in kind else "")


def _read_json(payload: bytes) -> object:
    payload = payload.removeprefix(_BOM).rstrip(b"\x00")  # C programs send the end of their strings along
    try:
        value = _json.decode(payload) if not _NO_NUMBER.search(payload) else _lenient(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DecodeError(RejectReason.MALFORMED, f"not JSON: {error}") from None
    # Brackets and commas bound depth and size from above, in a fraction of what a walk costs.
    brackets = payload.count(b"[") + payload.count(b"{")
    if brackets > DEEPEST or brackets + payload.count(b",") >= MOST_ITEMS:
        _Walk(_as_is).value(value, 0)
    return value


def _lenient(payload: bytes) -> object:
    """JSON with the NaN and infinities that Python writes, which become None."""
    try:
        return _json.decode(payload)
    except msgspec.DecodeError:
        return json.loads(payload, parse_constant=lambda _: None)


def _read_cbor(payload: bytes) -> object:
    return _Walk(_plain).value(read_cbor(payload, DEEPEST, MOST_ITEMS), 0)


def _read_msgpack(payload: bytes) -> object:
    return _Walk(_plain).value(read_msgpack(payload, DEEPEST, MOST_ITEMS), 0)


def _read_xml(payload: bytes) -> object:
    return read_xml(payload.strip(b" \t\r\n\x00"), DEEPEST, MOST_ITEMS)


_READERS: MappingProxyType[Format, Callable[[bytes], object]] = MappingProxyType(
    {"json": _read_json, "cbor": _read_cbor, "msgpack": _read_msgpack, "xml": _read_xml}
)


def _binary(payload: bytes) -> Body | None:
    """CBOR or MessagePack by their look: one map or array that takes all bytes, and no text in UTF-8.

    MessagePack must be made of maps whose keys look like names, for nearly every byte can begin a value of it. Bytes
    that are both are MessagePack if only that reading has such names.
    """
    if not 0x80 <= payload[0] <= 0xBF and not 0xDC <= payload[0] <= 0xDF and not payload.startswith(_SAYS_CBOR):
        return None
    if _is_text(payload):
        return None
    read: list[Body] = []
    kinds: tuple[Format, ...] = ("cbor", "msgpack")
    for kind in kinds:
        try:
            value = _READERS[kind](payload)
        except DecodeError:
            continue
        if _has_names(value) or (kind == "cbor" and isinstance(value, dict | list)):
            read.append(Body(value, kind))
    return max(read, key=lambda body: _has_names(body.value), default=None)


def _has_names(value: object) -> bool:
    """Whether this is a map with keys that a person could have written, or a list of such."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, dict) and _has_names(each) for each in value[:10])
    return isinstance(value, dict) and all(key.isprintable() and not key.lstrip("-").isdigit() for key in value)


def _as_is(value: object) -> object:
    return value


def _plain(value: object) -> object:
    """A value of CBOR or MessagePack as JSON has it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if value is None or isinstance(value, bool | int | str):
        return value
    if value is undefined:
        return None
    raise DecodeError(RejectReason.MALFORMED, f"a value of the kind {type(value).__name__} has no meaning here")


@dataclass(slots=True)
class _Walk:
    """A walk over nested values that checks our bounds and turns leaves into what `leaf` returns."""

    leaf: Callable[[object], object]
    items: int = 0

    def value(self, value: object, depth: int) -> object:
        """`value` with its leaves turned. Raises DecodeError (malformed)."""
        self.items += 1
        if self.items > MOST_ITEMS:
            raise DecodeError(RejectReason.MALFORMED, f"more than {MOST_ITEMS} values")
        if not isinstance(value, dict | list):
            return self.leaf(value)
        if depth >= DEEPEST:
            raise DecodeError(RejectReason.MALFORMED, f"nested deeper than {DEEPEST} levels")
        if isinstance(value, list):
            return [self.value(each, depth + 1) for each in value]
        return {str(key): self.value(each, depth + 1) for key, each in value.items()}


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
