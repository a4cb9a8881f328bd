"""What a mapping that is tried leaves open, in words: nothing that would be an error, yet not what was meant either."""

import tomllib
from collections.abc import Iterator

from ingest.mapping import DeviceBook
from ingest.mapping.mappings import BoundMapping, unread
from ingest.message import Context, Incoming
from pulso.errors import DecodeError

_MOST = 12


def notes(text: str, book: DeviceBook, message: Incoming, context: Context, decoder: str | None) -> list[str]:
    """What `text`, a file of the mapping language that is part of `book`, does not read of a message.

    `decoder` is who understood the message, as it is kept; None if nobody did. Raises nothing for any message.
    """
    return list(_notes(text, book, message, context, decoder))[:_MOST]


def _notes(text: str, book: DeviceBook, message: Incoming, context: Context, decoder: str | None) -> Iterator[str]:
    topics = _topics(text)
    fitting = [each for each in book.mappings(message.levels) if each.mapping.table.name in topics]
    if topics and not fitting:
        shown = ", ".join(repr(topic) for topic in list(topics.values())[:5])
        yield f"no mapping of this file is for the topic {message.topic[:200]!r}; its topics: {shown}"
    for each in fitting:
        if each.title == decoder:
            yield from _of(each, message, context)
        elif decoder is None or not decoder.startswith("mapping:"):
            yield f"mapping {each.mapping.table.name!r} is for this topic, and did not read the message"


def _of(bound: BoundMapping, message: Incoming, context: Context) -> Iterator[str]:
    try:
        missing, is_timeless = unread(bound, message, context)
    except DecodeError:
        return
    for path in missing:
        yield f"{path}: not in the message, or not in every record of it"
    if is_timeless:
        yield "no time is found in the message where 'time' looks for it; the time of receipt stands in"


def _topics(text: str) -> dict[str, str]:
    """The topics of the mappings of a file by their names."""
    mappings = tomllib.loads(text).get("mapping", [])
    return {str(each.get("name")): str(each.get("topic")) for each in mappings if isinstance(each, dict)}
