"""Every registered decoder against the examples beside it."""

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders import NotMine, by_content_type, by_look, by_topic, decoders
from ingest.message import Context, Decoded, Incoming, RawMessage, Reported
from pulso.errors import DecodeError
from pulso.model import from_micros, to_micros
from tests.support.examples import all_examples, examples_of, payload_of

RECEIVED_AT = datetime.fromisoformat("2026-11-22T18:00:00Z")
MEXICO = ZoneInfo("America/Mexico_City")


def examples() -> list[Any]:
    return [pytest.param(name, example, id=f"{name}: {example['name']}") for name, example in all_examples()]


def incoming(example: dict[str, Any]) -> Incoming:
    received_at = to_micros(datetime.fromisoformat(example["received_at"])) if "received_at" in example else None
    return Incoming(
        RawMessage(
            example["topic"],
            payload_of(example),
            received_at or to_micros(RECEIVED_AT),
            content_type=example.get("content_type"),
            retained=example.get("retained", False),
        )
    )


def context(example: dict[str, Any]) -> Context:
    return Context(MEXICO, example.get("memory", {}))


def observations(thing: Reported) -> list[dict[str, Any]]:
    """Observations in the notation of the examples: what is not told is left out."""
    return [
        {
            key: from_micros(value) if key.endswith("time") else value
            for key, value in row._asdict().items()
            if value is not None
        }
        for row in thing.observations
    ]


def expected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: datetime.fromisoformat(value) if key.endswith("time") else value for key, value in row.items()}
        for row in rows
    ]


def assert_thing(thing: Reported, told: dict[str, Any]) -> None:
    """What the example tells of a thing is so; observations are complete, in any order."""
    assert thing.external_id == told["external_id"]
    assert thing.family == told.get("family")
    key = lambda row: row["observed_property"]  # noqa: E731 (sorting key, used twice in the next line)
    assert sorted(observations(thing), key=key) == sorted(expected(told.get("observations", [])), key=key)
    for name in told.keys() & {"fields", "admits"}:
        assert getattr(thing, name) == told[name]
    if "model" in told:
        assert list(thing.model) == told["model"]
    if "position" in told:
        assert thing.position == pytest.approx(tuple(told["position"]))
    if "phenomenon_time" in told:
        assert thing.phenomenon_time == to_micros(datetime.fromisoformat(told["phenomenon_time"]))
    if "description" in told:
        assert thing.description is not None
        shown = {name: getattr(thing.description, name) for name in told["description"]}
        shown["expected_interval"] = thing.description.expected_interval.total_seconds()
        assert shown == {"expected_interval": 60.0} | told["description"]


@pytest.mark.parametrize(("name", "example"), examples())
def test_example_decodes_as_it_says(name: str, example: dict[str, Any]) -> None:
    if "rejected" in example:
        with pytest.raises(DecodeError) as caught:
            decoders[name].decode(incoming(example), context(example))
        assert caught.value.reason == example["rejected"]
        assert caught.value.detail
        return
    decoded = decoders[name].decode(incoming(example), context(example))

    assert len(decoded.things) == len(example.get("things", []))
    for thing, told in zip(decoded.things, example.get("things", []), strict=True):
        assert_thing(thing, told)
    if "outcome" in example:
        assert decoded.outcome in (None, example["outcome"])
    if "learned" in example:
        assert dict(decoded.learned) == example["learned"]
    for request in example.get("requests", []):
        assert request["topic"] in {each.topic for each in decoded.requests}


@pytest.mark.parametrize(("name", "example"), examples())
def test_every_decoder_is_found_by_its_examples(name: str, example: dict[str, Any]) -> None:
    message = incoming(example)
    found = [*by_content_type(message), *by_topic(message), *by_look(message)]
    assert name in {entry.name for entry in found} or "memory" in example


@pytest.mark.parametrize(
    "topic", ["pulso/v1", "pulso/v1/traffic", "pulso/v2/traffic/x", "other", "pulso/v1/traffic/a/b"]
)
def test_topic_nobody_claims_is_nobodys(topic: str) -> None:
    assert [entry.name for entry in by_topic(Incoming(RawMessage(topic, b"", 0)))] == []


HOSTILE = (
    b"",
    b"\xff\xfe",
    b"\x00" * 1000,
    b"[" * 100_000,
    b'{"a":' * 5_000,
    b'{"observations":' * 5_000,
    b"0",
    b'"x"',
    b"null",
    b"{}",
    b"[]",
    b"[{}]",
    b"1" * 10_000,
    b'{"x": 1e999}',
    b'{"x": ' + b"9" * 5_000 + b"}",
    b'{"a":1,"a":2}',
    bytes(range(256)),
)


def topics_of(name: str) -> list[str]:
    return sorted({example["topic"] for example in examples_of(name)})


def decode_or_refuse(name: str, topic: str, payload: bytes) -> None:
    """Anything but Decoded, DecodeError and NotMine fails the test."""
    try:
        decoded = decoders[name].decode(Incoming(RawMessage(topic, payload, to_micros(RECEIVED_AT))), Context(MEXICO))
    except (DecodeError, NotMine):
        return
    assert isinstance(decoded, Decoded)


@pytest.mark.parametrize("name", decoders)
def test_hostile_bytes_decode_or_are_refused(name: str) -> None:
    for topic in topics_of(name):
        for payload in HOSTILE:
            decode_or_refuse(name, topic, payload)


@pytest.mark.parametrize(("name", "example"), examples())
def test_cut_and_bent_examples_decode_or_are_refused(name: str, example: dict[str, Any]) -> None:
    """Truncation at every 7th byte, and each 5th byte changed: near misses reach deeper than noise."""
    payload = payload_of(example)
    for length in range(0, min(len(payload), 2_000), 7):
        decode_or_refuse(name, example["topic"], payload[:length])
        bent = bytearray(payload)
        bent[length] ^= 0x15
        decode_or_refuse(name, example["topic"], bytes(bent))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=12,
)


def bend(value: Any, draw: st.DataObject) -> Any:
    """`value` with one part of it replaced by anything."""
    if isinstance(value, dict) and value:
        key = draw.draw(st.sampled_from(sorted(value)))
        return {**value, key: bend(value[key], draw)}
    if isinstance(value, list) and value and draw.draw(st.booleans()):
        place = draw.draw(st.integers(0, len(value) - 1))
        return [*value[:place], bend(value[place], draw), *value[place + 1 :]]
    return draw.draw(JSON)


@pytest.mark.parametrize("name", decoders)
@given(draw=st.data())
def test_examples_with_a_strange_part_decode_or_are_refused(name: str, draw: st.DataObject) -> None:
    example = draw.draw(st.sampled_from(examples_of(name)))
    if "payload" not in example:
        decode_or_refuse(name, example["topic"], draw.draw(st.binary(max_size=200)))
        return
    bent = bend(example["payload"], draw)
    decode_or_refuse(name, example["topic"], json.dumps(bent).encode("utf-8", "surrogatepass"))
