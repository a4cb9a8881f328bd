"""Notes on a mapping that is tried: what it leaves open without an error."""

import json
from typing import Any

import pytest

from ingest.dry_run import dry_run

MAPPING = """
[[mapping]]
name = "box"
topic = "box/{id}"
thing = "{id}"
time = "ts"
each = "rows"
[[mapping.observation]]
property = "temperature"
value = "t"
[[mapping.observation]]
property = "humidity"
value = "h.now"
"""


def tried(payload: object, topic: str = "box/7", mapping: str = MAPPING) -> dict[str, Any]:
    return dry_run(topic, json.dumps(payload).encode(), mapping=mapping)


def test_a_mapping_that_reads_everything_has_no_notes() -> None:
    answer = tried({"rows": [{"t": 20, "h": {"now": 40}, "ts": 1777878000}]})
    assert len(answer["observations"]) == 2
    assert answer["notes"] == []


def test_a_path_that_finds_nothing_is_noted() -> None:
    answer = tried({"rows": [{"t": 20, "h": {"nwo": 40}, "ts": 1777878000}]})
    assert answer["outcome"] == "ingest"
    assert answer["notes"] == ["h.now: not in the message, or not in every record of it"]


def test_a_time_that_is_not_there_is_noted() -> None:
    answer = tried({"rows": [{"t": 20, "h": {"now": 40}, "time": 1777878000}]})
    assert answer["notes"] == [
        "no time is found in the message where 'time' looks for it; the time of receipt stands in"
    ]


def test_a_mapping_of_another_topic_is_noted() -> None:
    answer = tried({"rows": []}, topic="boxes/7")
    assert answer["outcome"] == "quarantine"
    assert answer["notes"] == ["no mapping of this file is for the topic 'boxes/7'; its topics: 'box/{id}'"]


def test_a_condition_that_is_not_met_is_noted() -> None:
    mapping = MAPPING.replace('thing = "{id}"', 'thing = "{id}"\nwhen = { kind = "box" }')
    answer = tried({"kind": "bag", "rows": []}, mapping=mapping)
    assert answer["notes"] == ["mapping 'box' is for this topic, and did not read the message"]


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"{}", b'{"rows": 3}'])
def test_notes_are_taken_of_any_message(payload: bytes) -> None:
    assert isinstance(dry_run("box/7", payload, mapping=MAPPING)["notes"], list)


def test_without_a_mapping_there_are_no_notes() -> None:
    assert "notes" not in dry_run("box/7", b"{}")
