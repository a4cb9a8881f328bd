"""The Things Network v2: uplinks over MQTT, as they are still recorded and bridged.

Source: https://www.thethingsnetwork.org/docs/applications/mqtt/api (topic `<app>/devices/<device>/up`).
"""

from ingest.decoders import decoder
from ingest.formats.lorawan import located, named_values, server_time, uplink
from ingest.message import Context, Decoded, Incoming, Reported
from pulso.errors import DecodeError, RejectReason


def _looks_like(message: Incoming) -> bool:
    body = message.body
    return (
        isinstance(body, dict)
        and isinstance(body.get("app_id"), str)
        and isinstance(body.get("dev_id"), str)
        and ("payload_raw" in body or "payload_fields" in body)
    )


@decoder("ttn_v2", looks_like=_looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one uplink."""
    body = message.body
    if not isinstance(body, dict) or not isinstance(body.get("dev_id"), str):
        raise DecodeError(RejectReason.WRONG_SHAPE, "no dev_id")
    metadata = body.get("metadata")
    about = metadata if isinstance(metadata, dict) else {}
    thing = Reported(
        body["dev_id"],
        fields=named_values(body.get("payload_fields"), "payload_fields"),
        phenomenon_time=server_time(about.get("time"), context.timezone),
        position=located(about),
    )
    return uplink(thing, body.get("payload_raw"))
