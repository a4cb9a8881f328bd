"""Sensor.Community (airRohr, luftdaten.info) and its derivatives: a list of typed values that are texts.

What the firmware posts (`esp8266id`, `sensordatavalues`), as bridges forward it on any topic, and the records of the
API of the archive (`timestamp` in UTC, `sensor.id`, `location`). Names and units are those of the firmware,
https://github.com/opendata-stuttgart/sensors-software. See docs/reference/formats/sensor-community.md.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.readings import Readings, as_suffix, as_table, as_text, moment
from ingest.measured import as_number
from ingest.message import Context, Decoded, Incoming, Reported, ignored
from pulso.errors import DecodeError, RejectReason

_KEY = "sensordatavalues"
_NUMBERED = re.compile(r"^(esp8266|esp32|raspi)-")
_NUMBER_IN_TOPIC = re.compile(r"(?:esp8266|esp32|raspi)-[0-9A-Fa-f]{4,20}|\d{4,20}")
_MOST_RECORDS = 1000
_MOST_VALUES = 200

_PARTICLES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {  # the numbers count classes, they are no diameters
        "P0": ("pm1", "µg/m³"),
        "P1": ("pm10", "µg/m³"),
        "P2": ("pm2_5", "µg/m³"),
        "P4": ("pm4", "µg/m³"),
    }
)
_PARTICLE_SENSORS = frozenset({"", "SDS", "PMS", "HPM", "SPS30", "SEN5X", "NPM", "IPS"})
_QUANTITIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "temperature": ("temperature", "°C"),
        "humidity": ("humidity", "%"),
        "pressure": ("pressure", "Pa"),
        "co2_ppm": ("co2", "ppm"),
        "noise_LAeq": ("noise", "dBA"),
    }
)
_SENSORS = frozenset(
    {
        *("", "DHT", "DHT22", "HTU21D", "SHT3X", "SHT10", "SHT11", "SHT30", "SHT31", "SHT85", "DS18B20", "DS18S20"),
        *("SEN5X", "SHT35", "SHT40", "SHT41", "SHT45", "AHT10", "AHT20"),
        *("BMP", "BMP180", "BMP280", "BME280", "BME680", "SCD30", "SCD4x", "DNMS", "MHZ14", "MHZ19", "conc"),
    }
)


def _looks_like(message: Incoming) -> bool:
    return _KEY.encode() in message.payload and _records(message.body) is not None


def _records(body: object) -> list[object] | None:
    """One record or a list of them; None for anything else."""
    records = body if isinstance(body, list) else [body]
    return records if records and all(isinstance(each, dict) and _KEY in each for each in records) else None


@decoder("sensor_community", looks_like=_looks_like)
def decode(message: Incoming, _context: Context) -> Decoded:
    """Decode the values of one station or of a list of them. Time: `timestamp` where the record has it."""
    records = _records(message.body)
    if records is None:
        raise NotMine
    if len(records) > _MOST_RECORDS:
        raise DecodeError(RejectReason.TOO_MANY_PROPERTIES, f"more than {_MOST_RECORDS} records in one message")
    things = [_thing(as_table(record, "a record"), message.levels) for record in records]
    if not any(thing.observations for thing in things):
        return ignored("no measured quantity", things[0].external_id if len(things) == 1 else None)
    return Decoded([thing for thing in things if thing.observations])


def _thing(record: Mapping[str, object], levels: list[str]) -> Reported:
    timestamp = record.get("timestamp")
    at = None if timestamp is None else moment(str(timestamp), UTC)
    readings = Readings(at)
    values = _values(record[_KEY])
    counts_particles = "durP1" in values  # of the PPD42: P1 and P2 are counts per volume then, no masses
    for name, value in values.items():
        sensor, observed_property, unit = _quantity(name)
        if observed_property is None or (counts_particles and name in _PARTICLES):
            continue
        if observed_property in readings:
            observed_property = f"{observed_property}_{as_suffix(sensor or 'second')}"
        readings.add(observed_property, value, unit)
    return Reported(
        _id(record, levels), observations=readings.observations, phenomenon_time=at, position=_position(record, values)
    )


def _values(listed: object) -> dict[str, object]:
    if not isinstance(listed, list) or len(listed) > _MOST_VALUES:
        raise DecodeError(RejectReason.WRONG_SHAPE, f"{_KEY} is not a list of {_MOST_VALUES} values at most")
    values: dict[str, object] = {}
    for each in listed:
        entry = as_table(each, "a value")
        name = as_text(entry.get("value_type"))
        if name is None:
            raise DecodeError(RejectReason.WRONG_SHAPE, "a value without a value_type")
        values.setdefault(name, entry.get("value"))
    return values


def _quantity(name: str) -> tuple[str, str | None, str | None]:
    """Sensor, observed property and unit of a name like `BME280_pressure` or `P1`; None if it is nothing we keep."""
    for known, sensors in ((_PARTICLES, _PARTICLE_SENSORS), (_QUANTITIES, _SENSORS)):
        for suffix, (observed_property, unit) in known.items():
            sensor = name.removesuffix(suffix)
            if sensor != name and (sensor == "" or sensor.endswith("_")) and sensor.removesuffix("_") in sensors:
                return sensor.removesuffix("_"), observed_property, unit
    return "", None, None


def _id(record: Mapping[str, object], levels: list[str]) -> str:
    """The board's own number, in records of the archive that of the sensor; else a number of the topic, or all of it.

    What a board shows on its own page (`data.json`) has no number.
    """
    sensor = record.get("sensor")
    for value in (
        *(record.get(key) for key in ("esp8266id", "esp32id", "raspiid", "node", "X-Sensor")),
        *((sensor.get("id"),) if isinstance(sensor, dict) else ()),
    ):
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if text := as_text(value):
            return _NUMBERED.sub("", text)
    for level in levels:
        if _NUMBER_IN_TOPIC.fullmatch(level):
            return _NUMBERED.sub("", level)
    return "/".join(levels)


def _position(record: Mapping[str, object], values: Mapping[str, object]) -> tuple[float, float] | None:
    location = record.get("location")
    told = location if isinstance(location, dict) else {}
    for pair in ((told.get("latitude"), told.get("longitude")), (values.get("GPS_lat"), values.get("GPS_lon"))):
        latitude, longitude = (as_number(each) for each in pair)
        if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
            continue
        if abs(latitude) <= 90 and abs(longitude) <= 180:
            return latitude, longitude
    return None
