"""Payloads to values for mappings: JSON and its binary kin, a bare number, text, pairs, CSV, a pattern."""

import base64
import csv
import io
import re
from functools import lru_cache

import msgspec

from ingest.mapping.influx_lines import read_lines
from ingest.mapping.paths import MISSING
from ingest.mapping.tables import Format
from ingest.measured import as_number
from ingest.message import Incoming
from pulso.errors import DecodeError, RejectReason

_MOST_LINES = 10_000
_MOST_PAIRS = 1_000
_OPENS_JSON = ("{", "[", '"')
_PAIRS = r"[;,&|\s]+"
_ASSIGN = r"[=:]"


def read_payload(how: Format, message: Incoming) -> object:
    """The payload as JSON-like values. Raises DecodeError (empty, malformed, wrong_shape, too_large).

    `csv` gives a list of records by column name; `key_value` and `regex` one record of texts, or with `lines` a list of
    one for each line.
    """
    if how.type == "json":
        return _json_lines(message.text) if how.lines else _body(message)
    if not message.payload:
        raise DecodeError(RejectReason.EMPTY, "the payload is empty")
    return _of_text(how, message.text)


def _body(message: Incoming) -> object:
    try:
        return message.body
    except DecodeError as error:
        if error.reason is not RejectReason.MALFORMED or message.payload[:1] in (b"<", b"\x1f"):
            raise
        hint = "the 'format' of the mapping says what it is, if it is not meant to be one JSON document"
        raise DecodeError(error.reason, f"{error.detail}; {hint}") from None


def _of_text(how: Format, text: str) -> object:
    """What a format makes of a text."""
    if how.type == "influx":
        return read_lines(text)
    if how.type == "number":
        number = as_number(text)
        if number is None:
            raise DecodeError(RejectReason.MALFORMED, f"{text[:80]!r} is not a number")
        return number
    if how.type == "text":
        return text.strip()
    if how.type == "csv":
        return _rows(how, text)
    if how.lines:
        return [record for line in _lines(text) if (record := _record(how, line)) is not None]
    record = _record(how, text.strip())
    if record is None:
        pattern = how.pattern
        too_long = pattern is not None and len(text.strip()) > pattern.longest
        why = f": {len(text)} characters; its pattern looks at {pattern.longest}" if pattern and too_long else ""
        raise DecodeError(RejectReason.MALFORMED, f"{text[:80]!r} is not written as the mapping says{why}")
    return record


def _json_lines(text: str) -> list[object]:
    """The values of the lines of a text, each of which is JSON."""
    try:
        return [msgspec.json.decode(line) for line in _lines(text) if line.strip()]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DecodeError(RejectReason.MALFORMED, f"a line is not JSON: {error}") from None


def read_inside(how: Format, body: object) -> object:
    """JSON that stands as a text in JSON, in base64 or not. Raises DecodeError (wrong_shape, malformed)."""
    found = MISSING if how.inside is None else how.inside.find(body)
    if found is MISSING:
        raise DecodeError(RejectReason.WRONG_SHAPE, f"no {how.inside and how.inside.text!r} in the message")
    if not isinstance(found, str):
        return found
    try:
        return msgspec.json.decode(found if found.lstrip()[:1] in _OPENS_JSON else base64.b64decode(found))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DecodeError(RejectReason.MALFORMED, f"{how.inside and how.inside.text}: not JSON: {error}") from None


def _lines(text: str) -> list[str]:
    lines = text.splitlines()
    if len(lines) > _MOST_LINES:
        raise DecodeError(RejectReason.TOO_LARGE, f"{len(lines)} lines; {_MOST_LINES} at most are read")
    return lines


def _record(how: Format, text: str) -> dict[str, object] | None:
    if how.type == "regex":
        found = how.pattern.search(text) if how.pattern is not None else None
        return None if found is None else dict(found.groupdict())
    separator, assign = _splitters(how.separator, how.assign)
    pairs = separator.split(text, _MOST_PAIRS)
    split = (assign.split(pair, 1) for pair in pairs)
    return {pair[0].strip(): pair[1].strip() for pair in split if len(pair) == 2} or None


@lru_cache(maxsize=1_000)
def _splitters(separator: str | None, assign: str | None) -> tuple[re.Pattern[str], re.Pattern[str]]:
    return (
        re.compile(_PAIRS if separator is None else re.escape(separator)),
        re.compile(_ASSIGN if assign is None else re.escape(assign)),
    )


def _rows(how: Format, text: str) -> list[object]:
    lines = [line for line in _lines(text) if line.strip()]
    try:
        reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=how.separator or ",")
        rows = [[cell.strip() for cell in row] for row in reader]
    except csv.Error as error:
        raise DecodeError(RejectReason.MALFORMED, f"not CSV: {error}") from None
    columns = how.columns or tuple(rows.pop(0) if rows else ())
    return [dict(zip(columns, row, strict=False)) for row in rows]
