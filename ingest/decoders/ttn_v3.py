"""The Things Stack v3 (The Things Network): application messages over MQTT.

Source: https://www.thethingsindustries.com/docs/integrations/data-formats/ and, for the normalized payload, the schema
of the LoRaWAN Device Repository (TheThingsNetwork/lorawan-devices, lib/payload.json), which states the units.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.lorawan import battery_percent, event, located, named_values, server_time, texts, uplink
from ingest.formats.lorawan_cayenne import cayenne
from ingest.measured import as_number, measured
from ingest.message import Context, Decoded, DecodedObservation, Incoming, Reported, ignored, metadata
from pulso.errors import DecodeError, RejectReason

_EVENTS = ("join", "down", "service", "location")
_UPLINKS = ("uplink_message", "uplink_normalized")
_NORMALIZED = MappingProxyType(
    {
        ("air", "temperature"): ("temperature", "Cel"),
        ("air", "relativeHumidity"): ("humidity", "%"),
        ("air", "pressure"): ("pressure", "hPa"),
        ("air", "co2"): ("co2", "ppm"),
    }
)
"""Group and name of a normalized value, its property and documented unit. Of the others (soil, water, wind, rain,
motion, metered water, light) we observe none, and neither is wind the speed of traffic nor soil the air."""

_CELL = 5.0  # volts; what the batteries of most sensors have
_MOST_VOLTS = 30.0  # volts; no sensor has a battery of more


def _looks_like(message: Incoming) -> bool:
    body = message.body
    return isinstance(body, dict) and _device_id(_unwrapped(body)) is not None


@decoder("ttn_v3", topics=("v3/+/devices/+/#",), looks_like=_looks_like)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one message about one device: an uplink, or an event around it."""
    if not isinstance(message.body, dict):
        raise NotMine
    body = _unwrapped(message.body)
    external_id = _device_id(body)
    if external_id is None:
        if message.levels[0] == "v3" and message.levels[4:5] == ["down"]:
            return event("a downlink", message.levels[3])
        raise NotMine
    if body.get("simulated") is True:
        return ignored("a simulated uplink", external_id)
    for kind in _UPLINKS:
        up = body.get(kind)
        if isinstance(up, dict):
            return _uplink(external_id, up, up.get("received_at") or body.get("received_at"), context)
    solved = body.get("location_solved")
    if isinstance(solved, dict) and located(solved.get("location")) is not None:
        return metadata("the network located the device", Reported(external_id, position=located(solved["location"])))
    return event(next((str(key) for key in body if str(key).startswith(_EVENTS)), "event"), external_id)


def _unwrapped(body: Mapping[object, object]) -> Mapping[object, object]:
    """The message itself, where an event of the console (`data`) or of the storage integration (`result`) holds it."""
    for wrapper in ("data", "result"):
        inner = body.get(wrapper)
        if isinstance(inner, dict) and "end_device_ids" in inner:
            return inner
    return body


def _device_id(body: Mapping[object, object]) -> str | None:
    ids = body.get("end_device_ids")
    told = ids.get("device_id") if isinstance(ids, dict) else None
    return told if isinstance(told, str) else None


def _uplink(external_id: str, up: Mapping[str, object], received_at: object, context: Context) -> Decoded:
    time = server_time(received_at, context.timezone)
    fields = named_values(up.get("decoded_payload"), "decoded_payload")
    normalized = _normalized(up.get("normalized_payload"))
    thing = Reported(
        external_id,
        observations=list(_observations(normalized, time, context)),
        fields=fields,
        phenomenon_time=time,
        model=_model(up.get("version_ids")),
        position=_position(up.get("locations")) or _measured_position(normalized),
    )
    if not thing.observations:
        cayenne(thing)
    if thing.observations or fields:
        thing.observations += _network_battery(up.get("last_battery_percentage"), thing, context)
    return uplink(thing, up.get("frm_payload"))


def _normalized(payload: object) -> list[Mapping[str, object]]:
    """The measurements of a normalized payload: a list of them, or the one of an `uplink_normalized` message."""
    listed = payload if isinstance(payload, list) else [] if payload is None else [payload]
    measurements: list[Mapping[str, object]] = [each for each in listed if isinstance(each, dict)]
    if len(measurements) < len(listed):
        raise DecodeError(RejectReason.WRONG_SHAPE, "normalized_payload is not a list of objects")
    return measurements


def _observations(
    measurements: list[Mapping[str, object]], uplink_time: int | None, context: Context
) -> Iterator[DecodedObservation]:
    """The normalized values. Of a property measured twice at one time the second becomes that of channel 2."""
    seen: dict[tuple[str, int | None], int] = {}
    for measurement in measurements:
        time = server_time(measurement.get("time"), context.timezone) or uplink_time
        for observed_property, value, unit in _readings(measurement):
            times = seen[observed_property, time] = seen.get((observed_property, time), 0) + (value is not None)
            suffix = f"_ch{times}" if times > 1 else ""
            observation = measured(observed_property + suffix, value, unit, at=time)
            if observation is not None:
                yield observation


def _readings(measurement: Mapping[str, object]) -> Iterator[tuple[str, object, str]]:
    """Property, value and unit of what one measurement holds of ours."""
    for (group, name), (observed_property, unit) in _NORMALIZED.items():
        values = measurement.get(group)
        value = values.get(name) if isinstance(values, dict) else None
        if value is not None:
            yield observed_property, value, unit
    level = measurement.get("battery")
    if level is not None:
        yield from _battery(level)


def _battery(level: object) -> Iterator[tuple[str, object, str]]:
    """Volts, as documented, or the share that some codecs put there; nothing where it could be either."""
    number = as_number(level)
    if number is None or 0 <= number <= _CELL or (number <= _MOST_VOLTS and not number.is_integer()):
        yield "battery_voltage", level, "V"
    elif _MOST_VOLTS < number <= 100:
        yield "battery", level, "%"


def _model(versions: object) -> tuple[str, ...]:
    """Brand and model of the device repository, together and alone."""
    if not isinstance(versions, dict):
        return ()
    brand, model = versions.get("brand_id"), versions.get("model_id")
    return texts(f"{brand}/{model}" if brand and model else None, model, brand)


def _position(locations: object) -> tuple[float, float] | None:
    """Where the device is: as people entered it, else as its own payload tells, else as a service solved it."""
    if not isinstance(locations, dict):
        return None
    order = sorted(
        locations, key=lambda source: (source != "user", not str(source).startswith("frm-payload"), str(source))
    )
    return next(filter(None, (located(locations[source]) for source in order)), None)


def _measured_position(measurements: list[Mapping[str, object]]) -> tuple[float, float] | None:
    return next(filter(None, (located(each.get("position")) for each in measurements)), None)


def _network_battery(status: object, thing: Reported, context: Context) -> list[DecodedObservation]:
    """The battery level of the last device status, at its own time, unless the payload tells about the battery."""
    if not isinstance(status, dict) or any("bat" in str(name).lower() for name in thing.fields or ()):
        return []
    time = server_time(status.get("received_at"), context.timezone)
    level = battery_percent(status.get("value"))
    return [] if level is None or time is None else [DecodedObservation("battery", level, "%", time)]
