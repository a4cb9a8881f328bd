"""DSMR-reader: readings of a Dutch smart meter, as one JSON object or one value per topic.

Format: dsmr-reader.readthedocs.io, "MQTT", with its default topics `dsmr/json` and `dsmr/reading/<field>`. Energy is in
kWh, power in kW, as in the telegram; voltage in V, current in A.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.moments import iso_moment
from ingest.formats.readings import is_no_reading
from ingest.measured import as_number, measured
from ingest.message import Context, Decoded, DecodedObservation, Incoming, Reported, ignored
from pulso.errors import DecodeError, RejectReason
from pulso.model import Family

_THING = "dsmr"
_DIRECTIONS = {"delivered": "import", "returned": "export"}  # as the grid sees it
_PHASES = ("l1", "l2", "l3")

FIELDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        f"electricity_{word}_{tariff}": (f"energy_{way}_t{tariff}", "kWh")
        for word, way in _DIRECTIONS.items()
        for tariff in (1, 2)
    }
    | {f"phase_voltage_{phase}": (f"voltage_{phase}", "V") for phase in _PHASES}
    | {f"phase_power_current_{phase}": (f"current_{phase}", "A") for phase in _PHASES}
)
"""Property and unit by field."""

BALANCES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"power": ("electricity_currently_delivered", "electricity_currently_returned")}
    | {f"power_{each}": (f"phase_currently_delivered_{each}", f"phase_currently_returned_{each}") for each in _PHASES}
)
"""Properties told as two values in kW, of which one is always 0: drawn, and fed in."""

_SUMMARIES = frozenset(
    {"consumption", "day-consumption", "current-month", "current-year", "current-period", "meter-stats"}
)
_SIGNS = {field: (name, sign) for name, pair in BALANCES.items() for field, sign in zip(pair, (1, -1), strict=True)}


@decoder("dsmr_reader", topics=("dsmr/json", "dsmr/reading/+", *(f"dsmr/{each}/#" for each in sorted(_SUMMARIES))))
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one object or one value. The meter is not told: the thing is `dsmr`, the root of the topics.

    Raises NotMine for a payload that is none of its fields.
    """
    if len(message.levels) > 1 and message.levels[1] in _SUMMARIES:
        return ignored("sums of a period, gas, or the meter itself", _THING)
    if message.levels[-1] == "json":
        return _object(message, context)
    field = message.levels[-1]
    if field not in FIELDS and field not in _SIGNS:
        return ignored("no reading of electricity", _THING)
    value = as_number(message.text)
    if value is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, f"{field}: not a number")
    if field in FIELDS:
        return _decoded([measured(FIELDS[field][0], value, FIELDS[field][1])], None)
    name, sign = _SIGNS[field]
    if not value:  # 0 of one direction says nothing of the other
        return ignored("no power in this direction", _THING)
    return _decoded([measured(name, sign * value, "kW")], None)


def _object(message: Incoming, context: Context) -> Decoded:
    body = message.body
    if not isinstance(body, Mapping) or not any(field in body for field in (*FIELDS, *_SIGNS)):
        raise NotMine
    at = iso_moment(body.get("timestamp"), context.timezone)
    observations = [
        measured(name, body[field], unit, at=at)
        for field, (name, unit) in FIELDS.items()
        if not is_no_reading(body.get(field))
    ]
    for name, (drawn, fed) in BALANCES.items():
        told = [0.0 if is_no_reading(body.get(field)) else _number(field, body[field]) for field in (drawn, fed)]
        if not is_no_reading(body.get(drawn)) or not is_no_reading(body.get(fed)):
            observations.append(measured(name, round(told[0] - told[1], 9), "kW", at=at))
    return _decoded(observations, at)


def _number(field: str, value: object) -> float:
    number = as_number(value)
    if number is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, f"{field}: {str(value)[:80]!r} is not a number")
    return number


def _decoded(observations: list[DecodedObservation | None], at: int | None) -> Decoded:
    told = [each for each in observations if each is not None]
    if not told:
        return ignored("no reading of electricity", _THING)
    return Decoded((Reported(_THING, Family.ENERGY, told, phenomenon_time=at),))
