"""Actility ThingPark: uplinks as JSON documents, plain or decoded by a driver of ThingPark X IoT Flow.

Source: https://github.com/actility/tpx-iot-flow-doc, docs/Message/Uplink_Message.
"""

from collections.abc import Mapping

from ingest.decoders import decoder
from ingest.formats.lorawan import event, named_values, server_time, tagged_position, texts, uplink
from ingest.formats.positions import position
from ingest.message import Context, Decoded, Incoming, Reported, metadata
from pulso.errors import DecodeError, RejectReason

_UPLINK = "DevEUI_uplink"
_LOCATION = "DevEUI_location"
_RADIO = frozenset(
    {
        "payload",
        "InstantPER",
        "MeanPER",
        "DevAddr",
        "AckRequested",
        "rawMacCommands",
        "TxPower",
        "NbTrans",
        "Frequency",
        "DynamicClass",
    }
)
"""What drivers mix into the decoded values though it is about the radio link; its Frequency is not the one of mains."""


def _looks_like(message: Incoming) -> bool:
    body = message.body
    return isinstance(body, dict) and (
        any(isinstance(key, str) and key.startswith("DevEUI_") for key in body)
        or ("DevEUI" in body and "Lrcid" in body and "payload_hex" in body)
    )


@decoder("thingpark", looks_like=_looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one document about one device."""
    body = message.body
    if not isinstance(body, dict):
        raise DecodeError(RejectReason.WRONG_SHAPE, "not an object")
    kind, document = next(
        ((key, value) for key, value in body.items() if str(key).startswith("DevEUI_")), (_UPLINK, body)
    )
    if not isinstance(document, dict) or not isinstance(document.get("DevEUI"), str):
        raise DecodeError(RejectReason.WRONG_SHAPE, f"{kind[:80]} without a DevEUI")
    external_id = document["DevEUI"]
    located = position(document.get("DevLAT"), document.get("DevLON"))
    if kind == _LOCATION and located is not None:
        return metadata("the network located the device", Reported(external_id, position=located))
    if kind != _UPLINK:
        return event(kind, external_id)
    if "rawJoinRequest" in document:
        return event("a join request", external_id)
    thing = Reported(
        external_id,
        fields=_fields(document),
        phenomenon_time=server_time(document.get("Time"), context.timezone),
        model=_model(document),
        position=_position(document),
    )
    failure = document.get("payloadDecodedError")
    failed = str(failure.get("message") or "") if isinstance(failure, dict) else ""
    return uplink(thing, document.get("payload_hex"), failed=failed)


def _fields(document: Mapping[str, object]) -> Mapping[str, object] | None:
    """The values that a driver decoded and, where it knows their units, the points of the ontology."""
    values = named_values(document.get("payload"), "payload") or {}
    points = named_values(document.get("points"), "points") or {}
    told = {name: value for name, value in values.items() if name not in _RADIO}
    for name, point in points.items():
        if isinstance(point, dict) and point.get("record") is not None:
            unit = point.get("unitId")
            told[name] = {"value": point["record"], "unit": unit} if isinstance(unit, str) else point["record"]
    return told or None


def _model(document: Mapping[str, object]) -> tuple[str, ...]:
    driver = document.get("DriverCfg")
    kind = (driver.get("mod") or driver.get("app")) if isinstance(driver, dict) else None
    if not isinstance(kind, dict):
        return ()
    brand, model = kind.get("pId"), kind.get("mId")
    return texts(f"{brand}/{model}" if brand and model else None, model, brand)


def _position(document: Mapping[str, object]) -> tuple[float, float] | None:
    """Where people said that the device is; the position of the gateway (LrrLAT, LrrLON) is not it."""
    customer = document.get("CustomerData")
    if not isinstance(customer, dict):
        return None
    return tagged_position(customer.get("loc"))
