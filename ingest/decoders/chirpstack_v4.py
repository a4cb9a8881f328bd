"""ChirpStack v4: events over MQTT with its JSON marshaler.

Source: https://www.chirpstack.io/docs/chirpstack/integrations/events.html
"""

from collections.abc import Mapping
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.lorawan import event, located, named_values, server_time, tagged_position, texts, uplink
from ingest.formats.lorawan_cayenne import cayenne
from ingest.formats.lorawan_status import device_status
from ingest.message import Context, Decoded, Incoming, Reported, metadata
from pulso.errors import DecodeError, RejectReason

_KEYS = MappingProxyType(
    {
        "integrationName": "integration",
        "data": "up",
        "object": "up",
        "fPort": "up",
        "margin": "status",
        "location": "location",
    }
)


def _looks_like(message: Incoming) -> bool:
    body = message.body
    return isinstance(body, dict) and _info(body) is not None


@decoder(
    "chirpstack_v4",
    topics=("application/+/device/+/event/+", "application/+/device/+/command/+"),
    looks_like=_looks_like,
)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one event of one device."""
    if message.levels[4:5] == ["command"]:
        return event("a command for a device", message.levels[3])
    body = message.body
    info = _info(body) if isinstance(body, dict) else None
    if not isinstance(body, dict) or info is None:
        raise NotMine
    external_id = str(info["devEui"])
    kind = _kind(message, body)
    if kind not in ("up", "status", "location"):
        return event(kind, external_id)
    thing = Reported(
        external_id,
        phenomenon_time=server_time(body.get("time"), context.timezone),
        model=texts(info.get("deviceProfileName")),
        position=tagged_position(info.get("tags")),
    )
    if kind == "status":
        return device_status(thing, body)
    if kind == "location":
        return _location(thing, body)
    thing.fields = named_values(body.get("object"), "object")
    cayenne(thing)
    return uplink(thing, body.get("data"))


def _info(body: Mapping[object, object]) -> Mapping[object, object] | None:
    info = body.get("deviceInfo")
    return info if isinstance(info, dict) and isinstance(info.get("devEui"), str) else None


def _kind(message: Incoming, body: Mapping[object, object]) -> str:
    """The kind of the event: by the last level of its topic or, on topics of another form, by its keys."""
    if len(message.levels) == 6 and message.levels[4] == "event":
        return message.levels[5]
    return next((kind for key, kind in _KEYS.items() if key in body), "event")


def _location(thing: Reported, body: Mapping[object, object]) -> Decoded:
    thing.position = located(body.get("location"))
    if thing.position is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, "a location event without a location")
    return metadata("the network located the device", thing)
