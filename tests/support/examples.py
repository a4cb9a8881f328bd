"""The examples beside the decoders."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from ingest.decoders import decoders

Example = dict[str, Any]


@cache
def examples_of(name: str) -> tuple[Example, ...]:
    """The examples of one decoder."""
    return tuple(json.loads((files("ingest.decoders") / f"{name}.examples.json").read_text(encoding="utf-8")))


def all_examples() -> list[tuple[str, Example]]:
    """Every example with the name of its decoder."""
    return [(name, example) for name in sorted(decoders) for example in examples_of(name)]


def payload_of(example: Example) -> bytes:
    """The bytes of an example."""
    if "payload_hex" in example:
        return bytes.fromhex(example["payload_hex"])
    text = example["payload_text"] if "payload_text" in example else json.dumps(example["payload"])
    return str(text).encode()


SOIL = """
[[mapping]]
name = "soil"
topic = "soil/{probe}"
thing = "{probe}"
family = "air"

[[mapping.observation]]
property = "soil_moisture"
value = "m"
unit = "%"
"""
"""A mapping of a device whose property is none of ours."""
