"""Zigbee2MQTT: one JSON object per device on `<base topic>/<friendly name>`, or one topic per attribute.

Names and units of values are those of its exposes (https://www.zigbee2mqtt.io/guide/usage/exposes.html); those that
differ by device are learned from the retained `<base topic>/bridge/devices`. See docs/reference/formats/zigbee2mqtt.md.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ingest.decoders import NotMine, decoder
from ingest.formats.readings import Readings, as_table, as_text, epoch_moment, fits, is_no_reading, moment
from ingest.measured import as_number
from ingest.message import Context, Decoded, Incoming, Reported, ignored, metadata
from pulso.errors import DecodeError, RejectReason

_QUANTITIES: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {  # name: observed property, and the unit that Zigbee2MQTT documents; None: it differs by device
        "power": ("power", "W"),
        "power_ab": ("power", "W"),  # of both channels, less what is fed in
        "energy": ("energy_import", "kWh"),
        "produced_energy": ("energy_export", "kWh"),
        "energy_produced": ("energy_export", "kWh"),
        "energy_consumed": ("energy_import", "kWh"),
        "total_energy": ("energy_import", "kWh"),
        "voltage": ("voltage", "V"),
        "battery_voltage": ("battery_voltage", "mV"),
        "current": ("current", "A"),
        "ac_frequency": ("frequency", "Hz"),
        "power_factor": ("power_factor", "1"),
        "power_reactive": ("reactive_power", "VAR"),
        "reactive_power": ("reactive_power", "VAR"),
        "power_apparent": ("apparent_power", "VA"),
        "apparent_power": ("apparent_power", "VA"),
        "temperature": ("temperature", "°C"),
        "local_temperature": ("temperature", "°C"),
        "device_temperature": ("device_temperature", "°C"),
        "cpu_temperature": ("device_temperature", "°C"),
        "humidity": ("humidity", "%"),
        "pressure": ("pressure", "hPa"),
        "co2": ("co2", "ppm"),
        "co": ("co", "ppm"),
        "voc": ("tvoc", None),
        "no2": ("no2", None),
        "so2": ("so2", None),
        "o3": ("o3", None),
        "ozone": ("o3", None),
        "pm1": ("pm1", "µg/m³"),
        "pm25": ("pm2_5", "µg/m³"),
        "pm4": ("pm4", "µg/m³"),
        "pm10": ("pm10", "µg/m³"),
        "aqi": ("aqi", "1"),
        "noise": ("noise", "dBA"),
        "battery": ("battery", "%"),
        "liquid_level_percent": ("fill_level", "%"),
        "distance": ("distance", None),
        "weight": ("weight", None),
    }
)
_OF_TELEINFO: Mapping[str, tuple[str, str]] = MappingProxyType(
    {  # of a French meter (ZLinky); its `reactive_power` is energy, and a `_ph_b` of its load curve no phase
        "current_summ_delivered": ("energy_import", "kWh"),
        **{f"current_tier{tier}_summ_delivered": (f"energy_import_t{tier}", "kWh") for tier in range(1, 11)},
        "current_summ_received": ("energy_export", "kWh"),
        "apparent_power": ("apparent_power", "VA"),
        "rms_current": ("current", "A"),
        "rms_voltage": ("voltage", "V"),
        **{f"rms_current_ph_{letter}": (f"current_l{phase}", "A") for letter, phase in (("b", 2), ("c", 3))},
        **{f"rms_voltage_ph_{letter}": (f"voltage_l{phase}", "V") for letter, phase in (("b", 2), ("c", 3))},
    }
)
_TELEINFO = "current_summ_delivered"
_FLOW = "energy_flow"
_PRODUCING = "producing"
_FILLERS = frozenset({-1.0, 65535.0})  # of particles, while the sensor is off
_PHASED = frozenset({"power", "voltage", "current", "power_factor", "reactive_power", "apparent_power"})
_PARTS = re.compile(
    r"(?P<name>[a-z][a-z0-9_]{0,40}?)_"
    r"(?:phase_(?P<phase>[abc])|(?P<letter>[abc])|tier_(?P<tier>[1-9])|(?P<number>[1-9]\d?)"
    r"|(?P<word>[lt][1-9]|neutral|left|right|center|middle|top|bottom|probe))"
)
_PHASES = MappingProxyType({"a": "l1", "b": "l2", "c": "l3"})
_OF_BATTERY = frozenset({"battery", "battery_low"})
_OF_MAINS = frozenset({"power", "current", "energy"})
_LEAST_CELL = 500  # mV; a battery below it drives no radio
_MOST_CELL = 5  # V; nor does one in millivolts
_MOST_MAINS = 1000  # V; no Zigbee meter is connected to more
_COMMANDS = frozenset({"set", "get"})
_MOST_NAMES = 200  # of one device
_DEEPEST = 4  # composites within composites of exposes


def _looks_like(message: Incoming) -> bool:
    """The state of a device below a base topic of another name: the quality of its radio link is always among it."""
    if b'"linkquality"' not in message.payload or len(message.levels) < 2 or not all(message.levels):
        return False
    body = message.body
    return isinstance(body, dict) and as_number(body.get("linkquality")) is not None


@decoder(
    "zigbee2mqtt",
    topics=("zigbee2mqtt/#", "+/zigbee2mqtt/#"),
    looks_like=_looks_like,
    retained=("zigbee2mqtt/bridge/devices", "+/zigbee2mqtt/bridge/devices"),
)
def decode(message: Incoming, context: Context) -> Decoded:
    """Decode the state of one device or a message of the bridge. Time: `last_seen` if the message has it."""
    base, levels = _split(message.levels)
    if not levels or not all(levels):
        raise NotMine
    if levels[0] == "bridge":
        return _of_bridge(message, base, levels[1:])
    if levels[-1] == "availability":
        return ignored("availability", "/".join(levels[:-1]) or None)
    if levels[-1] in _COMMANDS or (len(levels) > 2 and levels[-2] in _COMMANDS):
        return ignored("a command to a device")
    name = "/".join(levels)
    if not message.payload:
        return ignored("a retained state that was cleared", name)
    if message.payload.lstrip()[:1] == b"{":
        return _state(as_table(message.body, "the state"), name, context, _learned(context, base, name))
    if len(levels) == 1:
        raise DecodeError(RejectReason.WRONG_SHAPE, "the state of a device is not a JSON object")
    device = "/".join(levels[:-1])
    return _state({levels[-1]: message.text}, device, context, _learned(context, base, device))


def _split(levels: list[str]) -> tuple[str, list[str]]:
    """Base topic and rest. A base topic of another name is known by the pack's claim, and is one level then."""
    for place in range(min(2, len(levels))):
        if levels[place] == "zigbee2mqtt":
            return "/".join(levels[: place + 1]), levels[place + 1 :]
    bridge = levels.index("bridge") if "bridge" in levels[1:] else 1
    return "/".join(levels[:bridge]), levels[bridge:]


def _learned(context: Context, base: str, name: str) -> Mapping[str, object]:
    units = context.memory.get(f"zigbee2mqtt:{base}/{name}")
    return units if isinstance(units, dict) else {}


def _state(values: Mapping[str, object], name: str, context: Context, units: Mapping[str, object]) -> Decoded:
    """`units` are those that `bridge/devices` told, by name of value."""
    readings = Readings(_last_seen(values.get("last_seen"), context))
    if _TELEINFO in values:
        _read_teleinfo(readings, values)
    else:
        _read_exposed(readings, values, units)
    if not readings.observations:
        return ignored("a state without a measured quantity", name)
    return Decoded((Reported(name, observations=readings.observations, model=_model(values.get("device"))),))


def _read_exposed(readings: Readings, values: Mapping[str, object], units: Mapping[str, object]) -> None:
    names = frozenset(values).union(units)
    for key, value in values.items():
        quantity = _quantity(key, names)
        if quantity is None:
            continue
        observed_property, unit = quantity
        if key in units:
            unit = str(units[key])
        if key == "voltage":
            observed_property, unit = _voltage(observed_property, value, unit, names, told=key in units)
        if _says_nothing(observed_property, value, unit):
            continue
        if unit is not None and fits(observed_property, unit or "1"):
            readings.add(observed_property, _directed(key, value, values), unit or "1")


def _quantity(key: str, names: frozenset[str]) -> tuple[str, str | None] | None:
    """Observed property with its suffix, and documented unit, of a name of a value.

    A three-phase meter names its first phase without a suffix, unless it names all three.
    """
    if key in _QUANTITIES:
        observed_property, unit = _QUANTITIES[key]
        if observed_property in _PHASED and f"{key}_phase_b" in names:
            return (observed_property if f"{key}_phase_a" in names else f"{observed_property}_l1"), unit
        return observed_property, unit
    parts = _PARTS.fullmatch(key)
    if parts is None or parts["name"] not in _QUANTITIES:
        return None
    observed_property, unit = _QUANTITIES[parts["name"]]
    return f"{observed_property}_{_suffix(parts)}", unit


def _suffix(parts: re.Match[str]) -> str:
    """The phase, tariff or channel behind a name, as observed properties have it."""
    if phase := parts["phase"] or parts["letter"]:
        return _PHASES[phase]
    if parts["tier"]:
        return f"t{parts['tier']}"
    if parts["number"]:
        return f"ch{parts['number']}"
    return "n" if parts["word"] == "neutral" else parts["word"]


def _voltage(
    observed_property: str, value: object, unit: str | None, names: frozenset[str], *, told: bool
) -> tuple[str, str | None]:
    """Whether `voltage` is that of the mains in V or that of a battery in mV: one name stands for both.

    The exposes of the device say it by the unit, else what else it sends. None where that is not possible.
    """
    of_battery = bool(names & _OF_BATTERY) and not names & _OF_MAINS
    if told:
        return ("battery_voltage" if of_battery or unit == "mV" else observed_property), unit
    number = as_number(value)
    if of_battery and number is not None and 0 < number <= _MOST_CELL:
        return "battery_voltage", "V"
    if of_battery:
        return "battery_voltage", ("mV" if number is not None and number >= _LEAST_CELL else None)
    return observed_property, (None if number is not None and number > _MOST_MAINS else unit)


def _says_nothing(observed_property: str, value: object, unit: str | None) -> bool:
    """Whether a number stands for no reading, or is a power factor in a unit that only the exposes would tell.

    Some devices send it in percent or thousandths.
    """
    number = as_number(value)
    if observed_property.startswith("power_factor"):
        return unit == "1" and number is not None and abs(number) > 1
    return observed_property.startswith("pm") and number in _FILLERS


def _directed(key: str, value: object, values: Mapping[str, object]) -> object:
    """Power less than 0 where it flows into the grid, which some meters tell beside it, channel by channel."""
    number = as_number(value)
    if not key.startswith("power") or number is None or isinstance(value, bool):
        return value
    return -abs(number) if values.get(_FLOW + key.removeprefix("power")) == _PRODUCING else value


def _read_teleinfo(readings: Readings, values: Mapping[str, object]) -> None:
    """Add what a French meter tells. A register that the contract does not use, and a voltage not measured, are 0."""
    phases = any(values.get(f"rms_current_ph_{letter}") for letter in "bc")
    used = any(as_number(values.get(key)) for key in _OF_TELEINFO if "_tier" in key)
    for key, (observed_property, unit) in _OF_TELEINFO.items():
        zero = as_number(values.get(key)) == 0
        if zero and (key.startswith("rms_voltage") or "_tier" in key or (key == _TELEINFO and used)):
            continue
        suffix = "_l1" if phases and key in ("rms_current", "rms_voltage") else ""
        readings.add(observed_property + suffix, values.get(key), unit)


def _last_seen(value: object, context: Context) -> int | None:
    """ISO 8601, or milliseconds since 1970, as `advanced.last_seen` is set; null and absent: not told."""
    if is_no_reading(value):
        return None
    if isinstance(value, str) and as_number(value) is None:
        return moment(value, context.timezone)
    return epoch_moment(value, per_second=1000)


def _model(device: object) -> tuple[str, ...]:
    if not isinstance(device, dict):
        return ()
    return tuple(text for key in ("model", "manufacturerName") if (text := as_text(device.get(key))))


def _of_bridge(message: Incoming, base: str, levels: list[str]) -> Decoded:
    if levels != ["devices"]:
        return ignored("a message of the bridge about itself")
    devices = message.body
    if not isinstance(devices, list):
        raise DecodeError(RejectReason.WRONG_SHAPE, "bridge/devices is not a list")
    things = []
    learned: dict[str, object] = {}
    for device in devices:
        name = as_text(device.get("friendly_name")) if isinstance(device, dict) else None
        definition = device.get("definition") if name else None
        if name is None or not isinstance(definition, dict):
            continue
        things.append(Reported(name, model=tuple(filter(None, map(as_text, map(definition.get, ("model", "vendor")))))))
        units = dict(_units(definition.get("exposes"), _DEEPEST))
        if units:
            learned[f"zigbee2mqtt:{base}/{name}"] = units
    return metadata("the devices of the bridge and what they expose", *things, learned=learned)


def _units(exposes: object, depth: int) -> Iterator[tuple[str, str]]:
    """Name and unit of the numbers that exposes list, as far as we know the quantity; no unit is an empty text."""
    if not isinstance(exposes, list) or depth == 0:
        return
    for each in exposes[:_MOST_NAMES]:
        if not isinstance(each, dict):
            continue
        yield from _units(each.get("features"), depth - 1)
        name = each.get("property")
        unit = each.get("unit", "")
        if each.get("type") == "numeric" and isinstance(name, str) and isinstance(unit, str):
            quantity = _quantity(name, frozenset())
            if quantity is not None and (unit or quantity[1] == "1"):
                yield name, unit[:40].replace("\x00", "")
