"""AWS IoT Core for LoRaWAN: uplinks as a destination's rule republishes them; the frame is never decoded.

Source: AWS IoT Wireless Developer Guide, "Uplink message format".
"""

from collections.abc import Mapping

from ingest.decoders import decoder
from ingest.formats.lorawan import server_time, uplink
from ingest.message import Context, Decoded, Incoming, Reported
from pulso.errors import DecodeError, RejectReason


def _looks_like(message: Incoming) -> bool:
    body = message.body
    return isinstance(body, dict) and "WirelessDeviceId" in body and _radio(body) is not None


@decoder("aws_iot_lorawan", looks_like=_looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one uplink."""
    body = message.body
    radio = _radio(body) if isinstance(body, dict) else None
    if not isinstance(body, dict) or radio is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, "no WirelessMetadata.LoRaWAN.DevEui")
    thing = Reported(
        str(radio["DevEui"]),
        phenomenon_time=server_time(radio.get("Timestamp"), context.timezone),
    )
    return uplink(thing, body.get("PayloadData"))


def _radio(body: Mapping[object, object]) -> Mapping[str, object] | None:
    metadata = body.get("WirelessMetadata")
    radio = metadata.get("LoRaWAN") if isinstance(metadata, dict) else None
    return radio if isinstance(radio, dict) and isinstance(radio.get("DevEui"), str) else None
