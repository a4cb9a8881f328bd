"""Further LoRaWAN network servers, each described by where its uplinks hold device, time, frame and decoded values.

Sources: Everynet, Data API, "Uplink message"; Kerlink, Wanesy Management Center, push API of version 3 (`dataUp`);
MultiTech, LoRa network server, MQTT messages (`up`); Orange, Live Objects, data messages of LoRa devices; Senet, MQTT
notification, default data fields; Netmore, MQTT and HTTP uplinks, older and newer; Servanet, which passes on the events
of its ChirpStack, and the events of diwise (github.com/diwise/iot-agent, facades); Milesight, gateways with a network
server and a payload codec; Sigfox, callbacks of its backend.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ingest.decoders import decoder
from ingest.formats.lorawan import event, named_values, server_time, texts, uplink
from ingest.formats.readings import epoch_moment
from ingest.measured import as_number
from ingest.message import Context, Decoded, Incoming, Reported
from pulso.errors import DecodeError, RejectReason

_MILLISECONDS_FROM = 100_000_000_000
"""A count since 1970 from here on is one of milliseconds: as seconds it would be beyond the year 5000."""
_OF_GATEWAY = frozenset(
    {
        "applicationID",
        "applicationName",
        "cellularIP",
        "data",
        "devEUI",
        "deviceName",
        "fCnt",
        "fPort",
        "gatewayTime",
        "rxInfo",
        "time",
        "txInfo",
    }
)
"""What a Milesight gateway writes beside the values that its codec decoded."""


@dataclass(frozen=True, slots=True)
class _Server:
    """Where an uplink of a server holds what. `marks` have to be there; `kind` is where it names an event, `up` which.

    `decoded` gives the named values of a codec of the server, if there are any; `model` is where it tells the kind of
    device.
    """

    device: str
    marks: tuple[str, ...]
    time: tuple[str, ...]
    frame: str
    kind: str | None = None
    up: frozenset[str] = frozenset()
    decoded: Callable[[Mapping[str, object]], Mapping[str, object] | None] | None = None
    model: str | None = None


def _live_objects_fields(body: Mapping[str, object]) -> Mapping[str, object] | None:
    """The values of a decoder of Live Objects, which stand where the frame would."""
    value = body.get("value")
    if not isinstance(value, dict) or "payload" in value:
        return None
    return {name: each for name, each in value.items() if name not in ("port", "fcnt", "signalLevel")} or None


def _beside_the_envelope(body: Mapping[str, object]) -> Mapping[str, object] | None:
    return {name: each for name, each in body.items() if name not in _OF_GATEWAY} or None


def _object(body: Mapping[str, object]) -> Mapping[str, object] | None:
    return named_values(body.get("object"), "object")


_SERVERS = (
    _Server(  # Everynet
        "meta.device",
        ("type", "params"),
        ("params.rx_time", "meta.time"),
        "params.payload",
        "type",
        frozenset({"uplink"}),
    ),
    _Server("endDevice.devEui", ("recvTime", "fPort"), ("gwRecvTime", "recvTime"), "payload"),  # Kerlink Wanesy
    _Server(  # Orange Live Objects
        "metadata.network.lora.devEUI",
        ("streamId", "value"),
        ("timestamp",),
        "value.payload",
        "metadata.network.lora.messageType",
        frozenset({"UNCONFIRMED_DATA_UP", "CONFIRMED_DATA_UP"}),
        _live_objects_fields,
    ),
    _Server("deveui", ("modu", "datr", "data"), ("time",), "data"),  # MultiTech
    _Server("devEui", ("pdu", "txtime"), ("txtime",), "pdu"),  # Senet
    _Server(  # Netmore
        "devEui",
        ("gatewayIdentifier", "fPort"),
        ("timestamp",),
        "payload",
        "messageType",
        frozenset({"payload"}),
        model="sensorType",
    ),
    _Server("devEui", ("sensorType", "fPort", "payload"), ("timestamp",), "payload", model="sensorType"),  # its newer
    _Server(  # Servanet
        "devEui", ("sensorType", "fPort", "data"), ("timestamp",), "data", decoded=_object, model="sensorType"
    ),
    _Server(
        "devEUI", ("sensorType", "payload", "source"), ("timestamp",), "payload.data", model="sensorType"
    ),  # diwise
    _Server(  # Milesight
        "devEUI", ("gatewayTime", "deviceName"), ("time", "gatewayTime"), "data", decoded=_beside_the_envelope
    ),
    _Server("device", ("seqNumber", "data", "time"), ("time",), "data"),  # Sigfox
)


def _looks_like(message: Incoming) -> bool:
    return _served(_document(message.body)) is not None


@decoder("lorawan_servers", looks_like=_looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one uplink. What stands in a message of position is that of gateways, or an estimate, and is not read."""
    body = _document(message.body)
    server = _served(body)
    if server is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, "the uplink of none of the network servers we know")
    external_id = str(_at(body, server.device))
    kind = None if server.kind is None else _at(body, server.kind)
    if isinstance(kind, str) and kind not in server.up:
        return event(kind, external_id)
    thing = Reported(
        external_id,
        fields=None if server.decoded is None else server.decoded(body),
        phenomenon_time=_time(body, server, context.timezone),
        model=() if server.model is None else texts(_at(body, server.model)),
    )
    return uplink(thing, _at(body, server.frame))


def _document(body: object) -> Mapping[str, object]:
    """The object itself, or the only one of a list."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    return body if isinstance(body, dict) else {}


def _served(body: Mapping[str, object]) -> _Server | None:
    return next(
        (
            server
            for server in _SERVERS
            if all(mark in body for mark in server.marks) and isinstance(_at(body, server.device), str)
        ),
        None,
    )


def _at(body: object, path: str) -> object:
    for key in path.split("."):
        body = body.get(key) if isinstance(body, dict) else None
    return body


def _time(body: Mapping[str, object], server: _Server, zone: ZoneInfo) -> int | None:
    """The first time that is told: ISO 8601 text, or a count of seconds or milliseconds since 1970."""
    told = next((each for path in server.time if (each := _at(body, path)) not in (None, "")), None)
    number = None if told is None else as_number(told)
    if number is None:
        return server_time(told, zone)
    return epoch_moment(number, per_second=1000 if number >= _MILLISECONDS_FROM else 1)
