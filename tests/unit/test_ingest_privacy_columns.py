"""Personal cells of tables in text, which are told by a first line or by a mapping."""

from zoneinfo import ZoneInfo

import pytest

from ingest.interpret import Interpreter
from ingest.mapping import load_devices
from ingest.message import RawMessage
from ingest.translate import Translator
from tests.unit.test_ingest_translate import translator

GATE = """
[[mapping]]
name = "gate"
topic = "gate/{gate}"
thing = "{gate}"
family = "traffic"
FORMAT
each = "[*]"
drop = ["tag"]

[[mapping.observation]]
property = "speed"
value = "v"
unit = "km/h"
"""
PATTERN = "format = { type = 'regex', pattern = '(?P<plate>[A-Z]+-[0-9]+) (?P<v>[a-z0-9]+)', lines = true }"


def kept(payload: str, how: str | None = None, topic: str = "gate/7") -> str:
    documents = {} if how is None else {"gate": GATE.replace("FORMAT", how)}
    interpreter = Interpreter(load_devices([], documents), ZoneInfo("America/Mexico_City"))
    return interpreter.redacted(RawMessage(topic, payload.encode(), 0)).decode()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("plateText;speed;ts\nCSVPL-104;33;1\nCSVPL-105;34;2", "plateText;speed;ts\n[removed];33;1\n[removed];34;2"),
        ('ts,"license plate"\r\n1,"AB, 12"\r\n2,\r\n', 'ts,"license plate"\r\n1,[removed]\r\n2,\r\n'),
        ("speed\tplaca\n3\tAB-1\textra", "speed\tplaca\n3\t[removed]\t[removed]"),
        ("speed;ts\n33;1", "speed;ts\n33;1"),
        ("plate and more of it", "plate and more of it"),
        ("", ""),
    ],
)
def test_a_first_line_that_names_columns_tells_which_are_personal(payload: str, expected: str) -> None:
    assert kept(payload) == expected


@pytest.mark.parametrize(
    ("how", "payload", "expected"),
    [
        ('format = { type = "csv", columns = ["at", "plate", "v"] }', "1,AB-12,x\n2,AB-13,y",
         "1,[removed],x\n2,[removed],y"),
        ('format = { type = "csv", columns = ["at", "tag", "v"], separator = ";" }', "1;AB-12;x", "1;[removed];x"),
        ('format = { type = "csv", header = true }', "at,tag,v\n1,AB-12,x", "at,tag,v\n1,[removed],x"),
        (PATTERN, "AB-12 33\nCD-13 34", "[removed] 33\n[removed] 34"),
        (PATTERN, "AB12 33", "[removed]"),
    ],
)  # fmt: skip
def test_a_mapping_tells_which_cells_are_personal(how: str, payload: str, expected: str) -> None:
    assert kept(payload, how) == expected
    assert kept(payload, how, topic="elsewhere/7") == payload or "header" in how


@pytest.mark.parametrize("value", ['"v || @"', '"rows"'])
def test_an_error_quotes_no_list_or_object_that_nobody_has_looked_through(value: str) -> None:
    document = GATE.replace("FORMAT", "").replace('each = "[*]"', "").replace('"v"', value)
    translating: Translator = translator({"gate": document})
    message = RawMessage("gate/7", b'{"rows": ["LPR-7", "STAR-204"], "x": {"q": "STAR-204"}}', 1)
    (rejected,) = translating.understand([message]).rejected.values()
    assert "STAR" not in rejected.detail


def test_a_word_where_a_number_should_be_is_not_said_to_be_one() -> None:
    document = GATE.replace("FORMAT", "").replace('each = "[*]"', "")
    (rejected,) = (
        translator({"gate": document}).understand([RawMessage("gate/7", b'{"v": "ERR"}', 1)]).rejected.values()
    )
    assert 'no_reading = ["ERR"] if it says that there is none' in rejected.detail
    assert "= 1" not in rejected.detail
