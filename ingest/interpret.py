"""One message to what it means: the one function that live ingest, replay and the dry run share. Pure but for caches.

Asked in this order: the mappings of the integrator for the topic; the decoder that the city pack claims the topic for,
and no other; the decoders by content type, topic and look. What a decoder leaves as named fields goes through the
device profile that fits, or through the vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

import structlog

from ingest.decoders import NotMine, by_content_type, by_look, by_memory, by_topic, decoders
from ingest.fields import read_fields, unread_fields
from ingest.mapping import DeviceBook, Source
from ingest.message import (
    NOTHING,
    Context,
    Decoded,
    Decoder,
    Incoming,
    MessageOutcome,
    RawMessage,
    Reported,
    Request,
)
from ingest.privacy import namer, redact, redact_topic
from ingest.privacy_columns import redact_columns, redact_groups, redact_headed
from pulso.errors import DecodeError, RejectReason

log = structlog.get_logger()

LARGEST_MESSAGE = 1 << 20
"""Bytes of payload that are decoded. It is what our broker lets through; a larger one would hold up all others."""

_REMEMBERED_TOPIC = 300  # characters; a longer one is looked up each time, so that topics cannot fill the memory
_MOST_TOPICS = 200_000


class Reader(Protocol):
    """What can make sense of a message: a registered decoder, or a mapping. `title` is its name and version."""

    @property
    def title(self) -> str:
        """Name and version, as they are kept with a rejected message."""
        ...

    @property
    def decode(self) -> Decoder:
        """Its function."""
        ...


class Interpretation(NamedTuple):
    """What a message means. `things` have observations and no fields any more; `decoder` is name and version."""

    decoder: str
    outcome: MessageOutcome
    things: Sequence[Reported]
    reason: str = ""
    learned: Mapping[str, object] = NOTHING
    requests: Sequence[Request] = ()


class NotUnderstood(DecodeError):
    """A message that is not understood, with the decoder that said so and the device, as far as they are known.

    `requests` are to be published so that the next ones are.
    """

    def __init__(self, error: DecodeError, decoder: str | None = None, external_id: str | None = None) -> None:
        super().__init__(error.reason, error.detail)
        self.decoder = decoder
        self.external_id = external_id
        self.requests: tuple[Request, ...] = tuple(getattr(error, "requests", ()))


@dataclass(frozen=True, slots=True)
class _Route:
    """What the topic alone decides. `claimed`: the city pack names the decoder, so no other is asked."""

    source: Source | None
    context: Context
    mappings: tuple[Reader, ...]
    by_topic: tuple[Reader, ...]
    claimed: bool


class Interpreter:
    """Interprets messages with the decoders of this release and the devices of a city.

    `timezone` is the clock of the site; `memory` what earlier messages told: the caller puts into it what an
    interpretation has `learned`.
    """

    def __init__(self, devices: DeviceBook, timezone: ZoneInfo, memory: Mapping[str, object] = NOTHING) -> None:
        self._devices = devices
        self._timezone = timezone
        self._memory = memory
        self._routes: dict[str, _Route] = {}

    def use(self, devices: DeviceBook) -> None:
        """Go on with other devices: their files or documents have changed."""
        self._devices = devices
        self._routes.clear()

    def source_of(self, topic: str) -> str:
        """What the books call the source of a topic: as the city pack names it, else the beginning of the topic."""
        levels = topic.split("/")
        source = self._devices.source(levels)
        if source is not None:
            return source.name
        return "/".join(levels[:3]) if levels[:2] == ["pulso", "v1"] else levels[0] or "/".join(levels[:2])

    def redacted(self, message: RawMessage) -> bytes:
        """The payload as it may be kept: without the values of personal fields."""
        try:
            body_format = Incoming(message).parsed.format
        except DecodeError:
            body_format = "json"  # or what somebody meant to be
        kept = redact(message.payload, body_format, self._devices.dropped_names)
        return kept if body_format != "json" else self._redacted_columns(message.topic, kept)

    def _redacted_columns(self, topic: str, payload: bytes) -> bytes:
        """Text without the personal cells that its first line, or a mapping of its topic, names."""
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            return payload
        removes = namer(self._devices.dropped_names)
        for bound in self._devices.mappings(topic.split("/")):
            how = bound.mapping.table.format
            if how.type == "csv" and how.columns:
                text = redact_columns(text, how.columns, how.separator or ",", removes)
            elif how.type == "regex" and how.pattern is not None:
                text = redact_groups(text, how.pattern, removes, lines=how.lines)
        return redact_headed(text, removes).encode()

    def redacted_topic(self, topic: str) -> str:
        """The topic as it may be kept."""
        return redact_topic(topic, self._devices.dropped_names)

    def interpret(self, message: RawMessage) -> Interpretation:
        """What the message means. Raises NotUnderstood."""
        if len(message.payload) > LARGEST_MESSAGE:
            detail = f"{len(message.payload)} bytes; {LARGEST_MESSAGE} at most are decoded"
            raise NotUnderstood(DecodeError(RejectReason.TOO_LARGE, detail))
        incoming = Incoming(message)
        if incoming.refused is not None:
            raise NotUnderstood(incoming.refused)
        route = self._routes.get(message.topic) or self._route(incoming)
        for reader in _readers(route, incoming):
            try:
                return self._read(reader, incoming, route)
            except NotMine:
                continue
        detail = f"no decoder or mapping knows {message.topic[:200]!r}"
        if route.mappings:
            titles = ", ".join(reader.title for reader in route.mappings[:5])
            detail += f"; its topic fits {titles}, but not their 'when'"
        raise NotUnderstood(DecodeError(RejectReason.UNKNOWN_TOPIC, detail))

    def _route(self, message: Incoming) -> _Route:
        source = self._devices.source(message.levels)
        timezone = source.timezone if source is not None and source.timezone is not None else self._timezone
        claim = source.decoder if source is not None else None
        route = _Route(
            source,
            Context(timezone, self._memory),
            tuple(self._devices.mappings(message.levels)),
            tuple(by_topic(message)) if claim is None else (decoders[claim],),
            claim is not None,
        )
        if len(self._routes) >= _MOST_TOPICS:  # a flood of made-up topics must not fill the memory
            self._routes.clear()
        if len(message.topic) <= _REMEMBERED_TOPIC:
            self._routes[message.topic] = route
        return route

    def _read(self, reader: Reader, message: Incoming, route: _Route) -> Interpretation:
        decoded: Decoded | None = None
        try:
            decoded = reader.decode(message, route.context)
            things = self._completed(decoded.things, route)
            return _concluded(reader.title, decoded, things)
        except NotMine:
            raise
        except NotUnderstood as error:
            error.decoder = reader.title
            raise
        except DecodeError as error:
            known = getattr(error, "external_id", None) or _only_thing(decoded)
            raise NotUnderstood(error, reader.title, known) from None
        except Exception as error:
            # Whatever bytes a decoder stumbles over come again after a restart, so ending the process would stop the
            # city for one message. It is kept with its bytes and can be decoded once the decoder is mended.
            log.exception("decoder_failed", decoder=reader.title, topic=message.topic[:_REMEMBERED_TOPIC])
            failure = DecodeError(RejectReason.DECODER_FAILED, f"{type(error).__name__}: {error}"[:500])
            raise NotUnderstood(failure, reader.title, _only_thing(decoded)) from error

    def _completed(self, things: Sequence[Reported], route: _Route) -> Sequence[Reported]:
        """The things with their fields read. Raises NotUnderstood (unmapped) if nothing at all was understood.

        A thing of which nothing was understood is left out where another one was.
        """
        for thing in things:
            if thing.fields is not None or route.source is not None:
                break
        else:
            return things
        understood: list[Reported] = []
        unmapped: NotUnderstood | None = None
        for thing in things:
            try:
                understood.append(self._complete(thing, route))
            except NotUnderstood as error:
                unmapped = error
        if unmapped is not None and not any(thing.observations for thing in understood):
            raise unmapped
        return understood

    def _complete(self, thing: Reported, route: _Route) -> Reported:
        """The thing with its fields read. Raises NotUnderstood (unmapped) if nothing of them was understood."""
        source = route.source
        if source is not None:
            thing.family = thing.family or source.family
            thing.zone = thing.zone or source.zone
        if thing.fields is None:
            return thing
        if source is not None and source.drop:
            thing.fields = {name: value for name, value in thing.fields.items() if name not in source.drop}
        profile = self._devices.profile(thing, source)
        told = {each.observed_property for each in thing.observations}
        if profile is not None:
            read = profile.read(thing, route.context)
            thing.unread = ()  # what it does not name is left out on purpose
            thing.family = thing.family or profile.family
            thing.admits = True
        else:
            read = read_fields(thing.fields, at=thing.phenomenon_time)
            thing.unread = unread_fields(thing.fields)
        thing.observations += [each for each in read if each.observed_property not in told]
        if not thing.observations and profile is None and not thing.only_states:
            names = ", ".join(sorted(map(str, thing.fields))[:12]) or "none"
            raise NotUnderstood(
                DecodeError(RejectReason.UNMAPPED, f"no device profile says what its fields mean: {names}"),
                None,
                thing.external_id,
            )
        thing.fields = None
        return thing


def _readers(route: _Route, message: Incoming) -> Iterator[Reader]:
    """Whom to ask, in order, each once."""
    yield from route.mappings
    if route.claimed or message.content_type is None:
        yield from route.by_topic
        asked: list[Reader] = list(route.by_topic)
    else:
        asked = list(by_content_type(message))
        asked += [reader for reader in route.by_topic if reader not in asked]
        yield from asked
    if not route.claimed:
        for readers in (by_memory(message, route.context.memory), by_look(message)):
            for reader in readers:
                if reader not in asked:
                    asked.append(reader)
                    yield reader


def _concluded(decoder: str, decoded: Decoded, things: Sequence[Reported]) -> Interpretation:
    outcome = decoded.outcome or _outcome_of(things)
    reason = "" if outcome is MessageOutcome.INGEST else decoded.reason
    return Interpretation(decoder, outcome, things, reason, decoded.learned, decoded.requests)


def _outcome_of(things: Sequence[Reported]) -> MessageOutcome:
    outcome = MessageOutcome.IGNORE
    for thing in things:
        if thing.observations:
            return MessageOutcome.INGEST
        if thing.description is not None:
            outcome = MessageOutcome.METADATA
    return outcome


def _only_thing(decoded: Decoded | None) -> str | None:
    return decoded.things[0].external_id if decoded is not None and len(decoded.things) == 1 else None
