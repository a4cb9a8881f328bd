"""Helium Console: uplinks as its integrations send them.

Source: https://docs.helium.com/console/integrations/json-schema
"""

from collections.abc import Mapping

from ingest.decoders import decoder
from ingest.formats.lorawan import named_values, uplink
from ingest.formats.readings import epoch_moment
from ingest.message import Context, Decoded, Incoming, Reported
from pulso.errors import DecodeError, RejectReason

_SECONDS_UNTIL = 100_000_000_000
"""A count of seconds above is one of milliseconds: the Console first sent the one and then the other."""


def _looks_like(message: Incoming) -> bool:
    body = message.body
    return isinstance(body, dict) and isinstance(body.get("dev_eui"), str) and isinstance(body.get("hotspots"), list)


@decoder("helium", looks_like=_looks_like)
def decode(message: Incoming, _context: Context) -> Decoded:
    """Decode one uplink."""
    body = message.body
    if not isinstance(body, dict) or not isinstance(body.get("dev_eui"), str):
        raise DecodeError(RejectReason.WRONG_SHAPE, "no dev_eui")
    decoded = named_values(body.get("decoded"), "decoded") or {}
    thing = Reported(
        body["dev_eui"],
        fields=named_values(decoded.get("payload"), "decoded.payload") if decoded.get("status") != "error" else None,
        phenomenon_time=_time(body),
    )
    return uplink(thing, body.get("payload"), failed=str(decoded.get("error") or ""))


def _time(body: Mapping[object, object]) -> int | None:
    told = body.get("reported_at")
    if told is None:
        return None
    is_seconds = isinstance(told, int | float) and told < _SECONDS_UNTIL
    return epoch_moment(told, per_second=1 if is_seconds else 1000)
