"""Hildebrand Glow displays and stations (UK SMETS meters): local MQTT.

Format: Hildebrand, "Local MQTT" of the Glow IHD/CAD: `glow/<device>/SENSOR/electricitymeter` and `gasmeter`, `STATE`.
"""

from collections.abc import Mapping

from ingest.decoders import NotMine, decoder
from ingest.formats.moments import iso_moment
from ingest.formats.readings import Readings
from ingest.message import Context, Decoded, Incoming, Reported, ignored
from pulso.errors import DecodeError, RejectReason
from pulso.model import Family

_METER = "electricitymeter"


def looks_like(message: Incoming) -> bool:
    """Whether a payload is the reading of an electricity or gas meter as Glow writes it, under any topic prefix."""
    if len(message.levels) < 3 or message.levels[-2] != "SENSOR":
        return False
    kind = message.levels[-1]
    body = message.body if kind in (_METER, "gasmeter") else None
    return isinstance(body, Mapping) and isinstance(body.get(kind), Mapping)


@decoder("glow", topics=("glow/+/SENSOR/+", "glow/+/STATE"), looks_like=looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode power and registers of an electricity meter, in the units the message states.

    Gas is no property of ours; meter point numbers, supplier and prices are never read.
    """
    levels = message.levels
    external_id = levels[-3] if len(levels) > 2 and levels[-2] == "SENSOR" else levels[-2] if len(levels) > 1 else ""
    if not external_id:
        raise NotMine
    if levels[-1] != _METER:
        return ignored(f"{levels[-1][:80]}: not of electricity", external_id)
    body = message.body
    meter = body.get(_METER) if isinstance(body, Mapping) else None
    if not isinstance(meter, Mapping):
        raise DecodeError(RejectReason.WRONG_SHAPE, f"no object {_METER!r}")
    at = iso_moment(meter.get("timestamp"), context.timezone)
    readings = Readings(at)
    _read(readings, meter)
    if not readings.observations:
        return ignored("no reading with its unit", external_id)
    return Decoded((Reported(external_id, Family.ENERGY, readings.observations, phenomenon_time=at),))


def _read(readings: Readings, meter: Mapping[str, object]) -> None:
    energy = _table(meter.get("energy"))
    for name, table, key in (
        ("power", _table(meter.get("power")), "value"),
        ("energy_import", _table(energy.get("import")), "cumulative"),
        ("energy_export", _table(energy.get("export")), "cumulative"),
    ):
        value, unit = table.get(key), table.get("units")
        if isinstance(unit, str):
            readings.add(name, value, unit)


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
