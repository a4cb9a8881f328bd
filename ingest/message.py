"""A message as it came from the broker, and what a decoder makes of it."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple, Protocol

from pulso.model import Family, ThingDescription

LARGEST_RESULT = 1e15
"""No quantity of a city comes near it, in any unit; its square, summed over years, is still far from overflow."""


class RawMessage(NamedTuple):
    """One PUBLISH packet. `received_at` in microseconds since 1970 UTC; `connection` counts our connections."""

    topic: str
    payload: bytes
    received_at: int
    mid: int
    qos: int
    redelivered: bool
    connection: int

    def fingerprint(self) -> bytes:
        """SHA-256 of packet identifier, topic and payload: equal for a message that is delivered again."""
        digest = sha256(self.mid.to_bytes(2, "big") + self.topic.encode("utf-8", "surrogatepass") + b"\x00")
        digest.update(self.payload)
        return digest.digest()


class DecodedObservation(NamedTuple):
    """One result of one property. Times in microseconds since 1970 UTC; None where the message does not tell.

    `unit` is the UCUM code the message states; None means the canonical one of the property.
    """

    observed_property: str
    result: float
    unit: str | None = None
    phenomenon_time: int | None = None
    result_time: int | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one message says about one thing: observations, or what the thing is, or nothing of interest."""

    external_id: str
    family: Family
    observations: list[DecodedObservation] = field(default_factory=list)
    description: ThingDescription | None = None


class Decoder(Protocol):
    """Turns a payload into `Decoded`. Pure; raises DecodeError for the whole message, all or nothing."""

    def __call__(self, topic: str, payload: bytes) -> Decoded:
        """Decode one message."""
        ...
