"""LORIOT network server: application output over MQTT, as JSON.

Source: LORIOT, Application API data format (https://docs.loriot.io), messages `rx` and `gw`.
"""

from collections.abc import Mapping

from ingest.decoders import decoder
from ingest.formats.lorawan import event, named_values, uplink
from ingest.formats.readings import epoch_moment
from ingest.message import Context, Decoded, Incoming, Reported
from pulso.errors import DecodeError, RejectReason

_UPLINKS = ("rx", "gw")
"""An uplink, and the same with the list of gateways that heard it. Sent both, they are one observation."""


def _looks_like(message: Incoming) -> bool:
    body = message.body
    return isinstance(body, dict) and isinstance(body.get("cmd"), str) and isinstance(body.get("EUI"), str)


@decoder("loriot", looks_like=_looks_like)
def decode(message: Incoming, _context: Context) -> Decoded:
    """Decode one message about one device."""
    body = message.body
    if not isinstance(body, dict) or not isinstance(body.get("EUI"), str):
        raise DecodeError(RejectReason.WRONG_SHAPE, "no EUI")
    if body.get("cmd") not in _UPLINKS:
        return event(str(body.get("cmd")), body["EUI"])
    time = body.get("ts")
    thing = Reported(
        body["EUI"],
        fields=_fields(body.get("decoded")),
        phenomenon_time=None if time is None else epoch_moment(time, per_second=1000),
    )
    return uplink(thing, body.get("data"))


def _fields(decoded: object) -> Mapping[str, object] | None:
    """What a payload decoder made: the named values, or the result of a codec with these as `data`."""
    values = named_values(decoded, "decoded")
    inner = None if values is None else values.get("data")
    return inner if isinstance(inner, dict) else values
