"""A message as it came from the broker, and what a decoder makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from ingest.bodies.body import Body
from ingest.bodies.gzip_body import is_gzip, unpacked
from pulso.errors import DecodeError
from pulso.model import Family, ThingDescription

LARGEST_RESULT = 1e15
"""No quantity of a city comes near it, in any unit; its square, summed over years, is still far from overflow."""

NOTHING: Mapping[str, object] = MappingProxyType({})


class RawMessage(NamedTuple):
    """One PUBLISH packet. `received_at` in microseconds since 1970 UTC; `connection` counts our connections.

    `content_type` is the property of MQTT 5, None if it was not sent. `retained` says that the time of receipt tells
    nothing about when it was measured: the broker kept it from before we subscribed, or sends it a second time.
    """

    topic: str
    payload: bytes
    received_at: int
    mid: int = 0
    qos: int = 1
    redelivered: bool = False
    connection: int = 0
    content_type: str | None = None
    retained: bool = False

    def fingerprint(self) -> bytes:
        """SHA-256 of packet identifier, topic and payload: equal for a message that is delivered again."""
        digest = sha256(self.mid.to_bytes(2, "big") + self.topic.encode("utf-8", "surrogatepass") + b"\x00")
        digest.update(self.payload)
        return digest.digest()


class MessageOutcome(StrEnum):
    """What a message was good for."""

    INGEST = "ingest"
    IGNORE = "ignore"  # valid, and nothing was measured
    METADATA = "metadata"  # describes a device
    UNDECODED = "undecoded"  # a known envelope around bytes that only a codec of the device could read
    QUARANTINE = "quarantine"  # not understood; kept with its bytes


class DecodedObservation(NamedTuple):
    """One result of one property. Times in microseconds since 1970 UTC; None where the message does not tell.

    `result` is in `unit`, a canonical UCUM code of the property; None stands for its default one. `sent_result` and
    `sent_unit` are what stood in the message, where a conversion lies between (None: nothing was converted).
    """

    observed_property: str
    result: float
    unit: str | None = None
    phenomenon_time: int | None = None
    result_time: int | None = None
    sent_result: float | None = None
    sent_unit: str | None = None


@dataclass(slots=True)
class Reported:
    """What one message says about one thing.

    `family` is None where nothing tells it: it is then guessed from what is observed, once, for a new thing. `fields`
    are named values of a known envelope whose meaning the envelope does not define: a device profile or, for the names
    everyone uses alike, the vocabulary turns them into observations of `phenomenon_time`. `model` are the names by
    which the message tells the kind of device; profiles match on them. `position` is (latitude, longitude) of the
    device itself, never of a gateway, and `zone` where a mapping or the city pack says it is; both count when the thing
    is first met. `admits` says that a mapping of the integrator vouches for properties outside our vocabulary.
    `unread` names the numbers among the fields that nothing gave a meaning; None where nobody has looked.
    `only_states` says that the fields are states, as truth values are: it is no fault that nobody gives them a meaning.
    """

    external_id: str
    family: Family | None = None
    observations: list[DecodedObservation] = field(default_factory=list)
    fields: Mapping[str, object] | None = None
    phenomenon_time: int | None = None
    model: tuple[str, ...] = ()
    description: ThingDescription | None = None
    position: tuple[float, float] | None = None
    zone: str | None = None
    admits: bool = False
    unread: Sequence[str] | None = None
    only_states: bool = False


class Request(NamedTuple):
    """A message that a decoder asks to publish in answer, for instance for a Sparkplug rebirth."""

    topic: str
    payload: bytes


@dataclass(slots=True)
class Decoded:
    """What one message says. `outcome` None is told by what `things` hold: INGEST if anything was observed.

    `learned` is what later messages need to be understood (aliases, units): JSON values by key, kept over restarts and
    found by every worker in `Context.memory`. `reason` explains an outcome other than INGEST in words.
    """

    things: Sequence[Reported] = ()
    outcome: MessageOutcome | None = None
    reason: str = ""
    learned: Mapping[str, object] = field(default_factory=dict)
    requests: Sequence[Request] = ()


def ignored(reason: str, external_id: str | None = None) -> Decoded:
    """A valid message in which nothing was measured."""
    return Decoded(_known(external_id), MessageOutcome.IGNORE, reason)


def undecoded(reason: str, external_id: str, *, model: tuple[str, ...] = (), family: Family | None = None) -> Decoded:
    """A known envelope around bytes we have no codec for: kept, counted, and its device listed."""
    return Decoded((Reported(external_id, family, model=model),), MessageOutcome.UNDECODED, reason)


def metadata(reason: str, *things: Reported, learned: Mapping[str, object] = NOTHING) -> Decoded:
    """A message that describes devices."""
    return Decoded(things, MessageOutcome.METADATA, reason, learned)


def _known(external_id: str | None) -> Sequence[Reported]:
    return () if external_id is None else (Reported(external_id),)


class Incoming:
    """A message as decoders see it: the packet, its topic in levels, and its body parsed once, when first asked for.

    `payload` is what the device had to say: unpacked where it was sent as gzip. `refused` is why it cannot be, which
    whoever asks for the body is told.
    """

    __slots__ = ("_body", "content_type", "levels", "payload", "received_at", "refused", "retained", "topic")

    def __init__(self, message: RawMessage) -> None:
        self.topic = message.topic
        self.payload = message.payload
        self.received_at = message.received_at
        self.content_type = message.content_type
        self.retained = message.retained
        self.levels = message.topic.split("/")
        self.refused: DecodeError | None = None
        if is_gzip(message.payload):
            try:
                self.payload = unpacked(message.payload)
            except DecodeError as error:
                self.refused = error
        self._body: Body | DecodeError | None = self.refused

    @property
    def body(self) -> object:
        """The payload as JSON-like values (dict with text keys, list, str, int, float, bool, None).

        JSON, CBOR, MessagePack or XML, by content type or else by its look. Raises DecodeError (malformed, empty,
        too_large).
        """
        return self.parsed.value

    @property
    def parsed(self) -> Body:
        """The body with the format it was in. Raises DecodeError."""
        if self._body is None:
            try:
                self._body = Body.parse(self.payload, self.content_type)
            except DecodeError as error:
                self._body = error
        if isinstance(self._body, DecodeError):  # every decoder that is asked asks again
            raise DecodeError(self._body.reason, self._body.detail)
        return self._body

    @property
    def text(self) -> str:
        """The payload as UTF-8 text. Raises DecodeError (malformed)."""
        return Body.text(self.payload)


@dataclass(frozen=True, slots=True)
class Context:
    """What a decoder may know beside the message.

    `timezone` is the clock of the site, for times without a zone; `memory` what earlier messages told
    (`Decoded.learned`).
    """

    timezone: ZoneInfo
    memory: Mapping[str, object] = field(default_factory=dict)


class Decoder(Protocol):
    """Turns a message into `Decoded`. Pure; raises DecodeError for the whole message, all or nothing.

    May raise `ingest.decoders.NotMine` where its topic or look fits and the message is none of its kind after all.
    """

    def __call__(self, message: Incoming, context: Context, /) -> Decoded:
        """Decode one message."""
        ...
