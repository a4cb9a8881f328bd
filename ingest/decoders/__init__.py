"""Decoders, one module per payload family, each registered by name and found by topic, content type or look.

Each module of this package registers itself when it is imported, which happens here for all of them; its examples
stand beside it as `<name>.examples.json` and are its tests and its documentation.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from ingest.message import Decoder, Incoming
from pulso.errors import DecodeError
from pulso.registry import Registry

AnyDecoder = TypeVar("AnyDecoder", bound=Decoder)


class NotMine(Exception):
    """The message is none of this decoder's kind; the next one is asked."""


@dataclass(frozen=True, eq=False)
class Registered:
    """A decoder with what it is found by.

    `decode` is its function; `topics` are MQTT filters it claims; `content_types` the MQTT 5 content types;
    `looks_like` tells its kind by the content, on any topic; `by_memory` says that it reads the topics for which
    `<name>:<topic>` was learned. `retained` are filters of messages that the broker keeps and that are needed to
    understand others: they are subscribed without sharing. `version` grows when the same bytes come to be decoded
    otherwise.
    """

    name: str
    version: int
    decode: Decoder
    topics: tuple[tuple[str, ...], ...]
    content_types: frozenset[str]
    looks_like: Callable[[Incoming], bool] | None
    retained: tuple[str, ...]
    by_memory: bool

    @cached_property
    def title(self) -> str:
        """Name and version, as they are kept with a rejected message."""
        return f"{self.name}@{self.version}"


decoders: Registry[Registered] = Registry("decoder")


def decoder(  # noqa: PLR0913 (a registration names all it is found by)
    name: str,
    *,
    version: int = 1,
    topics: tuple[str, ...] = (),
    content_types: tuple[str, ...] = (),
    looks_like: Callable[[Incoming], bool] | None = None,
    retained: tuple[str, ...] = (),
    by_memory: bool = False,
) -> Callable[[AnyDecoder], AnyDecoder]:
    """Register a decoder as `name`; see `Registered`. `looks_like` may raise DecodeError: the answer is then no."""

    def add(function: AnyDecoder) -> AnyDecoder:
        filters = tuple(tuple(each.split("/")) for each in topics)
        entry = Registered(name, version, function, filters, frozenset(content_types), looks_like, retained, by_memory)
        decoders.register(name)(entry)
        return function

    return add


def by_content_type(message: Incoming) -> Iterator[Registered]:
    """The decoders of the content type that the message states."""
    kind = content_kind(message.content_type)
    return (entry for entry in decoders.values() if kind is not None and kind in entry.content_types)


def by_topic(message: Incoming) -> Iterator[Registered]:
    """The decoders that claim the topic, in order of registration (the modules' names)."""
    levels = message.levels
    beginnings = (levels[0], "+", "#")
    for entry in decoders.values():
        if any(each[0] in beginnings and matches(each, levels) for each in entry.topics):
            yield entry


def by_memory(message: Incoming, memory: Mapping[str, object]) -> Iterator[Registered]:
    """The decoders for which something was learned about this very topic."""
    return (entry for entry in decoders.values() if entry.by_memory and f"{entry.name}:{message.topic}" in memory)


def by_look(message: Incoming) -> Iterator[Registered]:
    """The decoders that know their kind by the content, on any topic."""
    for entry in decoders.values():
        if entry.looks_like is not None and _looks_like(entry, message):
            yield entry


def content_kind(content_type: str | None) -> str | None:
    """A content type without its parameters, in lower case.

    >>> content_kind("Application/JSON; charset=utf-8")
    'application/json'
    """
    return None if content_type is None else content_type.partition(";")[0].strip().lower()


def matches(topic_filter: tuple[str, ...], levels: list[str]) -> bool:
    """Topic matching of MQTT 5 (4.7): `+` stands for one level, a final `#` for the rest, its parent included."""
    if topic_filter[-1] == "#":
        topic_filter = topic_filter[:-1]
        levels = levels[: len(topic_filter)]
    return len(topic_filter) == len(levels) and all(
        wanted in ("+", level) for wanted, level in zip(topic_filter, levels, strict=True)
    )


def _looks_like(entry: Registered, message: Incoming) -> bool:
    try:
        return entry.looks_like is not None and entry.looks_like(message)
    except DecodeError:
        return False


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
