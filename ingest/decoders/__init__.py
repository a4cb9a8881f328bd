"""Decoders, one module per payload family, each registered by name and found by topic.

Each module registers itself when it is imported; its examples stand beside it as `<name>.examples.json` and are its
tests and its documentation.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from ingest.message import Decoder
from pulso.errors import DecodeError, RejectReason
from pulso.registry import Registry

AnyDecoder = TypeVar("AnyDecoder", bound=Decoder)


class Route(NamedTuple):
    """The topics (an MQTT filter) a decoder is tried for."""

    topic_filter: tuple[str, ...]
    decoder: str


decoders: Registry[Decoder] = Registry("decoder")
_routes: list[Route] = []


def decoder(name: str, *, topics: str) -> Callable[[AnyDecoder], AnyDecoder]:
    """Register a decoder as `name` for the MQTT topic filter `topics`; earlier registrations go first."""

    def add(function: AnyDecoder) -> AnyDecoder:
        decoders.register(name)(function)
        _routes.append(Route(tuple(topics.split("/")), name))
        return function

    return add


def find_decoder(topic: str) -> str:
    """The name of the decoder for a topic. Raises DecodeError (unknown_topic) if none claims it."""
    levels = topic.split("/")
    for route in _routes:
        if _matches(route.topic_filter, levels):
            return route.decoder
    raise DecodeError(RejectReason.UNKNOWN_TOPIC, f"no decoder claims the topic {topic!r}")


def _matches(topic_filter: tuple[str, ...], levels: list[str]) -> bool:
    """Topic matching of MQTT 5 (4.7): `+` stands for one level, a final `#` for the rest, its parent included."""
    if topic_filter[-1] == "#":
        topic_filter = topic_filter[:-1]
        levels = levels[: len(topic_filter)]
    return len(topic_filter) == len(levels) and all(
        wanted in ("+", level) for wanted, level in zip(topic_filter, levels, strict=True)
    )


from ingest.decoders import pulso_json  # noqa: E402, F401 (registers itself; needs the names above)
