"""Why messages are rejected, in words: what each reason means, and what to do about it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pulso.errors import RejectReason


class Advice(NamedTuple):
    """A reason in words. `adoptable`: a mapping, a profile or a decoder can make such a message understood."""

    meaning: str
    remedy: str
    adoptable: bool


_MAP = (
    "Write or mend a mapping or profile for the device (pulso things quarantined --show DEVICE proposes one), adopt it."
)
_DEVICE = "Mend the device or what sends for it; nothing in these bytes can be used."

ADVICE: Mapping[RejectReason, Advice] = MappingProxyType(
    {
        RejectReason.EMPTY: Advice("The payload is empty where a value is needed.", _DEVICE, adoptable=False),
        RejectReason.MALFORMED: Advice(
            "The bytes are not what the format says they are: cut off, not UTF-8, no JSON.",
            "Look at the bytes (pulso rejected show ID). Cut off: mend the sender. Another format: name the right"
            " decoder for the topic in the city pack, then replay.",
            adoptable=True,
        ),
        RejectReason.WRONG_SHAPE: Advice(
            "The format is right, but a field is missing, of another type, or one nobody knows.",
            "Compare the payload with the format (docs/reference/formats); mend the sender, or map the fields it sends,"
            " then replay.",
            adoptable=True,
        ),
        RejectReason.UNKNOWN_TOPIC: Advice(
            "No decoder and no mapping knows this topic or content.", _MAP, adoptable=True
        ),
        RejectReason.UNKNOWN_PROPERTY: Advice(
            "It names an observed property that is not in the vocabulary.",
            "Map the name to one of the vocabulary; a mapping may also admit a new property by stating its unit.",
            adoptable=True,
        ),
        RejectReason.UNKNOWN_ZONE: Advice(
            "The device says it stands in a zone that the city pack does not have.",
            "Correct the zone in the device's description, or add the zone to city.toml, then replay.",
            adoptable=False,
        ),
        RejectReason.UNKNOWN_THING: Advice(
            "It speaks of a device nobody has described.",
            "Send the device's description, or adopt the device, then replay.",
            adoptable=True,
        ),
        RejectReason.UNKNOWN_UNIT: Advice(
            "It states a unit nobody knows; units are never guessed.",
            "State the unit in a mapping or profile, then replay.",
            adoptable=True,
        ),
        RejectReason.UNIT_MISMATCH: Advice(
            "The unit cannot be that of the property, or is not the one its datastream is kept in.",
            "Correct the unit in the mapping or the device. A datastream keeps its first unit: to change it, retire the"
            " thing and give the device a new id.",
            adoptable=True,
        ),
        RejectReason.FAMILY_MISMATCH: Advice(
            "The device is known under another family.",
            "Correct the topic or mapping, or the family of the thing (pulso things set), then replay.",
            adoptable=False,
        ),
        RejectReason.TOO_MANY_PROPERTIES: Advice(
            "The thing has as many datastreams as one may have; a device that makes up names looks like this.",
            "Map the few fields that matter and leave the others out.",
            adoptable=False,
        ),
        RejectReason.IMPOSSIBLE_RESULT: Advice(
            "A result is no finite number or larger than any quantity of a city.",
            "If it stands for `no reading`, say so in the mapping (error values), then replay; else mend the device.",
            adoptable=False,
        ),
        RejectReason.FUTURE_TIMESTAMP: Advice(
            "Its time is more than five minutes ahead of our clock.",
            "Set the clock or the time zone of the device (for times without a zone: the mapping's). A replay judges"
            " the time against the moment of receipt again.",
            adoptable=False,
        ),
        RejectReason.IMPOSSIBLE_TIMESTAMP: Advice(
            "Its time lies before the year 2000 or outside the calendar: a clock that was never set.",
            "Set the clock of the device, or let the mapping take the time of receipt, then replay.",
            adoptable=False,
        ),
        RejectReason.TOO_LARGE: Advice(
            "More than 1 MiB of payload.", "Let the device send smaller messages.", adoptable=False
        ),
        RejectReason.DECODER_FAILED: Advice(
            "A decoder stumbled over these bytes: a fault of this program.",
            "Report it with the bytes (pulso rejected show ID); replay after an update.",
            adoptable=True,
        ),
        RejectReason.NOT_STORABLE: Advice(
            "It was understood, but the database refuses the values.",
            "Look at the detail; if it is a fault of this program, replay after an update.",
            adoptable=False,
        ),
        RejectReason.UNDECODED: Advice(
            "A known envelope around bytes that only a codec of the device could read.",
            "Install the device's payload codec in the network server, or give the device a profile; what was kept is"
            " replayed then, if the envelope already held decoded fields.",
            adoptable=True,
        ),
        RejectReason.UNMAPPED: Advice(
            "The envelope is known, but nothing says what its fields mean.", _MAP, adoptable=True
        ),
        RejectReason.NO_BIRTH: Advice(
            "Data under aliases whose names come in a birth message that has not arrived.",
            "A rebirth is asked for by itself; if the device does not answer, restart it, then replay.",
            adoptable=True,
        ),
    }
)

ADOPTABLE = tuple(reason for reason, advice in ADVICE.items() if advice.adoptable)
"""Reasons for which a device is listed as not understood."""


def advice(reason: str) -> Advice:
    """The words for a stored reason, also for one of another release."""
    try:
        return ADVICE[RejectReason(reason)]
    except (ValueError, KeyError):
        return Advice(f"{reason}: a reason this release does not know.", "Replay it.", adoptable=False)
