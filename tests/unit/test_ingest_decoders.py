"""Every registered decoder against the examples beside it."""

import json
from datetime import datetime
from importlib.resources import files
from typing import Any

import pytest

from ingest.decoders import decoders, find_decoder
from ingest.message import Decoded
from pulso.errors import DecodeError, RejectReason
from pulso.model import from_micros


def examples() -> list[Any]:
    folder = files("ingest.decoders")
    return [
        pytest.param(name, example, id=f"{name}: {example['name']}")
        for name in decoders
        for example in json.loads((folder / f"{name}.examples.json").read_text(encoding="utf-8"))
    ]


def payload_of(example: dict[str, Any]) -> bytes:
    text = example["payload_text"] if "payload_text" in example else json.dumps(example["payload"])
    return str(text).encode()


def told(decoded: Decoded) -> list[dict[str, Any]]:
    """Observations in the notation of the examples: what is not told is left out."""
    return [
        {
            key: from_micros(value) if key.endswith("time") else value
            for key, value in row._asdict().items()
            if value is not None
        }
        for row in decoded.observations
    ]


def expected(example: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {key: datetime.fromisoformat(value) if key.endswith("time") else value for key, value in row.items()}
        for row in example.get("observations", [])
    ]


@pytest.mark.parametrize(("name", "example"), examples())
def test_example_decodes_as_it_says(name: str, example: dict[str, Any]) -> None:
    if "rejected" in example:
        with pytest.raises(DecodeError) as caught:
            decoders[name](example["topic"], payload_of(example))
        assert caught.value.reason == example["rejected"]
        assert caught.value.detail
        return
    decoded = decoders[name](example["topic"], payload_of(example))

    assert told(decoded) == expected(example)
    if "description" in example:
        description = decoded.description
        assert description is not None
        shown = {key: getattr(description, key) for key in example["description"]}
        shown["expected_interval"] = description.expected_interval.total_seconds()
        assert shown == example["description"]


@pytest.mark.parametrize("name", decoders)
def test_every_decoder_is_found_by_the_topics_of_its_examples(name: str) -> None:
    for _, example in (param.values for param in examples() if param.values[0] == name):
        assert find_decoder(example["topic"]) == name


@pytest.mark.parametrize(
    "topic", ["", "pulso/v1", "pulso/v1/traffic", "pulso/v2/traffic/x", "other", "pulso/v1/traffic/a/b"]
)
def test_topic_nobody_claims_is_unknown(topic: str) -> None:
    with pytest.raises(DecodeError) as caught:
        find_decoder(topic)

    assert caught.value.reason is RejectReason.UNKNOWN_TOPIC


@pytest.mark.parametrize("name", decoders)
def test_any_bytes_decode_or_raise_a_decode_error(name: str) -> None:
    topic = "pulso/v1/traffic/x"
    for payload in (
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"observations":' * 5_000,
        b"0",
        b'"x"',
        bytes(range(256)),
        b"\x00" * 1000,
    ):
        with pytest.raises(DecodeError):
            decoders[name](topic, payload)
