"""Cayenne LPP as network servers decode it: values by kind and channel, whose units the format defines.

ChirpStack nests them, `{"temperatureSensor": {"3": 27.2, "5": 25.5}, "barometer": {"1": 1013.2}}`; The Things Stack
numbers them, `{"temperature_3": 27.2, "temperature_5": 25.5, "barometric_pressure_1": 1013.2}`. Sources: ChirpStack,
CayenneLPP codec; The Things Stack, CayenneLPP payload formatter; myDevices, Cayenne Low Power Payload (data types).
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ingest.formats.lorawan import located
from ingest.measured import as_number
from ingest.message import DecodedObservation, Reported

_MEASURED = MappingProxyType({"temperature": "Cel", "humidity": "%", "pressure": "hPa"})
_POSITION = "position"
_OTHER = "other"
_KINDS = MappingProxyType(
    {
        "temperatureSensor": "temperature",
        "humiditySensor": "humidity",
        "barometer": "pressure",
        "gpsLocation": _POSITION,
        "temperature": "temperature",
        "relative_humidity": "humidity",
        "barometric_pressure": "pressure",
        "gps": _POSITION,
        **dict.fromkeys(
            (
                "digitalInput",
                "digitalOutput",
                "analogInput",
                "analogOutput",
                "illuminanceSensor",
                "presenceSensor",
                "accelerometer",
                "gyrometer",
                "digital_in",
                "digital_out",
                "analog_in",
                "analog_out",
                "luminosity",
                "presence",
            ),
            _OTHER,
        ),
    }
)
_CHANNEL = re.compile(r"[0-9]{1,3}")
_OTHER_KIND = re.compile(r"[a-z]+(?:_[a-z]+)*")
_RAK = MappingProxyType({"humidity": "humidity", "barometer": "pressure"})
"""Names of RAKwireless, whose format has more kinds than Cayenne LPP, in the same units."""


class _Value(NamedTuple):
    kind: str
    channel: int
    value: object


def cayenne(thing: Reported) -> None:
    """Turn the fields of a thing into observations if they are those of Cayenne LPP; leave them if they are not.

    One channel of a kind is the property itself; of several each has its number as a suffix, `temperature_ch3`.
    """
    values = list(_values(thing.fields or {}))
    if any(value is None for value in values) or all(value.kind == _OTHER for value in values if value is not None):
        return
    told = [value for value in values if value is not None]
    for observed_property, unit in _MEASURED.items():
        channels = [value for value in told if value.kind == observed_property]
        for _, channel, value in channels:
            number = as_number(value)
            name = f"{observed_property}_ch{channel}" if len(channels) > 1 else observed_property
            if number is not None:
                thing.observations.append(DecodedObservation(name, number, unit, thing.phenomenon_time))
    places = (located(value.value) for value in told if value.kind == _POSITION)
    thing.position = next(filter(None, places), thing.position)


def _values(fields: Mapping[str, object]) -> Iterator[_Value | None]:
    """The fields as values of Cayenne LPP; None for each that is none."""
    for name, content in fields.items():
        kind, _, channel = str(name).rpartition("_")
        if _CHANNEL.fullmatch(channel) and _OTHER_KIND.fullmatch(kind):
            yield _Value(_KINDS.get(kind) or _RAK.get(kind, _OTHER), int(channel), content)
        elif name in _KINDS and isinstance(content, dict):
            for each, value in content.items():
                is_channel = isinstance(each, str) and _CHANNEL.fullmatch(each)
                yield _Value(_KINDS[name], int(each), value) if is_channel else None
        else:
            yield None
