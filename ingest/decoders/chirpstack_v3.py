"""ChirpStack Application Server v3 and LoRa Server: events over MQTT, with the JSON marshalers `json` and `json_v3`.

Source: https://www.chirpstack.io/application-server/integrations/events/ (archived with version 3).
"""

from collections.abc import Mapping
from types import MappingProxyType

from ingest.bodies.body import Body
from ingest.decoders import NotMine, decoder
from ingest.formats.lorawan import (
    eui,
    event,
    gateway_time,
    located,
    named_values,
    server_time,
    tagged_position,
    texts,
    uplink,
)
from ingest.formats.lorawan_cayenne import cayenne
from ingest.formats.lorawan_status import device_status
from ingest.formats.readings import epoch_moment
from ingest.message import Context, Decoded, Incoming, Reported, metadata
from pulso.errors import DecodeError, RejectReason

_NEAR = 60_000_000  # microseconds; what a gateway and the server can be apart if both clocks are right
_OTHER_EVENTS = frozenset({"acknowledged", "devAddr", "error", "gatewayID"})
"""Keys of joins, acknowledgements, errors and transmissions."""
_FRAME = frozenset({"data", "object", "objectJSON"})
_OLD_NAMES = MappingProxyType({"rx": "up"})


def _looks_like(message: Incoming) -> bool:
    body = message.body
    return isinstance(body, dict) and _is_ours(body)


@decoder(
    "chirpstack_v3",
    topics=("application/+/device/+/event/+", "application/+/device/+/+", "application/+/node/+/+"),
    looks_like=_looks_like,
)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one event of one device."""
    if len(message.levels) == 5 and message.levels[4] == "tx":
        return event("a command for a device", message.levels[3])
    body = message.body
    if not isinstance(body, dict) or not _is_ours(body):
        raise NotMine
    external_id = eui(body["devEUI"])
    kind = _kind(message, body)
    if kind is None:
        raise NotMine
    if kind not in ("up", "status", "location"):
        return event(kind, external_id)
    thing = Reported(
        external_id,
        phenomenon_time=_time(body, context),
        model=texts(body.get("deviceProfileName")),
        position=tagged_position(body.get("tags")),
    )
    if kind == "status":
        return device_status(thing, body)
    if kind == "location":
        return _location(thing, body)
    thing.fields = _fields(body)
    cayenne(thing)
    return uplink(thing, body.get("data"))


def _is_ours(body: Mapping[object, object]) -> bool:
    """Whether this is an event, perhaps without what somebody who passed it on had no use for."""
    return (
        isinstance(body.get("devEUI"), str)
        and "deviceInfo" not in body
        and ("applicationID" in body or ("deviceName" in body and not _FRAME.isdisjoint(body)))
    )


def _kind(message: Incoming, body: Mapping[object, object]) -> str | None:
    """The kind of the event: by the last level of its topic or, on topics of another form, by its keys.

    None for what no event of ChirpStack has: gateways write values of their own into envelopes like these.
    """
    levels = message.levels
    if levels[0] == "application" and len(levels) >= 5:
        return _OLD_NAMES.get(levels[-1], levels[-1])
    for kind, keys in (
        ("integration", ("integrationName",)),
        ("up", ("data", "object", "objectJSON", "fPort")),
        ("status", ("margin",)),
        ("location", ("location",)),
    ):
        if any(key in body for key in keys):
            return kind
    return "event" if _OTHER_EVENTS & body.keys() else None


def _fields(body: Mapping[object, object]) -> Mapping[str, object] | None:
    """The decoded object: as such (json_v3), or as text of JSON (json)."""
    text = body.get("objectJSON")
    if isinstance(text, str) and text:
        return named_values(Body.parse(text.encode("utf-8", "surrogatepass"), "application/json").value, "objectJSON")
    return named_values(body.get("object"), "object")


def _time(body: Mapping[object, object], context: Context) -> int | None:
    """When the gateways heard the frame, unless their clocks disagree with the one of the server."""
    server = server_time(body.get("publishedAt") or body.get("time"), context.timezone)
    if server is None and isinstance(body.get("timestamp"), int):  # of the server in RAKwireless gateways
        server = epoch_moment(body["timestamp"], per_second=1)
    gateways = body.get("rxInfo")
    times = [each.get("time") for each in gateways if isinstance(each, dict)] if isinstance(gateways, list) else []
    heard = gateway_time(times, context.timezone)
    if heard is None or (server is not None and abs(server - heard) > _NEAR):
        return server
    return heard


def _location(thing: Reported, body: Mapping[object, object]) -> Decoded:
    thing.position = located(body.get("location"))
    if thing.position is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, "a location event without a location")
    return metadata("the network located the device", thing)
