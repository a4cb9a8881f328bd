"""InfluxDB line protocol, as Telegraf and many loggers send it: `weather,station=S7 temperature=21.5,humidity=40i 1…`.

Format: docs.influxdata.com, "Line protocol reference" (version 2).
"""

import re

from pulso.errors import DecodeError, RejectReason

_MOST_LINES = 10_000
_MOST_PAIRS = 100_000  # of all lines
_PLAIN = r"(?:[^,= \\]|\\.)++"
_SERIES = re.compile(rf"((?:[^, \\]|\\.)++)((?:,{_PLAIN}={_PLAIN})*+)\ ++")
_PAIR = re.compile(rf"({_PLAIN})=({_PLAIN})")
_FIELD = re.compile(rf"""({_PLAIN})=("(?:[^"\\]|\\.)*+"|[^, "]++)(,|\ ++|\Z)""")
_ESCAPED = re.compile(r"\\([,= \"\\])")
_NUMBER = re.compile(r"([+-]?[0-9.]++(?:[eE][+-]?[0-9]++)?)[iu]?")
_TRUTHS = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}


def read_lines(text: str) -> list[dict[str, object]]:
    """The records of the lines: `measurement`, `tags` and `fields` by name, `time` (as it is written) or None.

    Raises DecodeError (malformed, too_large).
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) > _MOST_LINES or text.count("=") > _MOST_PAIRS:
        detail = f"more than {_MOST_LINES} lines, or {_MOST_PAIRS} values"
        raise DecodeError(RejectReason.TOO_LARGE, detail)
    return [_record(line.strip()) for line in lines]


def _record(line: str) -> dict[str, object]:
    series = _SERIES.match(line)
    if series is None:
        raise _fault(line)
    fields: dict[str, object] = {}
    position = series.end()
    sign = ","
    while sign == ",":
        field = _FIELD.match(line, position)
        if field is None:
            raise _fault(line)
        fields[_plain(field[1])] = _value(field[2], line)
        position, sign = field.end(), field[3]
    time = line[position:].strip()
    if time and not time.lstrip("-").isdigit():
        raise _fault(line)
    tags = {_plain(name): _plain(value) for name, value in _PAIR.findall(series[2])}
    return {"measurement": _plain(series[1]), "tags": tags, "fields": fields, "time": int(time[:20]) if time else None}


def _value(text: str, line: str) -> object:
    if text.startswith('"'):
        return _ESCAPED.sub(r"\1", text[1:-1])
    if text in _TRUTHS:
        return _TRUTHS[text]
    number = _NUMBER.fullmatch(text)
    if number is None:
        raise _fault(line)
    try:
        return float(number[1])
    except ValueError:
        raise _fault(line) from None


def _plain(name: str) -> str:
    return _ESCAPED.sub(r"\1", name)


def _fault(line: str) -> DecodeError:
    return DecodeError(RejectReason.MALFORMED, f"not a line of InfluxDB's line protocol: {line[:80]!r}")
