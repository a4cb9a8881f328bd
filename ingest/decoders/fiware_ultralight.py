"""FIWARE Ultralight 2.0 over MQTT: `name|value|name|value`, as the IoT Agent for Ultralight takes it.

Format: https://fiware-iotagent-ul.readthedocs.io (user manual, "Measure payload syntax" and "MQTT binding").
"""

import re

from ingest.decoders import NotMine, decoder
from ingest.decoders._fiware import address, filters, not_measured
from ingest.formats.moments import iso_datetime, iso_moment
from ingest.measured import as_number
from ingest.message import Context, Decoded, Incoming, Reported
from pulso.errors import DecodeError, RejectReason

_MOST_ATTRIBUTES = 1000
_NAME = re.compile(r"[^\x00-\x1f|#]{1,100}")
_LOOK = re.compile(r"[^\s|#{}\[\]\"]{1,100}\|[^{}\[\]\"]*")


@decoder("fiware_ultralight", topics=filters("ul"))
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode the measure groups of one device, or the plain value of one attribute.

    The device and its family are known to the agent only, so what the attributes mean follows from their names or from
    a device profile. Raises NotMine on the topics of old agents, `/<key>/<device>/attrs`, for a payload of another
    look.
    """
    where = address(message.levels, "ul")
    if (other := not_measured(where)) is not None:
        return other
    if not message.payload.strip():
        raise DecodeError(RejectReason.EMPTY, "the payload is empty")
    text = _text(message, where.named).strip()
    if where.attribute is not None and (where.named or as_number(text) is not None):
        return Decoded((Reported(where.device, fields={where.attribute: _value(text)}),))
    if where.attribute is not None or not (where.named or _LOOK.fullmatch(text)):
        raise NotMine
    groups = _groups(text, context)
    return Decoded([Reported(where.device, fields=fields, phenomenon_time=time) for time, fields in groups])


def _text(message: Incoming, named: bool) -> str:
    try:
        return message.text
    except DecodeError:
        if named:
            raise
        raise NotMine from None


def _groups(text: str, context: Context) -> list[tuple[int | None, dict[str, object]]]:
    """The times and attributes of the groups; those of one time are one, unless they tell the same attribute."""
    groups: list[tuple[int | None, dict[str, object]]] = []
    count = 0
    for group in text.strip("#").split("#"):
        parts = [part.strip() for part in group.strip().removeprefix("|").split("|")]
        count += len(parts)
        if count > 2 * _MOST_ATTRIBUTES:
            raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, f"more than {_MOST_ATTRIBUTES} attributes")
        time = None
        if len(parts) % 2 and iso_datetime(parts[0]) is not None:
            time = iso_moment(parts.pop(0), context.timezone)
        if not parts or len(parts) % 2 or not all(_NAME.fullmatch(name) for name in parts[::2]):
            raise DecodeError(RejectReason.MALFORMED, f"not name|value pairs: {group[:80]!r}")
        fields = dict(zip(parts[::2], parts[1::2], strict=True))
        told = fields.pop("TimeInstant", None)
        time = iso_moment(told, context.timezone) if time is None else time
        values = {name: _value(value) for name, value in fields.items() if value}
        same = next((each for at, each in groups if at == time and each.keys().isdisjoint(values)), None)
        if same is None:
            groups.append((time, values))
        else:
            same.update(values)
    return groups


def _value(text: str) -> object:
    number = as_number(text)
    return text if number is None else number
