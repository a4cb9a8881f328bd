"""What a payload of text is made of: a number, lines of InfluxDB, key=value pairs, rows; for proposals."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.mapping.influx_lines import read_lines
from ingest.proposals.spelling import spelled, time_format
from pulso.errors import DecodeError

_LARGEST = 20_000  # characters that are looked at
_PAIR = re.compile(r"\s*[^\W\d][\w .\-/]{0,40}?\s*[=:]\s*[^=]*")
_PAIR_SEPARATORS = (";", "&", "|", "\n", ",", " ")
_CELL_SEPARATORS = (";", "\t", ",", "|")
_MOST_COLUMNS = 40
_INFLUX = re.compile(r"[^\s=,#]++(?:,[^\s=,]++=[^\s=,]++)*+ [^\s=]++=\S")


@dataclass(frozen=True, slots=True)
class Shape:
    """`line` says it in the mapping language; `record` is what a mapping then reads: an object, rows or a text."""

    line: str
    record: object


def shape_of(text: str) -> Shape | None:
    """The shape of a text that is no JSON; None if it has none we know."""
    text = text[:_LARGEST]
    if spelled(text) is not None:
        return Shape('format = "text"', text)
    if text.startswith("<"):
        return None
    return _influx(text) or _pairs(text) or _rows(text)


def _influx(text: str) -> Shape | None:
    if not _INFLUX.match(text):
        return None
    try:
        return Shape('format = "influx"', read_lines(text))
    except DecodeError:
        return None


def _pairs(text: str) -> Shape | None:
    for separator in _PAIR_SEPARATORS:
        pieces = [piece for piece in text.split(separator) if piece.strip()]
        if separator in text and len(pieces) > 1 and all(_PAIR.fullmatch(piece) for piece in pieces):
            break
    else:
        separator, pieces = "", [text]
        if "\n" in text or not _PAIR.fullmatch(text):
            return None
    assign = "=" if all("=" in piece for piece in pieces) else ":"
    record: dict[str, object] = {}
    for piece in pieces:
        name, _, value = piece.partition(assign)
        record[name.strip()] = value.strip()
    if not any(spelled(value) for value in record.values()):
        return None
    told = "" if separator in ("", "\n", " ") else f', separator = "{separator}"'
    if separator == "\n":
        told = ', separator = "\\n"'
    return Shape(f'format = {{ type = "key_value"{told}, assign = "{assign}" }}', record)


def _rows(text: str) -> Shape | None:
    lines = [line for line in text.splitlines() if line.strip()]
    for separator in _CELL_SEPARATORS:
        try:
            rows = _cells(lines, separator)
        except csv.Error:
            return None
        width = len(rows[0]) if rows else 0
        if 2 <= width <= _MOST_COLUMNS and all(len(row) == width for row in rows):
            break
    else:
        return None
    told = "" if separator == "," else f', separator = "{_ESCAPES.get(separator, separator)}"'
    if not any(spelled(cell) or time_format(cell, 0) for cell in rows[0]) and len(rows) > 1:
        names: Sequence[str] = rows.pop(0)
        line = f'format = {{ type = "csv", header = true{told} }}'
        if len(set(names)) < len(names) or not all(name.isprintable() and name for name in names):
            return None
    else:
        names = _invented(rows[0])
        line = f'format = {{ type = "csv", columns = [{", ".join(f"{name!r}" for name in names)}]{told} }}'
    if not any(spelled(cell) for cell in rows[0]):
        return None
    return Shape(line, [dict(zip(names, row, strict=True)) for row in rows])


def _cells(lines: Sequence[str], separator: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)
    return [[cell.strip() for cell in row] for row in reader]


_ESCAPES = {"\t": "\\t"}


def _invented(cells: Sequence[str]) -> list[str]:
    """Names for columns without any: `time` for the first that is one."""
    names = [f"column{at}" for at in range(1, len(cells) + 1)]
    at = next((at for at, cell in enumerate(cells) if spelled(cell) is None and time_format(cell, 0)), None)
    if at is not None:
        names[at] = "time"
    return names
