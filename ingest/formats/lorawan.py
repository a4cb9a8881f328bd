"""What the messages of LoRaWAN network servers have in common.

All of them wrap the bytes of a device in an envelope; where the server has a codec of the device, the envelope also
holds named values. What these names mean is told by a device profile, or by the vocabulary.
"""

import base64
import binascii
import re
import statistics
from collections.abc import Iterable, Mapping
from zoneinfo import ZoneInfo

from ingest.formats.moments import iso_moment
from ingest.formats.positions import position
from ingest.measured import as_number
from ingest.message import Decoded, MessageOutcome, Reported, ignored
from pulso.errors import DecodeError, RejectReason

_FIRST_YEARS = 946_684_800_000_000  # microseconds to 2000-01-01; earlier there was no LoRaWAN, but unset clocks


_RAW = frozenset({"bytes", "raw", "rawdata", "rawpayload", "hex", "payload", "payloadhex", "port", "fport", "errors"})
"""Names, in small letters without separators, of what a codec passes on that decodes nothing."""


def uplink(thing: Reported, frame: object, *, failed: str = "") -> Decoded:
    """An uplink of a device: its named values if there are any, else its bytes undecoded, else nothing.

    `frame` is the frame as text (base64 or hexadecimal); `failed` says why the server could not decode it.
    """
    if thing.observations or (thing.fields and not _is_raw(thing.fields)):
        return Decoded((thing,))
    thing.fields = None
    if not isinstance(frame, str) or not frame:
        return Decoded((thing,), MessageOutcome.IGNORE, "an uplink without data")
    reason = f"the network server did not decode it: {failed[:200]}" if failed else "the network server has no codec"
    return Decoded((thing,), MessageOutcome.UNDECODED, reason)


def _is_raw(fields: Mapping[str, object]) -> bool:
    """Whether a codec only passed the bytes on, as the template of The Things Stack does, or says that it cannot."""
    return all(
        re.sub(r"[^a-z]", "", str(name).lower()) in _RAW and not isinstance(value, dict)
        for name, value in fields.items()
    )


def event(kind: str, external_id: str | None) -> Decoded:
    """A message of the network about a device, in which nothing was measured."""
    return ignored(f"{kind[:80]}: no measurement", external_id)


def named_values(value: object, what: str) -> Mapping[str, object] | None:
    """The named values that a codec made; None if there are none. Raises DecodeError (wrong_shape) for a non-object."""
    if value is None or isinstance(value, dict):
        return value or None
    raise DecodeError(RejectReason.WRONG_SHAPE, f"{what} is not an object")


def server_time(text: object, zone: ZoneInfo) -> int | None:
    """The time at which the server got the frame; None if it is not told. Raises DecodeError (wrong_shape)."""
    if text is None or text == "":
        return None
    moment = iso_moment(text, zone)
    if moment is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, f"{str(text)[:80]!r} is not an ISO 8601 time")
    return moment if moment >= _FIRST_YEARS else None


def gateway_time(times: Iterable[object], zone: ZoneInfo) -> int | None:
    """The time at which gateways heard a frame: the median of theirs, so that one wrong clock of three does no harm."""
    moments = [moment for moment in (iso_moment(each, zone) for each in times) if moment is not None]
    heard = [moment for moment in moments if moment >= _FIRST_YEARS]
    return statistics.median_low(heard) if heard else None


def battery_percent(level: object) -> float | None:
    """A battery level in percent; None for a number outside 0 to 100, by which servers say that it is unknown."""
    number = None if isinstance(level, bool) else as_number(level)
    return number if number is not None and 0 <= number <= 100 else None


def tagged_position(tags: object) -> tuple[float, float] | None:
    """The position that people wrote into the tags of a device, under the usual names."""
    if not isinstance(tags, Mapping):
        return None
    lower = {str(name).lower(): value for name, value in tags.items()}
    for latitude, longitude in (("latitude", "longitude"), ("lat", "lon"), ("lat", "lng"), ("lat", "long")):
        found = position(lower.get(latitude), lower.get(longitude))
        if found is not None:
            return found
    return None


def located(value: object) -> tuple[float, float] | None:
    """The position in an object with latitude and longitude."""
    return position(value.get("latitude"), value.get("longitude")) if isinstance(value, Mapping) else None


def eui(text: str) -> str:
    """A device EUI as hexadecimal text, where it is sent in base64; any other text is returned unchanged.

    >>> eui("AgICAgICAgI="), eui("0202020202020202")
    ('0202020202020202', '0202020202020202')
    """
    if not re.fullmatch(r"[A-Za-z0-9+/]{11}=", text):
        return text
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return text


def texts(*values: object) -> tuple[str, ...]:
    """Those values that are text and say something, each once."""
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value.strip()))
