"""Shelly devices of the first generation: one value per topic, `shellies/<device>/<what>/<channel>/<value>`.

Units are those of https://shelly-api-docs.shelly.cloud/gen1/#mqtt-support. Relays count energy in watt-minutes and
energy meters in watt-hours. See docs/reference/formats/shelly-gen1.md.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.readings import Readings, as_table, as_text, epoch_moment
from ingest.measured import as_number
from ingest.message import Context, Decoded, Incoming, Reported, ignored, metadata
from pulso.errors import DecodeError, RejectReason

_METER: Mapping[str, tuple[str, str]] = MappingProxyType(
    {  # of emeter/<n>; its `energy` and `returned_energy` count again from each start what `total` counts for good
        "power": ("power", "W"),
        "reactive_power": ("reactive_power", "VAR"),
        "voltage": ("voltage", "V"),
        "current": ("current", "A"),
        "pf": ("power_factor", "1"),
        "total": ("energy_import", "Wh"),
        "total_returned": ("energy_export", "Wh"),
    }
)
_OUTPUT: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"power": ("power", "W"), "energy": ("energy_import", "W.min")}
)
_OUTPUTS = frozenset({"relay", "roller", "light", "white", "color"})
_SENSOR: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"temperature": ("temperature", "°C"), "humidity": ("humidity", "%"), "battery": ("battery", "%")}
)
_EXTERNAL: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"ext_temperature": ("temperature", "°C"), "ext_humidity": ("humidity", "%"), "adc": ("voltage", "V")}
)
_DEVICE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"temperature": ("device_temperature", "°C"), "voltage": ("voltage", "V")}
)
_OF_ONE: Mapping[str, Mapping[str, tuple[str, str]]] = MappingProxyType(
    {  # what has no number: a sensor, the one meter of both relays of a Shelly 2, the neutral of a 3EM
        "sensor": _SENSOR,
        "relay": _OUTPUT,
        "emeter_n": {"current": ("current_n", "A")},
    }
)
_THREE_PHASES = re.compile(r"em3|3em", re.IGNORECASE)
_OF_LATER_GENERATIONS = frozenset({"status", "events"})
_DEGREES = ("C", "F")
_MOST_CHANNELS = 16
_NOT_CONNECTED = 999.0  # what a missing probe is reported as


@decoder("shelly_gen1", topics=("shellies/#",), retained=("shellies/+/info",))
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode one value of one device. It has no time."""
    levels = message.levels[1:]
    if levels in (["announce"], ["command"]):
        return _announcement(message) if levels == ["announce"] else ignored("a command to all devices")
    if len(levels) < 2 or not all(levels):
        raise NotMine
    device, what = levels[0], levels[1:]
    if what == ["announce"]:
        return _announcement(message)
    if what == ["info"]:
        return _info(message, device)
    if what[-1] == "status" and _is_status(what[:-1]):
        return _status(message, device, what[:-1])
    quantity = _quantity(device, what)
    if quantity is None and what[0] in _OF_LATER_GENERATIONS and len(what) > 1:
        raise NotMine  # their topic prefix may be set to anything
    if quantity is None:
        return ignored(f"{'/'.join(what)[:80]} is no measured quantity", device)
    observed_property, unit = quantity
    if what == ["sensor", "temperature"] and context.memory.get(f"shelly_gen1:{device}") == "F":
        unit = "°F"
    return _value(message, device, observed_property, unit)


def _value(message: Incoming, device: str, observed_property: str, unit: str) -> Decoded:
    if message.payload[:1] in (b"{", b"["):
        raise DecodeError(RejectReason.WRONG_SHAPE, f"{observed_property} is not a number")
    text = message.text
    readings = Readings()
    _add(readings, observed_property, text, unit)
    if not readings.observations:
        return ignored("no reading, or a retained one that was cleared", device)
    return Decoded((Reported(device, observations=readings.observations),))


def _quantity(device: str, what: list[str]) -> tuple[str, str] | None:
    """Observed property and unit of what the levels behind the device name."""
    match what:
        case [name]:
            return _DEVICE.get(name)
        case [table, name] if table in _OF_ONE:
            return _OF_ONE[table].get(name)
        case ["emeter", channel, name] if channel.isdecimal():
            return _with_suffix(_METER.get(name), _phase(device, channel))
        case [output, channel, name] if output in _OUTPUTS and channel.isdecimal():
            return _with_suffix(_OUTPUT.get(name), _channel(channel))
        case [probe, channel] if channel.isdecimal():
            return _with_suffix(_EXTERNAL.get(probe), _channel(channel))
        case _:
            return None


def _with_suffix(quantity: tuple[str, str] | None, suffix: str) -> tuple[str, str] | None:
    return None if quantity is None else (quantity[0] + suffix, quantity[1])


def _phase(device: str, channel: str) -> str:
    """The 3EM has a meter on each phase; others have independent channels."""
    is_phase = _THREE_PHASES.search(device) is not None and channel in ("0", "1", "2")
    return f"_l{int(channel) + 1}" if is_phase else _channel(channel)


def _channel(channel: str) -> str:
    """Channels count from 0; the first one has no suffix, so that a device of one channel has none."""
    number = int(channel[:4])
    return f"_ch{number}" if number else ""


def _info(message: Incoming, device: str) -> Decoded:
    """The whole status: what was measured, and whether its sensor is set to degrees Celsius or Fahrenheit.

    Time: `unixtime`, which is 0 until the device knows it.
    """
    body = message.body if message.payload else None
    if not isinstance(body, dict):
        return metadata("the status of the device itself", Reported(device))
    sensor = body.get("tmp")
    unit = sensor.get("units") if isinstance(sensor, dict) else None
    learned = {f"shelly_gen1:{device}": unit} if unit in _DEGREES else {}
    readings = Readings(epoch_moment(body["unixtime"], per_second=1) if body.get("unixtime") else None)
    _read_status(readings, device, body)
    if not readings.observations:
        return metadata("the status of the device itself", Reported(device), learned=learned)
    return Decoded((Reported(device, observations=readings.observations),), learned=learned)


def _status(message: Incoming, device: str, of: list[str]) -> Decoded:
    """The status of a sensor, as that of a valve, or of an output such as a light, some of which tell their power.

    The `timestamp` of a sensor is that of the last movement, not of the message.
    """
    readings = Readings()
    status = as_table(message.body, "the status") if message.payload else {}
    if of:
        _add(readings, "power" + _channel(of[1]), status.get("power"), "W")
    else:
        _read_status(readings, device, status)
    if not readings.observations:
        return ignored("a status without a measured quantity", device)
    return Decoded((Reported(device, observations=readings.observations),))


def _is_status(of: list[str]) -> bool:
    """Whether the device itself, or an output of it by its number, has a status as one JSON object."""
    return not of or (len(of) == 2 and of[0] in _OUTPUTS and of[1].isdecimal())


def _read_status(readings: Readings, device: str, status: Mapping[str, object]) -> None:
    """Add what the one JSON object says that other devices publish one by one."""
    for index, meter in _listed(status.get("meters")):
        for key, (observed_property, unit) in (("power", _OUTPUT["power"]), ("total", _OUTPUT["energy"])):
            _add(readings, observed_property + _channel(index), meter.get(key), unit)
    for index, meter in _listed(status.get("emeters")):
        for key, (observed_property, unit) in _METER.items():
            value = meter.get("reactive" if key == "reactive_power" else key)
            _add(readings, observed_property + _phase(device, index), value, unit)
    valve = next((valve for _, valve in _listed(status.get("thermostats"))), {})
    sensor = _valid(status.get("tmp") or valve.get("tmp"))
    if sensor.get("units") in _DEGREES:
        _add(readings, "temperature", sensor.get("value"), f"°{sensor['units']}")
    else:
        _add(readings, "device_temperature", sensor.get("tC"), "°C")
    _add(readings, "humidity", _valid(status.get("hum")).get("value"), "%")
    battery = status.get("bat")
    _add(readings, "battery", battery.get("value") if isinstance(battery, dict) else battery, "%")
    _add(readings, "battery_voltage", battery.get("voltage") if isinstance(battery, dict) else None, "V")
    _add(readings, "device_temperature", status.get("temperature"), "°C")
    _add(readings, "voltage", status.get("voltage"), "V")
    for key, name, (observed_property, unit) in (
        ("ext_temperature", "tC", _EXTERNAL["ext_temperature"]),
        ("ext_humidity", "hum", _EXTERNAL["ext_humidity"]),
    ):
        for index, probe in _listed(status.get(key)):
            _add(readings, observed_property + _channel(index), probe.get(name), unit)


def _add(readings: Readings, observed_property: str, value: object, unit: str) -> None:
    if as_number(value) != _NOT_CONNECTED:
        readings.add(observed_property, value, unit)


def _listed(value: object) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Number and table of each meter or probe: a list of them, or a table by number."""
    each = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for number, table in each:
        if str(number).isdecimal() and int(str(number)[:4]) < _MOST_CHANNELS and _valid(table):
            yield str(number), _valid(table)


def _valid(value: object) -> Mapping[str, object]:
    """A table of readings, unless it says that they are not valid."""
    return value if isinstance(value, dict) and value.get("is_valid") is not False else {}


def _announcement(message: Incoming) -> Decoded:
    """Who is there; the addresses are left aside."""
    if not message.payload:
        return metadata("a device withdrew its announcement")
    about = message.body
    name = as_text(about.get("id")) if isinstance(about, dict) else None
    if not isinstance(about, dict) or name is None:
        raise DecodeError(RejectReason.WRONG_SHAPE, "an announcement without an id")
    model = as_text(about.get("model"))
    return metadata("a device announces itself", Reported(name, model=() if model is None else (model,)))
